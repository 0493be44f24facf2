"""What the station can object to; the command line turns it into a line and an exit code.

Not what goes wrong with one board, which is an outcome (`outcome.py`).
"""


class StationError(Exception):
    """Root: the station cannot work with what it was given; says what to do."""


class StationBusyError(StationError):
    """Another process works in the same station folder."""


class BatchError(StationError):
    """A batch or a permit that is not to be trusted, or not any more."""


class RecordError(StationError):
    """The station's record is damaged in the middle, which no power cut does."""


class HardeningError(StationError):
    """A step of the hardening failed; nothing after it was done."""
