"""Object 3301, Illuminance: the last measurement.

Not the sensor: the application samples it and puts the value here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Illuminance:
    """Light from above in thousandths of a lux."""

    ID = 3301
    TABLE = {5700: "Rf"}
    ACTUATORS = ()

    def __init__(self) -> None:
        self.value: int | None = None

    def read(self, resource: int) -> "Any":
        """Give the value, None before the first measurement and while the sensor fails."""
        return self.value
