"""Who may sign releases and directives, as values; and what a directive says.

Not signatures: ports DocumentVerifier and DirectiveVerifier.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signers:
    """Public keys whose signatures count, and how many different ones have to sign.

    Args:
        expired_document: Number of the trust document that has expired, so that nobody may sign
            until the next one is here; 0 for none.
    """

    keys: tuple[bytes, ...]
    threshold: int
    expired_document: int = 0


@dataclass(frozen=True, slots=True)
class TrustDocument:
    """A verified trust document.

    Attributes:
        version: Counts from 1 without gaps.
        signed: As nodes get it.
        signers: Of releases.
        directive_signers: Of directives; without keys nobody asks for any.
        expires_at_s: Unix seconds from which on nothing is served under it.
    """

    version: int
    signed: bytes
    signers: Signers
    directive_signers: Signers
    expires_at_s: int


@dataclass(frozen=True, slots=True)
class Directive:
    """What a verified directive says besides whom and which release it is about.

    Attributes:
        rollout: Name of the rollout that brings the release.
        not_before_s: Unix seconds from which it holds.
        not_after_s: Unix seconds until which it holds.
    """

    rollout: str
    not_before_s: int
    not_after_s: int
