"""Object 3428, Air quality: the last measurement.

Not the sensor: the application samples it and puts the value here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AirQuality:
    """PM2.5 in thousandths of a microgram per cubic metre."""

    ID = 3428
    TABLE = {3: "Rf"}
    ACTUATORS = ()

    def __init__(self) -> None:
        self.value: int | None = None

    def read(self, resource: int) -> "Any":
        """Give the value, None before the first measurement and while the sensor fails."""
        return self.value
