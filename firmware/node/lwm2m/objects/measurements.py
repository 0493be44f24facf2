"""Objects 3301, 3303, 3304 and 3428: the last measurement of each sensor.

Not the sensors: the application samples them and puts the values here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Measurement:
    ACTUATORS = ()

    def __init__(self) -> None:
        self.value: int | None = None

    def read(self, resource: int) -> "Any":
        """Give the value, None before the first measurement and while the sensor fails."""
        return self.value


class Illuminance(_Measurement):
    """Light from above in thousandths of a lux."""

    ID = 3301
    TABLE = {5700: "Rf"}


class Temperature(_Measurement):
    """Temperature of the air in thousandths of a degree Celsius."""

    ID = 3303
    TABLE = {5700: "Rf"}


class Humidity(_Measurement):
    """Relative humidity in thousandths of a percent."""

    ID = 3304
    TABLE = {5700: "Rf"}


class AirQuality(_Measurement):
    """PM2.5 in thousandths of a microgram per cubic metre."""

    ID = 3428
    TABLE = {3: "Rf"}
