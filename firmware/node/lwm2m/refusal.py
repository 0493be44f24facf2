"""How an object refuses what the gateway asks; the dispatcher turns it into a CoAP code.

Not for protocol errors: those never reach an object.
"""

from micropython import const

VALUE = const(1)
STATE = const(2)


class RefusedError(Exception):
    """An object does not do what was asked.

    Args:
        reason: VALUE, the value is out of range; STATE, not now.
        text: For people.
    """

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(reason)
        self.text = text
