"""Object 3347, Push button: the emergency call button as other LwM2M servers know one.

Not what a press does (`node.emergency_call`).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class PushButton:
    """The button.

    Args:
        call: A `node.emergency_call.EmergencyCall`.
    """

    ID = 3347
    TABLE = {5500: "Rb", 5501: "Ri"}
    ACTUATORS = ()

    def __init__(self, call: "Any") -> None:
        self._call = call

    def read(self, resource: int) -> "Any":
        """Give a value; the state stays true until the call is reset."""
        return self._call.is_active if resource == 5500 else self._call.count
