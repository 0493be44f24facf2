"""Stands in for MicroPython's module of this name where CPython runs node code.

Not on the path of anything but tests.
"""

import io
import zlib
from typing import BinaryIO

RAW = 2


class DeflateIO(io.BytesIO):
    """Behaves as MicroPython's for a whole stream, for a cut one and for one of another form."""

    def __init__(self, stream: BinaryIO, form: int, wbits: int) -> None:
        decompressor = zlib.decompressobj(-wbits)
        self._is_broken = False
        plain = b""
        try:
            plain = decompressor.decompress(stream.read())
        except zlib.error:
            self._is_broken = True
        super().__init__(plain)
        self._is_cut = not decompressor.eof

    def readinto(self, buffer: "memoryview | bytearray") -> int:
        """Fill the buffer as far as there is something."""
        if self._is_broken:
            raise OSError(22)
        count = super().readinto(buffer)
        if not count and self._is_cut:
            raise EOFError
        return count
