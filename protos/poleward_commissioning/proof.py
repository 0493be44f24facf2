"""How a technician's device proves to a gateway on site who asks, over a link that anybody hears.

Not encryption: what is asked and answered can be read; nothing of it can be made up or altered.
"""

import hashlib
import hmac

TECHNICIAN_HEADER = "x-poleward-technician"
TIME_HEADER = "x-poleward-time"
PROOF_HEADER = "x-poleward-proof"
TOLERANCE_MS = 300_000
"""Clocks of device and gateway may differ by so much; a proof is good for as long. A request that
somebody repeats meanwhile changes nothing, as every request of a visit may be repeated."""


def proof(secret: bytes, method: str, path: str, at_ms: int, body: bytes) -> str:
    """Return the HMAC-SHA-256 (RFC 2104) of a request, hex.

    Args:
        secret: The technician's, from the work order.
        method: Of HTTP, upper case.
        path: Of the request, without host and query.
        at_ms: Unix time of the request in milliseconds.
        body: Of the request; empty for none.
    """
    said = f"{method} {path} {at_ms} {hashlib.sha256(body).hexdigest()}"
    return hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()


def is_proved(
    secret: bytes, given: str, method: str, path: str, at_ms: int, body: bytes, *, now_ms: int
) -> bool:
    """Tell whether a request comes from who has the secret, and now."""
    expected = proof(secret, method, path, at_ms, body)
    return abs(now_ms - at_ms) <= TOLERANCE_MS and hmac.compare_digest(expected, given)
