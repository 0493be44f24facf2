"""Object 26245, Lighting program: the rules of this pole's lamp, its place and its local clock.

Not their meaning (`node.lighting.evaluation`). One object in place of 3452, 3453 and 3454, whose
syntax it keeps: docs/adr/0028.
"""

from micropython import const

from node.lwm2m.refusal import VALUE, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_NAME = const(0)
_RULES = const(1)
_LATITUDE = const(2)
_LONGITUDE = const(3)
_UTC_OFFSET = const(4)
_NEXT_OFFSET_AT = const(5)
_NEXT_OFFSET = const(6)
_LEVEL = const(7)


class LightingProgram:
    """The program; one write replaces all of it.

    Args:
        program: A `node.lighting.program.Program`.
        unix_s: Gives Unix time, 0 while unknown.
        on_change: Called when the program was replaced.
    """

    ID = 26245
    TABLE = {
        0: "RWs", 1: "RWs", 2: "RWf", 3: "RWf", 4: "RWi", 5: "RWt", 6: "RWi", 7: "Ri",
    }  # fmt: skip
    ACTUATORS = ()

    def __init__(
        self, program: "Any", unix_s: "Callable[[], int]", on_change: "Callable[[], None]"
    ) -> None:
        self._program = program
        self._unix_s = unix_s
        self._on_change = on_change

    def read(self, resource: int) -> "Any":
        """Give a value, None for one that there is not now."""
        program = self._program
        if resource == _LEVEL:
            return program.level(self._unix_s())
        return (
            program.name,
            program.rules,
            program.latitude_mdeg,
            program.longitude_mdeg,
            program.utc_offset_s,
            program.next_offset_at,
            program.next_offset_s,
        )[resource]

    def write(self, values: "dict[int, Any]") -> None:
        """Replace the program; what is not written is empty or 0."""
        try:
            self._program.replace(
                values.get(_NAME, ""),
                values.get(_RULES, ""),
                (values.get(_LATITUDE, 0), values.get(_LONGITUDE, 0)),
                (
                    values.get(_UTC_OFFSET, 0),
                    values.get(_NEXT_OFFSET_AT, 0),
                    values.get(_NEXT_OFFSET, 0),
                ),
            )
        except (ValueError, OSError) as error:
            raise RefusedError(VALUE, str(error.args[0]))
        self._on_change()
