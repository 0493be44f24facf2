"""Checks that the fleet wants this node to install a release, and for how long.

Not who may sign directives: `trust`. Loaded for one check and dropped after it.
"""

from node.codec import cbor
from node.ota import suit
from node.ota.errors import UpdateError
from nodelink.firmware_update import RESULT_INTEGRITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.trust import Trust


async def verify(signed: bytes, trust: "Trust", release: bytes) -> "tuple[str, int, int]":
    """Give a directive's rollout, and from and until when it holds, in Unix seconds.

    Args:
        signed: as fetched.
        trust: whose signatures count, and which node this is.
        release: SHA-256 of the envelope.

    Raises:
        UpdateError: it is not by the fleet, or about something else.
    """
    try:
        parts: Any = cbor.loads(signed)
        await suit.check_signatures(parts, trust.directive)
        said: Any = cbor.loads(parts[0])
        about, mac, rollout, not_before_s, not_after_s = said
    except (cbor.CborError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise UpdateError(RESULT_INTEGRITY, "directive is malformed")
    if about != release or mac != trust.mac:
        raise UpdateError(RESULT_INTEGRITY, "directive is for another node or release")
    return rollout, not_before_s, not_after_s
