"""What the formats of a flash image can object to.

Not how a program reports it; the command line turns these into one line for a person.
"""


class FlashImageError(Exception):
    """Root of everything this package raises; the message says what is wrong and where."""


class PartitionTableError(FlashImageError):
    """A partition table that a bootloader would refuse, or that does not fit the flash."""


class ApplicationImageError(FlashImageError):
    """An application image that a bootloader would refuse to start."""


class OtaDataError(FlashImageError):
    """A boot selection that cannot be made with the given partitions."""


class NvsError(FlashImageError):
    """An NVS partition that cannot be used, or an item that cannot be stored in it."""


class NvsFullError(NvsError):
    """No room for an item, even after collecting garbage; nothing was changed."""


class FileSystemError(FlashImageError):
    """A LittleFS partition that cannot be mounted, or files that do not fit it."""


class FirmwareFileError(FlashImageError):
    """A file with bootloader or MicroPython that is not what the chip needs."""


class SizeError(FlashImageError):
    """Content that is larger than the partition or the flash it belongs into."""


class TrustError(FlashImageError):
    """Nobody could ever sign a release for such a node."""
