"""Gateways, their enrolment and their presence in PostgreSQL.

Not what their nodes should be (node_store.py).
"""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.rollout_progress import apply_progress
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import NotFoundError, UnauthenticatedError
from poleward_fleet.domain.gateway_link import (
    GatewayCertificate,
    GatewaySoftware,
    Hello,
    NodeState,
    StoredBatches,
)
from poleward_fleet.domain.inventory import LifeState, LinkState
from poleward_fleet.ports.nodes import AppliedStates

_PUT_TOKEN = text(
    "INSERT INTO enrollment_token (token_hash, gateway_name, area_code, expires_at_ms) "
    "VALUES (:token_hash, :gateway_name, :area_code, :expires_at_ms)"
)
_USE_TOKEN = text(
    "UPDATE enrollment_token SET used_at_ms = :now_ms WHERE token_hash = :token_hash "
    "AND used_at_ms IS NULL AND expires_at_ms > :now_ms RETURNING gateway_name, area_code"
)
_TOKEN = text("SELECT used_at_ms FROM enrollment_token WHERE token_hash = :token_hash")
_PUT_GATEWAY = text(
    "INSERT INTO gateway (name, area_code, certificate_serial, certificate_expires_at_ms) "
    "VALUES (:name, :area_code, '', 0) "
    "ON CONFLICT (name) DO UPDATE SET area_code = excluded.area_code, revoked_at_ms = 0"
)
# A renewed certificate may get lost on its way: the one before counts until the new one was seen.
_RECORD = text(
    "UPDATE gateway SET certificate_serial = :serial, certificate_expires_at_ms = :expires_at_ms, "
    "previous_serial = CASE WHEN :renews THEN certificate_serial ELSE '' END "
    "WHERE name = :name AND revoked_at_ms = 0"
)
_CHECK = text(
    "UPDATE gateway SET previous_serial = CASE WHEN certificate_serial = :serial THEN '' "
    "ELSE previous_serial END WHERE name = :name AND revoked_at_ms = 0 "
    "AND :serial IN (certificate_serial, previous_serial) RETURNING name"
)
_AREA = text("SELECT area_code FROM gateway WHERE name = :name AND revoked_at_ms = 0")
_REVOKE = text(
    "UPDATE gateway SET revoked_at_ms = :now_ms, certificate_serial = '', previous_serial = '', "
    "desired_revision = desired_revision + 1 "
    "WHERE name = :name AND revoked_at_ms = 0 RETURNING desired_revision"
)
_FORGET_ALL = text(
    "UPDATE desired_node SET removed = true, task = 'serve', release_digest = NULL, "
    "revision = :revision WHERE gateway_name = :name AND NOT removed"
)
_NODES_OF = text("SELECT number, life_state FROM node WHERE gateway_name = :name ORDER BY number")
_REASSIGN = text(
    "UPDATE node SET gateway_name = :successor WHERE gateway_name = :name "
    "AND life_state = 'quarantined'"
)
_HELLO = text(
    "UPDATE gateway SET heard_at_ms = :now_ms, software_version = :version, coap_uri = :uri, "
    "site_url = :site_url "
    "WHERE name = :name"
)
_SOFTWARE = text(
    "UPDATE gateway SET software_version = :version, release_sequence = :sequence "
    "WHERE name = :name RETURNING number"
)
_POSITIONS = text(
    "SELECT kind, batch_number FROM spool_position "
    "WHERE gateway_name = :name AND spool_id = :spool_id"
)
_HEARD = text("UPDATE gateway SET heard_at_ms = :now_ms WHERE name = ANY (CAST(:names AS text[]))")


