"""The guest's only way out: requests to the board for everything that changes the flash or resets.

Not reading the flash; that goes straight to the file. Runs on MicroPython.
Request: operation, sequence, payload size as `<BBH`. Reply: sequence, size, result as `<BBHi`
with one byte of padding; both followed by that many bytes. Numbers match `guest_bus.Request`.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

PROGRAM = 1
ERASE = 2
RESET = 3
NVS_GET = 4
NVS_SET = 5
NVS_ERASE = 6
FEED_WATCHDOG = 7
KEYBOARD_INTERRUPT = 8
SETTING = 9
AIR = 10
ROUTE = 11

_stream: "IO[bytes]"
_sequence = 0


def open_bus(descriptor: int) -> None:
    """Use the socket that the board has left open for us."""
    global _stream
    _stream = open(descriptor, "r+b")  # noqa: SIM115


def ask(operation: int, payload: bytes = b"") -> "tuple[int, bytes]":
    """Send a request and wait for its reply: a result, negative for an error, and bytes.

    A keyboard interrupt may end an earlier call before it has read its reply; such replies are
    recognised by their sequence and skipped.
    """
    global _sequence
    _sequence = _sequence + 1 & 0xFF
    mine = _sequence
    _stream.write(struct.pack("<BBH", operation, mine, len(payload)) + payload)
    while True:
        sequence, _, size, result = struct.unpack("<BBHi", _read(8))
        content = _read(size)
        if sequence == mine:
            return result, content


def _read(size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += _stream.read(size - len(content))
    return content
