"""What can go wrong on a rig: the rig itself, or the board under test.

Not how pytest shows it; `outcomes` does that.
"""


class RigError(Exception):
    """Root of what instruments raise."""


class InfrastructureError(RigError):
    """The rig does not work: no port, no power, no sync. Says nothing about the node."""


class BoardError(RigError):
    """The board did something else than it should."""


class UnexpectedResetError(BoardError):
    """The board restarted while a test waited for something else."""


class BootLoopError(BoardError):
    """The board restarts again and again; waiting longer is of no use."""


class ConsoleTimeoutError(BoardError):
    """What should have come on the console did not come in time."""


class FlashError(BoardError):
    """The board answers esptool, and yet its flash could not be written."""
