"""Directives and the fleet's own keys for them; their private halves never leave this module.

Not when a directive holds (domain/directives.py) nor its form (poleward_manifest).
"""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.secret_box import SecretBox
from poleward_fleet.domain.directives import span_s
from poleward_fleet.domain.trust import DirectiveKey
from poleward_manifest import directive

_KEYS = text("SELECT public_key, made_at_ms FROM directive_key ORDER BY made_at_ms, public_key")
_PUT_KEY = text(
    "INSERT INTO directive_key (public_key, secret_sealed, made_at_ms) "
    "VALUES (:public_key, :secret_sealed, :made_at_ms)"
)
# The oldest first: while a document names two, whoever follows the one before knows this one.
_SIGNING = text(
    "SELECT k.public_key, k.secret_sealed, d.directive_threshold FROM ("
    "SELECT * FROM trust_document ORDER BY version DESC LIMIT 1) AS d "
    "JOIN directive_key k ON k.public_key = ANY (d.directive_keys) "
    "ORDER BY k.made_at_ms, k.public_key"
)


async def directive_keys(connection: AsyncConnection) -> tuple[DirectiveKey, ...]:
    """Return the public halves of the fleet's keys, oldest first."""
    return tuple(
        DirectiveKey(bytes(row.public_key), row.made_at_ms)
        for row in await connection.execute(_KEYS)
    )


async def make_key(connection: AsyncConnection, box: SecretBox, now_ms: int) -> DirectiveKey:
    """Make one more key; it signs once a trust document names it."""
    secret = Ed25519PrivateKey.generate()
    public_key = secret.public_key().public_bytes_raw()
    sealed = box.seal(secret.private_bytes_raw(), _purpose(public_key))
    named = {"public_key": public_key, "secret_sealed": sealed, "made_at_ms": now_ms}
    await connection.execute(_PUT_KEY, named)
    return DirectiveKey(public_key, now_ms)


async def signing_keys(connection: AsyncConnection, box: SecretBox) -> list[Ed25519PrivateKey]:
    """Return the private keys that sign directives now; none while no document names one."""
    named = (await connection.execute(_SIGNING)).all()
    return [
        Ed25519PrivateKey.from_private_bytes(
            box.open(bytes(row.secret_sealed), _purpose(bytes(row.public_key)))
        )
        for row in named[: named[0].directive_threshold if named else 0]
    ]


def signed_directive(row: Row[Any], keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """Make the directive of a row of desired state: the same row gives the same bytes."""
    not_before_s, not_after_s = span_s(row.directed_at_ms)
    said = directive.Directive(
        bytes(row.release_digest),
        row.subject,
        row.rollout_name,
        max(0, not_before_s),
        not_after_s,
    )
    return directive.sign(said, keys)


def _purpose(public_key: bytes) -> str:
    return f"directive key {public_key.hex()}"
