"""The claim code of a node: what its label carries and what the fleet gets of it.

Not how it is made (`virtual_board.node_folder`) or checked (the fleet).
"""

from argon2 import PasswordHasher

from poleward_tools.virtual_board.node_folder import NodeIdentity

# A claim code has 60 random bits: the hash needs no cost to resist guessing, and a factory makes
# thousands (RFC 9106, 4, is about passwords that people choose).
_HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
_GROUP = 4
_PAYLOAD_VERSION = "PW1"


def hash_claim_code(claim_code: str) -> str:
    """Hash a claim code as a PHC string, which is all that the fleet gets of it."""
    return _HASHER.hash(claim_code)


def label_payload(identity: NodeIdentity) -> str:
    """Return what the QR code says: version, address and claim code, never a long-term secret.

    All characters are of the alphanumeric mode, which keeps the code small (ISO/IEC 18004, 7.4.4).
    """
    return f"{_PAYLOAD_VERSION}:{identity.mac.hex().upper()}:{identity.claim_code}"


def grouped(claim_code: str) -> str:
    """Return the claim code in groups, as people read and type it."""
    groups = (claim_code[at : at + _GROUP] for at in range(0, len(claim_code), _GROUP))
    return "-".join(groups)
