"""Object 26243, Release: which one runs, in which slot, why one failed, which keys are trusted.

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
        updates: A `node.updates.Updates`, which follows trust documents.
    """

    ID = 26243
    TABLE = {0: "Ri", 1: "Rs", 2: "Rb", 3: "Rs", 4: "RWi"}
    ACTUATORS = ()

    def __init__(self, sequence: int, slots: "Any", updates: "Any") -> None:
        self._sequence = sequence
        self._slots = slots
        self._updates = updates

    def read(self, resource: int) -> "Any":
        """Give a value."""
        if resource == 0:
            return self._sequence
        if resource == 1:
            return "b" if self._slots.running else "a"
        if resource == 4:
            return self._updates.trust.version
        return self._slots.is_on_trial if resource == 2 else self._slots.failure

    def write(self, values: "dict[int, Any]") -> None:
        """Fetch further trust documents, soon; the number is for whoever reads a trace."""
        self._updates.follow_trust()
