"""The chip's `esp32` module on a virtual board: NVS kept in the flash's own NVS partition.

Runs on MicroPython.
"""

import struct

import bus  # type: ignore[import-not-found]

_INTEGER = 0
_BLOB = 1
_NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND
_INVALID_LENGTH = -0x110C  # ESP_ERR_NVS_INVALID_LENGTH


class NVS:
    """One namespace: 32-bit integers and blobs by key (at most 15 characters each)."""

    def __init__(self, namespace: str) -> None:
        if not 0 < len(namespace) < 16:
            raise ValueError("namespace needs 1 to 15 characters")
        self._namespace = namespace

    def set_i32(self, key: str, value: int) -> None:
        """Store an integer."""
        if not -0x80000000 <= value <= 0x7FFFFFFF:
            raise OverflowError("value needs 32 bits")
        self._ask(bus.NVS_SET, key, _INTEGER, struct.pack("<i", value))

    def get_i32(self, key: str) -> int:
        """Return the integer under key; OSError when there is none."""
        value: int = struct.unpack("<i", self._ask(bus.NVS_GET, key, _INTEGER))[0]
        return value

    def set_blob(self, key: str, value: bytes) -> None:
        """Store bytes."""
        self._ask(bus.NVS_SET, key, _BLOB, bytes(value))

    def get_blob(self, key: str, buffer: bytearray) -> int:
        """Copy the bytes under key into buffer and return their length.

        OSError when there are none or the buffer is too short, as on the chip.
        """
        content = self._ask(bus.NVS_GET, key, _BLOB)
        if len(content) > len(buffer):
            raise OSError(_INVALID_LENGTH)
        buffer[: len(content)] = content
        return len(content)

    def erase_key(self, key: str) -> None:
        """Remove a key; OSError when there is none."""
        self._ask(bus.NVS_ERASE, key, _BLOB)

    def commit(self) -> None:
        """Nothing: every change is in the flash when its call returns."""

    def _ask(self, operation: int, key: str, kind: int, value: bytes = b"") -> bytes:
        names = self._namespace.encode() + b"\0" + key.encode() + b"\0"
        result, content = bus.ask(operation, bytes([kind]) + names + value)
        if result < 0:
            raise OSError(result)
        return bytes(content)
