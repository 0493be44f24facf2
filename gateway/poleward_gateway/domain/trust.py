"""Who may sign releases, as values.

Not signatures: port DocumentVerifier.
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
        expires_at_s: Unix seconds from which on nothing is served under it.
    """

    version: int
    signed: bytes
    signers: Signers
    expires_at_s: int
