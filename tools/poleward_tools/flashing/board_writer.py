"""Talks to one board with esptool, in a process of its own, on orders that come over a socket.

It decides nothing: which board gets what is the station's business. Run as a program it is the
nursery: it loads esptool once and forks a writer for every socket it is handed, because loading
takes longer than many a step of the work.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import termios
import time
import zlib
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Any

import esptool
import serial
from esptool.cmds import attach_flash, detect_chip, detect_flash_size
from esptool.logger import TemplateLogger, log

from poleward_tools.flashing import serial_ports

_CONSOLE_BAUD = 115_200
_BLOCK_TIMEOUT_S = 10.0
# ROM loaders take 1 KiB at a time; one message for each would be more talk than work.
_BLOCKS_PER_PROGRESS = 16
_CONSOLE_KEPT_BYTES = 16_384
_CONNECT_ATTEMPTS = 3
_MIB = 1 << 20
_FLASH_DEFL_DATA = 0x11
_REQUEST = struct.Struct("<BBHIIIII")
_BLOCK_HEAD_BYTES = 16
_REPLY_HEAD_BYTES = 8
_CHECKSUM_SEED = 0xEF


class Quiet(TemplateLogger):
    """Says nothing: what happened is in the answers."""

    def print(self, *args: object, **kwargs: object) -> None:
        """Drop a message."""

    def note(self, message: str) -> None:
        """Drop a note."""

    def warning(self, message: str) -> None:
        """Drop a warning."""

    def error(self, message: str) -> None:
        """Drop an error; it is raised, too."""

    def stage(self, finish: bool = False) -> None:
        """Drop a heading."""

    def progress_bar(self, *args: object, **kwargs: object) -> None:
        """Drop a progress bar."""

    def set_verbosity(self, verbosity: str) -> None:
        """Stay quiet."""


class BoardWriter:
    """One board on one port; every method is an order of the station.

    Raises (from every method):
        esptool.FatalError, OSError: the board or the line does not do what it should.
    """

    def __init__(self, port: str, baud: int, *, use_stub: bool) -> None:
        self._has_reset_line = has_reset_line(port)
        mode = "default-reset" if self._has_reset_line else "no-reset"
        self._esp: Any = detect_chip(port, _CONSOLE_BAUD, mode, connect_attempts=_CONNECT_ATTEMPTS)
        if use_stub:
            self._esp = self._esp.run_stub()
        if baud != _CONSOLE_BAUD:
            self._esp.change_baud(baud)
        attach_flash(self._esp)
        size = detect_flash_size(self._esp) or "unknown"
        self._size_bytes = int(size.removesuffix("MB")) * _MIB if size.endswith("MB") else 0
        if self._size_bytes:
            self._esp.flash_set_parameters(self._size_bytes)

    def about(self) -> dict[str, Any]:
        """Say which board it is."""
        return {
            "chip": self._esp.CHIP_NAME.lower().replace("-", ""),
            "mac": bytes(self._esp.read_mac()).hex(),
            "flash_size_bytes": self._size_bytes,
        }

    def digest(self, offset: int, size_bytes: int) -> str:
        """Have the chip compute the MD5 of a part of its flash."""
        return str(self._esp.flash_md5sum(offset, size_bytes))

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Read a part of the flash."""
        return bytes(self._esp.read_flash(offset, size_bytes))

    def write(self, offset: int, compressed: bytes) -> Iterator[int]:
        """Write a part of the flash, verify it, and yield how many compressed bytes are sent.

        Raises:
            esptool.FatalError: also when the flash holds something else afterwards.
        """
        content = zlib.decompress(compressed)
        self._esp.flash_defl_begin(len(content), len(compressed), offset)
        step_bytes = int(self._esp.FLASH_WRITE_SIZE)
        # Once: setting it sets up the whole port again.
        self._esp._port.timeout = _BLOCK_TIMEOUT_S
        for number, at in enumerate(range(0, len(compressed), step_bytes)):
            block = compressed[at : at + step_bytes]
            if not self._write_block(block, number):
                # The patient way, which tries a block several times.
                self._esp.flash_defl_block(block, number, timeout=_BLOCK_TIMEOUT_S)
            if number % _BLOCKS_PER_PROGRESS == _BLOCKS_PER_PROGRESS - 1:
                yield at + len(block)
        yield len(compressed)
        expected = hashlib.md5(content, usedforsecurity=False).hexdigest()
        found = self.digest(offset, len(content))
        if found != expected:
            raise esptool.FatalError(
                f"the flash at 0x{offset:x} holds something else than was written "
                f"(MD5 {found}, not {expected}); the board or its flash is bad"
            )

    def _write_block(self, block: bytes, number: int) -> bool:
        """Send one block; whether the chip took it.

        esptool's own call formats each block for a trace that nobody reads: 1.5 ms of processor
        time for 11 ms on the line, which several boards at a time do not leave.
        """
        self._esp._port.write(block_frame(block, number))
        reply = bytes(self._esp.read())
        # Direction, command, length, value; then data that starts with the status.
        is_ours = len(reply) > _REPLY_HEAD_BYTES and reply[:2] == bytes((1, _FLASH_DEFL_DATA))
        return is_ours and reply[_REPLY_HEAD_BYTES] == 0

    def start(self, until: bytes, timeout_s: float) -> bytes:
        """Start what is in the flash and return what its console says up to a line with `until`.

        Returns:
            The last output; it may lack `until` when the time is over.
        """
        port = self._esp._port
        if self._has_reset_line:
            self._esp.hard_reset()
        else:
            self._esp.run()
        port.baudrate = _CONSOLE_BAUD
        port.timeout = 0.2
        end_at = time.monotonic() + timeout_s
        seen = b""
        while time.monotonic() < end_at:
            seen = (seen + port.read(max(1, port.in_waiting)))[-_CONSOLE_KEPT_BYTES:]
            at = seen.find(until)
            if at >= 0 and b"\n" in seen[at:]:
                break
        return seen

    def close(self) -> None:
        """Give the port back."""
        self._esp._port.close()