class SqlGatewayStore:
    """GatewayStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_enrollment_token(
        self,
        token_hash: bytes,
        *,
        gateway_name: str,
        area_code: str,
        expires_at_ms: int,
        audit: AuditEntry,
    ) -> None:
        """Keep the hash of a one-time token."""
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    _PUT_TOKEN,
                    {
                        "token_hash": token_hash,
                        "gateway_name": gateway_name,
                        "area_code": area_code,
                        "expires_at_ms": expires_at_ms,
                    },
                )
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise NotFoundError(f"area {area_code} does not exist; create it first") from error

    async def redeem(self, token_hash: bytes, now_ms: int) -> str:
        """Use up a token and make the gateway known; return its name."""
        async with self._database.begin() as connection:
            used = (
                await connection.execute(_USE_TOKEN, {"token_hash": token_hash, "now_ms": now_ms})
            ).one_or_none()
            if used is None:
                known = (await connection.execute(_TOKEN, {"token_hash": token_hash})).one_or_none()
                if known is None:
                    reason = "is not known"
                elif known.used_at_ms is not None:
                    reason = "was used before; it works once"
                else:
                    reason = "has expired"
                raise UnauthenticatedError(
                    f"the enrolment token {reason}; ask an administrator for a new one"
                )
            await connection.execute(
                _PUT_GATEWAY, {"name": used.gateway_name, "area_code": used.area_code}
            )
            return str(used.gateway_name)

    async def record_certificate(
        self,
        gateway_name: str,
        *,
        serial: str,
        expires_at_ms: int,
        renews: bool,
        audit: AuditEntry,
    ) -> None:
        """Keep which certificate a gateway holds."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _RECORD,
                {
                    "name": gateway_name,
                    "serial": serial,
                    "expires_at_ms": expires_at_ms,
                    "renews": renews,
                },
            )
            if done.rowcount == 0:
                raise UnauthenticatedError(f"gateway {gateway_name} is not known")
            await self._database.audit(connection, audit)

    async def require_current(self, certificate: GatewayCertificate) -> None:
        """Insist on a certificate that was neither revoked nor replaced."""
        named = {"name": certificate.name, "serial": certificate.serial}
        if not await self._database.rows(_CHECK, named):
            raise UnauthenticatedError(
                f"the certificate of gateway {certificate.name} was revoked or replaced; "
                "enrol it again"
            )

    async def area_of(self, gateway_name: str) -> str | None:
        """Return the area that a gateway serves; None when there is none or it was revoked."""
        rows = await self._database.rows(_AREA, {"name": gateway_name})
        return rows[0].area_code if rows else None

    async def revoke(self, gateway_name: str, now_ms: int, audit: AuditEntry) -> None:
        """Make every certificate of a gateway worthless and take its nodes' keys from it."""
        async with self._database.begin() as connection:
            named = {"name": gateway_name}
            revision = (
                await connection.execute(_REVOKE, named | {"now_ms": now_ms})
            ).scalar_one_or_none()
            if revision is None:
                return
            await connection.execute(_FORGET_ALL, named | {"revision": revision})
            await self._database.audit(connection, audit)

    async def nodes_of(self, gateway_name: str) -> list[tuple[int, LifeState]]:
        """Return the nodes that are assigned to a gateway, by number."""
        rows = await self._database.rows(_NODES_OF, {"name": gateway_name})
        return [(row.number, LifeState(row.life_state)) for row in rows]

    async def reassign_quarantined(self, gateway_name: str, successor: str) -> None:
        """Have another gateway serve nodes once they are released."""
        await self._database.run(_REASSIGN, {"name": gateway_name, "successor": successor})

    async def hello(self, gateway_name: str, hello: Hello, now_ms: int) -> StoredBatches:
        """Note that a gateway connected; return where its spool goes on."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _HELLO,
                {
                    "name": gateway_name,
                    "now_ms": now_ms,
                    "version": hello.software_version,
                    "uri": hello.coap_uri,
                    "site_url": hello.site_url,
                },
            )
            if done.rowcount == 0:
                raise UnauthenticatedError(
                    f"gateway {gateway_name} is not known here; enrol it again"
                )
            rows = await connection.execute(
                _POSITIONS, {"name": gateway_name, "spool_id": hello.spool_id}
            )
            stored = {row.kind: row.batch_number for row in rows}
        return StoredBatches(stored.get("report", 0), stored.get("event", 0))

    async def software(
        self, gateway_name: str, software: GatewaySoftware, now_ms: int
    ) -> tuple[int, AppliedStates]:
        """Store what a gateway runs and its rollout progress; return its number, too."""
        async with self._database.begin() as connection:
            named = {
                "name": gateway_name,
                "version": software.version,
                "sequence": software.release_sequence,
            }
            number = (await connection.execute(_SOFTWARE, named)).scalar_one()
            state = NodeState(
                number,
                LinkState.ONLINE,
                now_ms,
                release_sequence=software.release_sequence,
                update=software.update,
            )
            return number, AppliedStates(*await apply_progress(connection, [state], now_ms))

    async def heard(self, gateway_names: Collection[str], now_ms: int) -> None:
        """Note that gateways were heard; one statement for all."""
        await self._database.run(_HEARD, {"names": list(gateway_names), "now_ms": now_ms})
