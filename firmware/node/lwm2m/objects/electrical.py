"""Object 3418, Electrical monitor 2.0: the last measurement of the lamp's supply.

Not the meter: the application samples it and puts the values here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RESOURCES = (1, 2, 4, 5, 6)


class Electrical:
    """Voltage (mV), current (mA), power (mW), power factor (thousandths), energy (mWh)."""

    ID = 3418
    TABLE = {1: "Rf", 2: "Rf", 4: "Rf", 5: "Rf", 6: "Rf"}
    ACTUATORS = ()

    def __init__(self) -> None:
        self._values: list[int | None] = [None] * len(_RESOURCES)

    def put(self, *measured: "int | None") -> None:
        """Take a measurement in the order of the class docstring; None for what is not measured."""
        self._values[:] = measured

    def read(self, resource: int) -> "Any":
        """Give a value in thousandths, None before the first measurement."""
        return self._values[_RESOURCES.index(resource)]
