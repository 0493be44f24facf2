"""The link over Ethernet with an address by DHCP.

Not the PHY: MicroPython drives it.
"""

from micropython import const

from node.board.drivers import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_TRY_S = const(15)
_MDC_PIN, _MDIO_PIN = 23, 32


def make(parts: "Parts") -> None:
    """Be the board's link."""
    machine, network = parts.machine, parts.network
    interface = network.LAN(
        mdc=machine.Pin(_MDC_PIN), mdio=machine.Pin(_MDIO_PIN), power=None,
        phy_type=network.PHY_LAN8720, phy_addr=1,
    )  # fmt: skip
    parts.link = Lan(interface)


class Lan:
    """A cable."""

    def __init__(self, interface: "Any") -> None:
        self._interface = interface

    async def connect(self) -> None:
        """Wait for link and address.

        Raises:
            OSError: There is no cable or no DHCP server; try again later.
        """
        if not self._interface.active():
            self._interface.active(True)
        await joined(self._interface, _TRY_S)
