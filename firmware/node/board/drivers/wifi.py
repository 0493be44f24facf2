"""The link over Wi-Fi, as a station of the network that NVS names.

Not an access point.
"""

from micropython import const

from node.board.drivers import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_TRY_S = const(15)


def make(parts: "Parts") -> None:
    """Be the board's link."""
    network = parts.network
    parts.link = Wifi(network.WLAN(network.STA_IF), parts.network_setting)


class Wifi:
    """A station; `setting` gives "ssid" and "key" of NVS namespace "network"."""

    def __init__(self, wlan: "Any", setting: "Any") -> None:
        self._wlan = wlan
        self._setting = setting

    async def connect(self) -> None:
        """Join the network.

        Raises:
            OSError: The network is not named or not joined; try again later.
        """
        if self._wlan.isconnected():
            return
        ssid, key = self._setting("ssid"), self._setting("key")
        self._wlan.active(True)
        self._wlan.connect(ssid, key)
        try:
            await joined(self._wlan, _TRY_S)
        except OSError:
            self._wlan.disconnect()
            raise
