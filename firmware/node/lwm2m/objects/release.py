"""Object 26243, Release: which release runs, in which slot, and why the last one failed.

Not the update, which is object 5.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Release:
    """What the slots hold.

    Args:
        sequence: Of the running release.
        slots: A `node.ota.slots.Slots`.
    """

    ID = 26243
    TABLE = {0: "Ri", 1: "Rs", 2: "Rb", 3: "Rs"}
    ACTUATORS = ()

    def __init__(self, sequence: int, slots: "Any") -> None:
        self._sequence = sequence
        self._slots = slots

    def read(self, resource: int) -> "Any":
        """Give a value."""
        if resource == 0:
            return self._sequence
        if resource == 1:
            return "b" if self._slots.running else "a"
        return self._slots.is_on_trial if resource == 2 else self._slots.failure
