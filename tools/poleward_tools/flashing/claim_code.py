"""The claim code of a node: what its label carries and what the fleet gets of it.

Not how it is made (`flash_image.node_nvs`) or checked (the fleet).
"""

import hashlib

from poleward_tools.flash_image.node_nvs import NodeIdentity

_GROUP = 4
_PAYLOAD_VERSION = "PW1"


def hash_claim_code(mac: bytes, claim_code: str) -> str:
    """Hash a claim code, which is all that the fleet gets of it; 64 hex digits.

    A code has 80 random bits, so a fast hash resists guessing; the address keeps two nodes with
    one code apart. The fleet computes the same (docs/adr/0038-claim-codes-have-80-bits.md).
    """
    return hashlib.sha256(f"poleward claim {mac.hex()} {claim_code}".encode()).hexdigest()


def label_payload(identity: NodeIdentity) -> str:
    """Return what the QR code says: version, address and claim code, never a long-term secret.

    All characters are of the alphanumeric mode, which keeps the code small (ISO/IEC 18004, 7.4.4).
    """
    return f"{_PAYLOAD_VERSION}:{identity.mac.hex().upper()}:{identity.claim_code}"


def grouped(claim_code: str) -> str:
    """Return the claim code in groups, as people read and type it."""
    groups = (claim_code[at : at + _GROUP] for at in range(0, len(claim_code), _GROUP))
    return "-".join(groups)
