"""Object 5, Firmware Update: the gateway's handle on an update (OMA LwM2M TS Core 1.1, E.6).

Not the update: an injected one downloads, verifies and installs.
"""

from micropython import const

from node.lwm2m.refusal import STATE, VALUE, RefusedError
from nodelink.firmware_update import STATE_UPDATING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PACKAGE = const(0)
_PACKAGE_URI = const(1)
_STATE = const(3)
_RESULT = const(5)
_PACKAGE_VERSION = const(7)
_DELIVERY = const(9)
_DELIVERY_PULL = const(0)


class FirmwareUpdate:
    """One update at a time, pulled from the gateway. Without resource 8 the protocol is CoAP.

    Args:
        updates: `state`, `result`, `uri`, `package_version`, `start(uri)` and `install()`; the
            last two raise ValueError with a text for what does not fit.
    """

    ID = 5
    TABLE = {
        0: "Wo", 1: "RWs", 2: "En", 3: "Ri", 5: "Ri", 6: "Rs", 7: "Rs", 9: "Ri",
    }  # fmt: skip
    ACTUATORS = ()

    def __init__(self, updates: "Any") -> None:
        self._updates = updates

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that there is not now."""
        updates = self._updates
        if resource == _PACKAGE_URI:
            return updates.uri
        if resource == _STATE:
            return updates.state
        if resource == _RESULT:
            return updates.result
        if resource == _DELIVERY:
            return _DELIVERY_PULL
        return updates.package_version or None if resource == _PACKAGE_VERSION else None

    def write(self, values: "dict[int, Any]") -> None:
        """Start the download of a URI; an empty one cancels. Packages are not pushed."""
        if _PACKAGE in values:
            # An empty push is the other way to cancel (E.6, resource 0).
            if values[_PACKAGE] not in (b"", b"\0"):
                raise RefusedError(VALUE, "write 5/0/1: packages are pulled")
            values[_PACKAGE_URI] = ""
        try:
            self._updates.start(values[_PACKAGE_URI])
        except ValueError as error:
            is_busy = self._updates.state == STATE_UPDATING
            raise RefusedError(STATE if is_busy else VALUE, error.args[0])

    def execute(self, resource: int, arguments: bytes) -> None:
        """Install what was downloaded."""
        try:
            self._updates.install()
        except ValueError as error:
            raise RefusedError(STATE, error.args[0])
