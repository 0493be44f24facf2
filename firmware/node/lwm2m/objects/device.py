"""Object 3, Device: who made the node, what it runs, its clock, reboot and factory reset.

Not the release in its slot, which is object 26243.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_REBOOT = const(4)
_FACTORY_RESET = const(5)
_MEMORY_FREE = const(10)
_TIME = const(13)


class Device:
    """The node itself.

    Args:
        serial: The MAC address in hexadecimal.
        version: Of the running release.
        hardware: Name of the board.
        heap_free_bytes: Gives what of the heap is free after a collection.
        unix_s: Gives Unix time, 0 while unknown.
        on_time: Called with the Unix time that the gateway wrote.
        on_reboot: Called to reboot soon, after the answer is sent.
        on_factory_reset: Called to forget the account with the gateway.
    """

    ID = 3
    TABLE = {
        0: "Rs", 1: "Rs", 2: "Rs", 3: "Rs", 4: "En", 5: "En", 10: "Ri", 11: "Ri", 13: "RWt",
        16: "Rs", 18: "Rs",
    }  # fmt: skip
    ACTUATORS = (_REBOOT, _FACTORY_RESET)

    def __init__(
        self,
        serial: str,
        version: str,
        hardware: str,
        heap_free_bytes: "Callable[[], int]",
        unix_s: "Callable[[], int]",
        on_time: "Callable[[int], None]",
        on_reboot: "Callable[[], None]",
        on_factory_reset: "Callable[[], None]",
    ) -> None:
        self._fixed = {
            0: "Poleward",
            1: "pole node",
            2: serial,
            3: version,
            11: 0,
            16: "U",
            18: hardware,
        }
        self._heap_free_bytes = heap_free_bytes
        self._unix_s = unix_s
        self._on_time = on_time
        self._on_reboot = on_reboot
        self._on_factory_reset = on_factory_reset

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that cannot be read."""
        if resource == _MEMORY_FREE:
            return self._heap_free_bytes() // 1024
        if resource == _TIME:
            return self._unix_s() or None
        return self._fixed.get(resource)

    def write(self, values: "dict[int, Any]") -> None:
        """Set the clock."""
        self._on_time(values[_TIME])

    def execute(self, resource: int, arguments: bytes) -> None:
        """Reboot, or forget what the gateway gave; what the factory gave stays."""
        if resource == _FACTORY_RESET:
            self._on_factory_reset()
        else:
            self._on_reboot()
