"""Directives: the fleet's signed word that one node or gateway shall install one release.

Not the release, which other keys sign (`envelope`), and not who may sign directives (`trust`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cbor2

from poleward_manifest import cose
from poleward_manifest import subject as subjects
from poleward_manifest.errors import MalformedError, WrongSubjectError
from poleward_manifest.signatures import SigningKey

_TYPES = ((bytes,), (bytes, str), (str,), (int,), (int,))
_DIGEST_BYTES = 32
_TIME_MAX_S = 2**31 - 1  # as in trust documents
ROLLOUT_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Directive:
    """What a directive says; it holds in the seconds from `not_before_s` to `not_after_s`.

    Attributes:
        release: SHA-256 of the envelope.
        subject: who is to install it, `node:<MAC>` or `gateway:<name>`.
        rollout: name of the rollout that brings the release.
    """

    release: bytes
    subject: str
    rollout: str
    not_before_s: int
    not_after_s: int

    def holds(self, now_s: float) -> bool:
        """Tell whether it counts now; when not, it is stale."""
        return self.not_before_s <= now_s <= self.not_after_s


def sign(directive: Directive, keys: Sequence[SigningKey]) -> bytes:
    """Make a directive as a node fetches it.

    Raises:
        MalformedError: it says what no directive can say.
    """
    return cose.signed(_encode(directive), keys)


def verify(
    signed: bytes, keys: Sequence[bytes], threshold: int, *, release: bytes, subject: str
) -> Directive:
    """Read a directive after checking who signed it and what it is about; time is not looked at.

    Args:
        signed: as it came.
        keys: public keys of the role directive.
        threshold: how many of them have to have signed.
        release: SHA-256 of the envelope that is to be installed.
        subject: who is to install it.

    Raises:
        WrongSubjectError: it is about another node, gateway or release.
        EnvelopeError: it is malformed, or not signed by enough of the keys.
    """
    payload, blocks = cose.read_signed(signed, "the directive")
    cose.require(payload, blocks, keys, threshold)
    parts = cose.load(payload, "the directive")
    if not (
        isinstance(parts, list)
        and len(parts) == len(_TYPES)
        and all(type(part) in types for part, types in zip(parts, _TYPES, strict=True))
    ):
        raise MalformedError("the directive does not have the parts that a node understands")
    directive = Directive(parts[0], subjects.from_cbor(parts[1]), *parts[2:])
    if _encode(directive) != payload:
        raise MalformedError("the directive says something a node does not understand")
    if (directive.release, directive.subject) != (release, subject):
        raise WrongSubjectError(
            f"the directive is for release {directive.release.hex()[:16]}… on "
            f"{directive.subject}, not for {release.hex()[:16]}… on {subject}"
        )
    return directive


def _encode(directive: Directive) -> bytes:
    if len(directive.release) != _DIGEST_BYTES:
        raise MalformedError("a directive names a release by 32 bytes")
    if not ROLLOUT_NAME.fullmatch(directive.rollout):
        raise MalformedError(f"{directive.rollout!r} is no name of a rollout")
    if not 0 <= directive.not_before_s <= directive.not_after_s <= _TIME_MAX_S:
        raise MalformedError("a directive holds from one second to a later one, before 2038")
    return cbor2.dumps(
        [
            directive.release,
            subjects.to_cbor(directive.subject),
            directive.rollout,
            directive.not_before_s,
            directive.not_after_s,
        ]
    )
