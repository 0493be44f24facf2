"""The serial download mode of the chip's boot ROM: bytes in, actions out.

Not the line it runs on. No code is executed, so the commands that load code into RAM are unknown
here and tools must be told not to use a flasher stub (`esptool --no-stub`).
Protocol: esptool documentation, "Serial Protocol".
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import xor

from poleward_tools.virtual_board.chips import CRYSTAL_HZ, Chip, read_only_registers
from poleward_tools.virtual_board.flash_chip import FlashRangeError, NorFlash
from poleward_tools.virtual_board.slip import SlipReader, encode
from poleward_tools.virtual_board.spi_controller import SpiController

INITIAL_BAUD = 115_200
# What the ROM takes the flash for until it is told (`SPI_SET_PARAMS`).
_INITIAL_FLASH_SIZE_BYTES = 2 << 20
_MAX_FRAME_BYTES = 0x4000 + 64
_SYNC_PAYLOAD = b"\x07\x07\x12\x20" + b"\x55" * 32
# Any value but 0: a flasher stub answers 0.
_SYNC_VALUE = 0x20120707
_SYNC_REPLIES = 8
_CHECKSUM_SEED = 0xEF
_READ_BLOCK_BYTES = 64
# A UART still hears a sender whose rate is off by this much.
_BAUD_TOLERANCE = 0.03

_REQUEST = struct.Struct("<BBHI")


class Command(IntEnum):
    """The operations of the ROM."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14


class Failure(IntEnum):
    """The ROM's error codes."""

    MESSAGE = 0x05
    ACTION = 0x06
    CHECKSUM = 0x07
    FLASH_WRITE = 0x08
    FLASH_READ = 0x09
    READ_LENGTH = 0x0A
    INFLATE = 0x0B


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the line, at the rate in force."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ChangeBaud:
    """From here on the chip sends and listens at another rate."""

    baud: int


@dataclass(frozen=True, slots=True)
class LeaveDownload:
    """Download mode ends: `is_reset` by a reset, otherwise by jumping into the application."""

    is_reset: bool


Action = Send | ChangeBaud | LeaveDownload


