"""A lamp whose driver takes the level as pulse width.

Not fading; that is the lighting controller's.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts


def make(parts: "Parts") -> None:
    """Be the board's lamp."""
    parts.lamp = PwmLamp(parts.lamp_pwm())


class PwmLamp:
    """A lamp on a pin; `pwm` has `duty_u16`."""

    def __init__(self, pwm: "Any") -> None:
        self._pwm = pwm

    def set(self, level_permille: int) -> None:
        """Drive the lamp."""
        self._pwm.duty_u16(level_permille * 65535 // 1000)
