"""Who may sign releases, as values.

Not signatures: port DocumentVerifier.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signers:
    """Public keys whose signatures count, and how many different ones have to sign."""

    keys: tuple[bytes, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class TrustDocument:
    """A verified trust document.

    Attributes:
        version: Counts from 1 without gaps.
        signed: As nodes get it.
        signers: Of releases.
    """

    version: int
    signed: bytes
    signers: Signers