class _RefusalError(Exception):
    """A command ends with an error code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


@dataclass(slots=True)
class _Writing:
    """A write between its BEGIN and END; blocks come in order, the last one may come again."""

    offset: int
    blocks_left: int
    next_sequence: int = 0
    inflate: "zlib._Decompress | None" = None


class RomLoader:
    """Download mode from its banner to the jump into the application; make a new one per reset.

    Flash commands fail until the flash is attached and reach as far as the size that was set.
    A line rate the chip does not listen at is noise to it, except for SYNC: the ROM measures the
    rate there. Deviation: a real chip measures only at its first SYNC after a reset, but a line
    without reset lines (a PTY) gives a tool no other way back from a changed rate.

    Raises (from `receive`):
        PowerCutError: the flash lost its power in an operation; the board is off.
    """

    def __init__(self, chip: Chip, flash: NorFlash, mac: bytes) -> None:
        self.baud = INITIAL_BAUD
        self._chip = chip
        self._flash = flash
        self._reader = SlipReader(_MAX_FRAME_BYTES)
        self._registers = read_only_registers(chip, mac)
        self._written_registers: dict[int, int] = {}
        self._spi = SpiController(chip.spi, flash.size_bytes)
        self._is_attached = False
        self._size_bytes = min(_INITIAL_FLASH_SIZE_BYTES, flash.size_bytes)
        self._writing: _Writing | None = None
        self._after: list[Action] = []
        self._commands: dict[int, Callable[[bytes, int], bytes | int | None]] = {
            Command.FLASH_BEGIN: self._flash_begin,
            Command.FLASH_DATA: self._flash_data,
            Command.FLASH_END: self._flash_end,
            Command.WRITE_REG: self._write_registers,
            Command.READ_REG: self._read_register,
            Command.SPI_SET_PARAMS: self._set_parameters,
            Command.SPI_ATTACH: self._attach,
            Command.READ_FLASH_SLOW: self._read_flash,
            Command.CHANGE_BAUDRATE: self._change_baud,
            Command.FLASH_DEFL_BEGIN: self._inflate_begin,
            Command.FLASH_DEFL_DATA: self._inflate_data,
            Command.FLASH_DEFL_END: self._flash_end,
            Command.SPI_FLASH_MD5: self._digest,
        }
        if chip.has_security_info:
            self._commands[Command.GET_SECURITY_INFO] = self._security_info

    def receive(self, data: bytes, line_baud: int) -> list[Action]:
        """Take bytes from the line and return what they cause, in order."""
        actions: list[Action] = []
        for frame in self._reader.feed(data):
            is_heard = abs(line_baud - self.baud) <= self.baud * _BAUD_TOLERANCE
            if is_sync(frame):
                if not is_heard:
                    self.baud = line_baud
                    actions.append(ChangeBaud(line_baud))
                reply = _reply(Command.SYNC, _SYNC_VALUE, b"", None)
                actions.append(Send(reply * _SYNC_REPLIES))
            elif is_heard and len(frame) >= _REQUEST.size and frame[0] == 0:
                actions += self._carry_out(frame)
        return actions

    def _carry_out(self, frame: bytes) -> list[Action]:
        _, operation, size_bytes, checksum = _REQUEST.unpack_from(frame)
        payload = frame[_REQUEST.size :]
        command = self._commands.get(operation)
        value, data, failure = 0, b"", None
        self._after = []
        try:
            if command is None or len(payload) != size_bytes:
                raise _RefusalError(Failure.MESSAGE)
            result = command(payload, checksum)
            if isinstance(result, bytes):
                data = result
            elif result is not None:
                value = result
        except struct.error:
            failure = Failure.MESSAGE
        except FlashRangeError:
            failure = Failure.ACTION
        except _RefusalError as refusal:
            failure = refusal.failure
        return [Send(_reply(operation, value, data, failure)), *self._after]

    def _read_register(self, payload: bytes, _: int) -> int:
        (address,) = struct.unpack("<I", payload)
        return self._register(address)

    def _register(self, address: int) -> int:
        if self._spi.owns(address):
            return self._spi.read(address)
        if address == self._chip.uart_divider:
            return CRYSTAL_HZ // self.baud
        if address in self._registers:
            return self._registers[address]
        return self._written_registers.get(address, 0)

    def _write_registers(self, payload: bytes, _: int) -> None:
        for address, value, mask, _delay_us in struct.iter_unpack("<IIII", payload):
            merged = self._register(address) & ~mask | value & mask
            if self._spi.owns(address):
                self._spi.write(address, merged)
            else:
                self._written_registers[address] = merged

    def _security_info(self, payload: bytes, _: int) -> bytes:
        # Flags, encryption count, seven key purposes: none of it is in use. Then chip and API.
        return struct.pack("<IB7sII", 0, 0, b"", self._chip.chip_id, 0)

    def _change_baud(self, payload: bytes, _: int) -> None:
        baud, _old = struct.unpack("<II", payload)
        if self._chip.calibration:
            real_hz, measured_hz = self._chip.calibration
            baud = round(baud * real_hz / measured_hz)
        if baud == 0:
            raise _RefusalError(Failure.ACTION)
        self.baud = baud
        self._after.append(ChangeBaud(baud))

    def _attach(self, payload: bytes, _: int) -> None:
        struct.unpack("<II", payload)
        self._is_attached = True

    def _set_parameters(self, payload: bytes, _: int) -> None:
        _, size_bytes, *_rest = struct.unpack("<IIIIII", payload)
        self._size_bytes = min(size_bytes, self._flash.size_bytes)

    def _begin(self, payload: bytes) -> _Writing:
        if self._chip.has_security_info:
            erase_bytes, blocks, _, offset, is_encrypted = struct.unpack("<IIIII", payload)
        else:
            erase_bytes, blocks, _, offset = struct.unpack("<IIII", payload)
            is_encrypted = 0
        # Encrypted writes need keys in the fuses, which this board has none of.
        if is_encrypted:
            raise _RefusalError(Failure.ACTION)
        if erase_bytes:
            self._check_range(offset, erase_bytes)
            self._flash.erase(offset, erase_bytes)
        return _Writing(offset, blocks)

    def _flash_begin(self, payload: bytes, _: int) -> None:
        self._writing = self._begin(payload)

    def _inflate_begin(self, payload: bytes, _: int) -> None:
        self._writing = self._begin(payload)
        self._writing.inflate = zlib.decompressobj()

    def _flash_data(self, payload: bytes, checksum: int) -> None:
        writing, block = self._next_block(payload, checksum)
        if block is not None:
            self._program(writing, block)

    def _inflate_data(self, payload: bytes, checksum: int) -> None:
        writing, block = self._next_block(payload, checksum)
        if block is None:
            return
        if writing.inflate is None:
            raise _RefusalError(Failure.ACTION)
        try:
            content = writing.inflate.decompress(block)
        except zlib.error as error:
            raise _RefusalError(Failure.INFLATE) from error
        self._program(writing, content)

    def _next_block(self, payload: bytes, checksum: int) -> tuple[_Writing, bytes | None]:
        """Return the block to write; None for one that came already (its reply was lost)."""
        size_bytes, sequence, _, _ = struct.unpack_from("<IIII", payload)
        block = payload[16:]
        if len(block) != size_bytes:
            raise _RefusalError(Failure.MESSAGE)
        if _checksum(block) != checksum:
            raise _RefusalError(Failure.CHECKSUM)
        writing = self._writing
        if writing is None:
            raise _RefusalError(Failure.ACTION)
        if sequence + 1 == writing.next_sequence:
            return writing, None
        if sequence != writing.next_sequence or writing.blocks_left == 0:
            raise _RefusalError(Failure.ACTION)
        writing.next_sequence += 1
        writing.blocks_left -= 1
        return writing, block

    def _program(self, writing: _Writing, content: bytes) -> None:
        # The last block is padded: behind the flash there is nothing to write it to.
        content = content[: max(0, self._size_bytes - writing.offset)]
        self._check_range(writing.offset, len(content))
        self._flash.program(writing.offset, content)
        if _checksum(self._flash.read(writing.offset, len(content))) != _checksum(content):
            raise _RefusalError(Failure.FLASH_WRITE)
        writing.offset += len(content)

    def _flash_end(self, payload: bytes, _: int) -> None:
        (is_run,) = struct.unpack("<I", payload)
        if self._writing is None:
            raise _RefusalError(Failure.ACTION)
        self._writing = None
        self._after.append(LeaveDownload(is_reset=not is_run))

    def _read_flash(self, payload: bytes, _: int) -> bytes:
        offset, size_bytes = struct.unpack("<II", payload)
        if size_bytes > _READ_BLOCK_BYTES:
            raise _RefusalError(Failure.READ_LENGTH)
        self._check_range(offset, size_bytes)
        return self._flash.read(offset, size_bytes).ljust(_READ_BLOCK_BYTES, b"\0")

    def _digest(self, payload: bytes, _: int) -> bytes:
        offset, size_bytes, _, _ = struct.unpack("<IIII", payload)
        self._check_range(offset, size_bytes)
        content = self._flash.read(offset, size_bytes)
        return hashlib.md5(content, usedforsecurity=False).hexdigest().encode()

    def _check_range(self, offset: int, size_bytes: int) -> None:
        if not self._is_attached or offset + size_bytes > self._size_bytes:
            raise _RefusalError(Failure.ACTION)


def is_sync(frame: bytes) -> bool:
    """Whether a frame is the request every tool starts with."""
    return frame[:2] == b"\0\x08" and frame[_REQUEST.size :] == _SYNC_PAYLOAD


def _checksum(data: bytes) -> int:
    # Eight bytes at a time: an exclusive or of words can be folded into one of bytes.
    words = memoryview(data + bytes(-len(data) % 8)).cast("Q")
    folded = reduce(xor, words, 0)
    for shift in (32, 16, 8):
        folded ^= folded >> shift
    return _CHECKSUM_SEED ^ folded & 0xFF


def _reply(operation: int, value: int, data: bytes, failure: Failure | None) -> bytes:
    status = bytes((0, 0, 0, 0)) if failure is None else bytes((1, failure, 0, 0))
    body = (b"" if failure else data) + status
    return encode(struct.pack("<BBHI", 1, operation, len(body), value) + body)
