"""A lamp dimmed by 0 to 10 V, its supply switched by a relay.

IEC 60929, Annex E: 10 V is full, 1 V and less is the least the lamp can, so that off needs the
relay. The voltage is a pulse width, filtered and amplified ten volts to full.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_RELAY_PIN = const(5)
_LEAST_PERMILLE = const(100)  # 1 V


def make(parts: "Parts") -> None:
    """Be the board's lamp."""
    pin = parts.machine.Pin
    parts.lamp = Dimmer(parts.lamp_pwm(), pin(_RELAY_PIN, pin.OUT, value=0))


class Dimmer:
    """A lamp on two pins; `pwm` has `duty_u16`, `relay` has `value`."""

    def __init__(self, pwm: "Any", relay: "Any") -> None:
        self._pwm = pwm
        self._relay = relay

    def set(self, level_permille: int) -> None:
        """Drive the lamp; the voltage stands before the relay closes, so that nothing flashes."""
        shown = max(level_permille, _LEAST_PERMILLE) if level_permille else 0
        self._pwm.duty_u16(shown * 65535 // 1000)
        self._relay.value(1 if level_permille else 0)
