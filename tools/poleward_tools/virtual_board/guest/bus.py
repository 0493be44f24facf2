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
PRESS_CTRL_C = 12
PARTITIONS = 13
APP_OFFSET = 14
SET_BOOT = 15
MARK_APP_VALID = 16
LAMP = 17

_IO_ERROR = -5  # LFS_ERR_IO
_PRESS = struct.pack("<BBH", PRESS_CTRL_C, 0, 0)

_stream: "IO[bytes]"
_sequence = 0
_request = bytearray(8)
_reply = bytearray(8)
_byte = bytearray(1)


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
    _stream.write(struct.pack("<BBH", operation, _sequence, len(payload)) + payload)
    while True:
        # Nothing between these two may be interrupted: a reply is read whole or not at all.
        _stream.readinto(_reply)  # type: ignore[attr-defined]
        content = _stream.read(_reply[2] | _reply[3] << 8)
        if _reply[0] == _sequence:
            return struct.unpack_from("<i", _reply, 4)[0], content


def change(operation: int, offset: int, data: "bytes | bytearray") -> int:
    """Program or erase at an offset of the flash; 0, or a negative number when the board refuses.

    Its caller is LittleFS in C, often on behalf of the garbage collector, which closes files while
    the heap is locked. An exception would leave it in the middle of its work and its memory in
    disorder, so there is none, as with the chip's own driver:
    1. Nothing is taken from the heap.
    2. The VM looks for Ctrl-C at jumps and in calls that wait. There are no jumps here, and what
       interrupts the one call that waits is put off: the board presses Ctrl-C again.
    """
    global _sequence
    _sequence = _sequence + 1 & 0xFF
    _request[0] = operation
    _request[1] = _sequence
    _request[2] = len(data) + 4 & 0xFF
    _request[3] = len(data) + 4 >> 8
    _request[4] = offset & 0xFF
    _request[5] = offset >> 8 & 0xFF
    _request[6] = offset >> 16 & 0xFF
    _request[7] = offset >> 24
    _stream.write(_request)
    _stream.write(data)
    return _take_result()


def _take_result() -> int:
    try:
        _stream.readinto(_reply)  # type: ignore[attr-defined]
        return _after_reply[_reply[0] == _sequence]()
    except KeyboardInterrupt:
        result = _take_result()
        _stream.write(_PRESS)
        return result


def _result() -> int:
    return (_reply[7] >> 7) * _IO_ERROR  # the sign


def _skip_reply() -> int:
    """Read past the reply of a request that Ctrl-C has ended."""
    for _ in range(_reply[2] | _reply[3] << 8):
        _stream.readinto(_byte)  # type: ignore[attr-defined]
    return _take_result()


_after_reply = (_skip_reply, _result)
