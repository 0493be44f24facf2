"""The console of a board's MicroPython: its own terminal, joined to the board's serial line.

Not the process on it; `application` starts that.
"""

import asyncio
import contextlib
import os
import termios

from poleward_tools.virtual_board.line import Line

CTRL_C = 0x03
_READ_BYTES = 4096
# What a UART driver would keep of input nobody reads; the rest is dropped.
_MAX_PENDING_INPUT_BYTES = 64 * 1024
_RAW_PASTE_OFFER = b"\x05A\x01"
_RAW_PASTE_REFUSED = b"R\x00"
_ENTER_RAW, _ENTER_FRIENDLY = b"\x01", b"\x02"


class Console:
    """The VM's terminal, joined to the board's line.

    The VM needs a terminal of its own: Ctrl-C must become a signal, and lines must not be changed
    on their way. Raw-paste mode is refused in its place, because Ctrl-C is not a signal in there.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._outer, self.inner = os.openpty()
        os.set_blocking(self._outer, False)
        self.set_interrupt(True)
        self._pending = bytearray()
        self._typed = asyncio.Event()
        self._is_raw = False
        self._last_byte = b""

    def close(self) -> None:
        """Take the terminal away."""
        os.close(self._outer)
        os.close(self.inner)

    def set_interrupt(self, is_on: bool) -> None:
        """Choose whether Ctrl-C interrupts the VM or is a byte like any other."""
        settings = termios.tcgetattr(self.inner)
        controls = settings[6]
        controls[:] = [b"\0"] * len(controls)
        # Not VINTR: `interpreter.schedule_ctrl_c` says why.
        controls[termios.VQUIT] = bytes([CTRL_C])
        controls[termios.VMIN] = 1
        controls[termios.VTIME] = 0
        settings[0] = settings[1] = 0
        settings[3] = (termios.ISIG if is_on else 0) | termios.NOFLSH
        termios.tcsetattr(self.inner, termios.TCSANOW, settings)

    def type(self, data: bytes) -> None:
        """Take input from the line; what exceeds the buffer is dropped."""
        if _RAW_PASTE_OFFER in data:
            data = data.replace(_RAW_PASTE_OFFER, b"")
            self.line.send_at_once(_RAW_PASTE_REFUSED)
        self._note_mode(data)
        self._pending += data[: _MAX_PENDING_INPUT_BYTES - len(self._pending)]
        self._typed.set()

    def press_ctrl_c(self) -> None:
        """Interrupt the VM, which has put off an earlier Ctrl-C, ahead of what was typed."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._outer, bytes([CTRL_C]))

    async def feed(self) -> None:
        """Hand typed bytes to the VM as fast as it takes them."""
        loop = asyncio.get_running_loop()
        while True:
            await self._typed.wait()
            self._typed.clear()
            while self._pending:
                try:
                    written = os.write(self._outer, self._pending)
                except BlockingIOError:
                    writable = asyncio.Event()
                    loop.add_writer(self._outer, writable.set)
                    try:
                        await writable.wait()
                    finally:
                        loop.remove_writer(self._outer)
                else:
                    del self._pending[:written]

    async def show(self) -> None:
        """Send what the VM prints to the line."""
        loop = asyncio.get_running_loop()
        while True:
            readable = asyncio.Event()
            loop.add_reader(self._outer, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._outer)
            with contextlib.suppress(BlockingIOError):
                await self.line.write(self._lines(os.read(self._outer, _READ_BYTES)))

    async def show_rest(self) -> None:
        """Send what a VM printed before it ended."""
        # EAGAIN: nothing is left. EIO: nobody has the other end open any more.
        with contextlib.suppress(OSError):
            while data := os.read(self._outer, _READ_BYTES):
                await self.line.write(self._lines(data))

    def _note_mode(self, data: bytes) -> None:
        raw, friendly = data.rfind(_ENTER_RAW), data.rfind(_ENTER_FRIENDLY)
        if raw != friendly:
            self._is_raw = raw > friendly

    def _lines(self, data: bytes) -> bytes:
        """Return output as the chip sends it: outside raw mode every line ends in CR LF."""
        if self._is_raw:
            return data
        shown = bytearray()
        for byte in data:
            if byte == 0x0A and self._last_byte != b"\r":
                shown += b"\r"
            shown.append(byte)
            self._last_byte = bytes([byte])
        return bytes(shown)
