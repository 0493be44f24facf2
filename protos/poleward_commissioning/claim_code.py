"""The claim code on a node's label, as fleet and gateways check it.

Not how it is made: the factory does that and gives away only its hash.
"""

import hashlib


def claim_code_hash(mac: str, claim_code: str) -> str:
    """Hash a claim code as the factory does; case, spaces and hyphens of what people type go.

    A fast hash, because a code has 80 random bits (docs/adr/0038-claim-codes-have-80-bits.md).
    """
    code = "".join(claim_code.split()).replace("-", "").upper()
    return hashlib.sha256(f"poleward claim {mac} {code}".encode()).hexdigest()
