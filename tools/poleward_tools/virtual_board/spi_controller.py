"""The chip's SPI controller with a flash chip behind it, as host tools use it by register.

Only "user" commands: what tools ask a flash chip about itself. Reading and programming go through
the ROM's own commands, in `rom`.
"""

import struct

from poleward_tools.virtual_board.chips import SpiRegisters

# Winbond; the capacity is the exponent of the size.
MANUFACTURER = 0xEF
_MEMORY_TYPE = 0x40

_START_USER_COMMAND = 1 << 18
_CONTROLLER_SIZE_BYTES = 0x100

_READ_ID = 0x9F
_READ_SFDP = 0x5A
_READ_STATUS = {0x05: 0, 0x35: 1, 0x15: 2}
_WRITE_STATUS = {0x01: 0, 0x31: 1, 0x11: 2}


def serial_flash_parameters(size_bytes: int) -> bytes:
    """Return the table a flash chip describes itself with (JEDEC JESD216).

    Two headers, the second being the maker's own, and the first words of the basic parameters.
    """
    basic_offset, maker_offset = 0x30, 0x60
    header = struct.pack("<4sBBBB", b"SFDP", 6, 1, 1, 0xFF)
    basic = struct.pack("<BBBBI", 0x00, 6, 1, 16, basic_offset | 0xFF << 24)
    maker = struct.pack("<BBBBI", MANUFACTURER, 0, 1, 2, maker_offset | 0xFF << 24)
    # 4 KiB erase with command 0x20, 3-byte addresses; then the density in bits, minus one.
    words = struct.pack("<II", 0xFFF920E5, size_bytes * 8 - 1)
    return (header + basic + maker).ljust(basic_offset, b"\xff") + words.ljust(
        maker_offset - basic_offset + 8, b"\xff"
    )


class SpiController:
    """Register file that carries out a user command when its start bit is written."""

    def __init__(self, registers: SpiRegisters, flash_size_bytes: int) -> None:
        self._at = registers
        self._words: dict[int, int] = {}
        self._identity = (
            MANUFACTURER | _MEMORY_TYPE << 8 | (flash_size_bytes.bit_length() - 1) << 16
        )
        self._parameters = serial_flash_parameters(flash_size_bytes)
        self._status = [0, 0, 0]

    def owns(self, address: int) -> bool:
        """Whether a register belongs to this controller."""
        return self._at.base <= address < self._at.base + _CONTROLLER_SIZE_BYTES

    def read(self, address: int) -> int:
        """Return a register."""
        return self._words.get(address - self._at.base, 0)

    def write(self, address: int, value: int) -> None:
        """Set a register; the start bit runs the command and reads back as 0 afterwards."""
        offset = address - self._at.base
        if offset == 0 and value & _START_USER_COMMAND:
            self._words[self._at.word_0] = self._run()
            value &= ~_START_USER_COMMAND
        self._words[offset] = value

    def _run(self) -> int:
        command = self._words.get(self._at.user_2, 0) & 0xFF
        reply_bits = self._words.get(self._at.miso_length, 0) + 1
        if command == _READ_ID:
            reply = self._identity
        elif command == _READ_SFDP:
            address = self._words.get(4, 0)
            if self._at.is_address_at_top:
                address >>= 8
            word = self._parameters[address : address + 4].ljust(4, b"\xff")
            reply = int.from_bytes(word, "little")
        elif command in _READ_STATUS:
            reply = self._status[_READ_STATUS[command]]
        elif command in _WRITE_STATUS:
            self._status[_WRITE_STATUS[command]] = self._words.get(self._at.word_0, 0) & 0xFF
            reply = 0
        else:
            # Write enable, reset, power-down: nothing that could be seen from here.
            reply = 0
        return reply & (1 << min(reply_bits, 32)) - 1