def block_frame(block: bytes, number: int) -> bytes:
    """Frame a FLASH_DEFL_DATA request (esptool documentation, "Serial Protocol")."""
    padded = block + bytes(-len(block) % 8)
    folded = reduce(xor, memoryview(padded).cast("Q"), 0)
    checksum = reduce(xor, folded.to_bytes(8, "little"), _CHECKSUM_SEED)
    request = _REQUEST.pack(
        0, _FLASH_DEFL_DATA, _BLOCK_HEAD_BYTES + len(block), checksum, len(block), number, 0, 0
    )
    packet = (request + block).replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + packet + b"\xc0"


def has_reset_line(port: str) -> bool:
    """Tell whether a port has the lines that reset a board; a pseudo-terminal has none.

    Raises:
        OSError: there is no such port.
    """
    if "://" in port:
        return True
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, termios.TIOCMGET, bytes(4))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def serve(link: socket.socket) -> None:
    """Carry out orders until the station closes its end; one JSON object a line, both ways."""
    log.set_logger(Quiet())
    if serial_ports.__name__ not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.insert(0, serial_ports.__name__)
    writer: BoardWriter | None = None
    with link, link.makefile("rw", encoding="utf-8") as lines:

        def answer(**what: object) -> None:
            lines.write(json.dumps(what) + "\n")
            lines.flush()

        try:
            for line in lines:
                order = json.loads(line)
                try:
                    name = order.pop("order")
                    if name == "connect":
                        writer = BoardWriter(**order)
                        answer(done=writer.about())
                        continue
                    assert writer is not None
                    if name == "write":
                        for sent in writer.write(order["offset"], bytes.fromhex(order["hex"])):
                            answer(sent=sent)
                        answer(done=True)
                    elif name == "write_file":
                        with open(order["path"], "rb") as file:
                            compressed = file.read()
                        for sent in writer.write(order["offset"], compressed):
                            answer(sent=sent)
                        answer(done=True)
                    elif name == "read":
                        answer(done=writer.read(**order).hex())
                    elif name == "digest":
                        answer(done=writer.digest(**order))
                    elif name == "start":
                        seen = writer.start(order["until"].encode(), order["timeout_s"])
                        answer(done=seen.decode(errors="replace"))
                except (esptool.FatalError, OSError, EOFError) as error:
                    answer(error=str(error).strip().splitlines()[0] if str(error) else repr(error))
        except BrokenPipeError:
            pass  # the station is gone; so is the reason to go on
        finally:
            if writer:
                with contextlib.suppress(OSError):
                    writer.close()


def main() -> None:
    """Fork a writer for each socket that comes over the one given by number."""
    # Ctrl-C is the station's: it lets its boards finish or closes the sockets.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as door:
        while True:
            message, descriptors, _, _ = socket.recv_fds(door, 1, 1)
            if not message:
                return
            if os.fork() == 0:
                door.close()
                serve(socket.socket(fileno=descriptors[0]))
                os._exit(0)
            os.close(descriptors[0])


if __name__ == "__main__":
    main()
