"""Object 3304, Humidity: the last measurement.

Not the sensor: the application samples it and puts the value here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Humidity:
    """Relative humidity in thousandths of a percent."""

    ID = 3304
    TABLE = {5700: "Rf"}
    ACTUATORS = ()

    def __init__(self) -> None:
        self.value: int | None = None

    def read(self, resource: int) -> "Any":
        """Give the value, None before the first measurement and while the sensor fails."""
        return self.value
