"""Object 26246, Emergency call: what became of the last press, and the operator's two answers.

Not the button, which is object 3347, and not what a press does (`node.emergency_call`).
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ACTIVE = const(0)
_ACCEPTED = const(1)
_PRESSED_AT = const(2)
_ACCEPT = const(3)
_RESET = const(4)


class EmergencyCallObject:
    """The call.

    Args:
        call: A `node.emergency_call.EmergencyCall`.
    """

    ID = 26246
    TABLE = {0: "Rb", 1: "Rb", 2: "Rt", 3: "En", 4: "En"}
    ACTUATORS = (_ACCEPT, _RESET)

    def __init__(self, call: "Any") -> None:
        self._call = call

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that there is not now."""
        call = self._call
        if resource == _PRESSED_AT:
            return call.pressed_at or None
        return call.is_active if resource == _ACTIVE else call.is_accepted

    def execute(self, resource: int, arguments: bytes) -> None:
        """Accept or reset the call."""
        if resource == _ACCEPT:
            self._call.accept()
        else:
            self._call.reset()
