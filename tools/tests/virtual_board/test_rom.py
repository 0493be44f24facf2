"""The ROM's protocol without a line: what it refuses, what it survives."""

import hashlib
import struct
import zlib
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import FlashFaults, NorFlash, PowerCutError
from poleward_tools.virtual_board.rom import (
    INITIAL_BAUD,
    Action,
    ChangeBaud,
    Command,
    Failure,
    LeaveDownload,
    RomLoader,
    Send,
)
from poleward_tools.virtual_board.slip import SlipReader, encode

SIZE_BYTES = 4 << 20
MAC = bytes.fromhex("24ec4a112233")
SYNC = encode(struct.pack("<BBHI", 0, 8, 36, 0) + b"\x07\x07\x12\x20" + b"\x55" * 32)


class Host:
    """The tool's side: sends one command and takes its reply apart."""

    def __init__(self, chip: str = "esp32c3", faults: FlashFaults | None = None) -> None:
        self.flash = NorFlash.blank(SIZE_BYTES, faults)
        self.rom = RomLoader(CHIPS[chip], self.flash, MAC)
        self.has_encryption_word = chip != "esp32"
        self.actions: list[Action] = []

    def ask(self, command: int, payload: bytes = b"", checksum: int = 0) -> tuple[int, bytes, int]:
        """Return value, data and failure code, 0 for success."""
        request = struct.pack("<BBHI", 0, command, len(payload), checksum) + payload
        self.actions = self.rom.receive(encode(request), self.rom.baud)
        reply = self.actions[0]
        assert isinstance(reply, Send)
        (frame,) = SlipReader(4096).feed(reply.data)
        direction, echoed, size_bytes, value = struct.unpack_from("<BBHI", frame)
        assert (direction, echoed, size_bytes) == (1, command, len(frame) - 8)
        is_failed, code, *_ = frame[-4:]
        return value, frame[8:-4], code if is_failed else 0

    def attach(self, size_bytes: int = SIZE_BYTES) -> None:
        assert self.ask(Command.SPI_ATTACH, bytes(8))[2] == 0
        parameters = struct.pack("<6I", 0, size_bytes, 65536, 4096, 256, 0xFFFF)
        assert self.ask(Command.SPI_SET_PARAMS, parameters)[2] == 0

    def begin(self, command: int, offset: int, size_bytes: int, blocks: int) -> int:
        words = [size_bytes, blocks, 0x400, offset] + [0] * self.has_encryption_word
        return self.ask(command, struct.pack(f"<{len(words)}I", *words))[2]

    def block(self, command: int, sequence: int, data: bytes) -> int:
        payload = struct.pack("<IIII", len(data), sequence, 0, 0) + data
        return self.ask(command, payload, reduce(xor, data, 0xEF))[2]


@pytest.fixture(params=sorted(CHIPS))
def host(request: pytest.FixtureRequest) -> Host:
    return Host(request.param)


def test_sync_is_answered_eight_times_with_a_value_that_is_no_stub(host: Host) -> None:
    (action,) = host.rom.receive(SYNC, INITIAL_BAUD)
    assert isinstance(action, Send)
    frames = SlipReader(64).feed(action.data)
    assert len(frames) == 8
    assert all(struct.unpack_from("<I", frame, 4)[0] != 0 for frame in frames)


def test_flash_must_be_attached_first(host: Host) -> None:
    assert host.begin(Command.FLASH_BEGIN, 0, 4096, 4) == Failure.ACTION
    assert host.flash.counts.operations == 0


def test_only_two_mebibytes_are_reached_until_the_size_is_set(host: Host) -> None:
    assert host.ask(Command.SPI_ATTACH, bytes(8))[2] == 0
    assert host.begin(Command.FLASH_BEGIN, 2 << 20, 4096, 4) == Failure.ACTION
    host.attach()
    assert host.begin(Command.FLASH_BEGIN, 2 << 20, 4096, 4) == 0


def test_repeated_block_is_acknowledged_and_written_once(host: Host) -> None:
    host.attach()
    assert host.begin(Command.FLASH_BEGIN, 0x1000, 0x800, 2) == 0
    assert host.block(Command.FLASH_DATA, 0, b"a" * 0x400) == 0
    written = host.flash.counts.programs
    assert host.block(Command.FLASH_DATA, 0, b"a" * 0x400) == 0
    assert host.flash.counts.programs == written
    assert host.block(Command.FLASH_DATA, 1, b"b" * 0x400) == 0
    assert host.flash.read(0x1000, 0x800) == b"a" * 0x400 + b"b" * 0x400


def test_block_out_of_order_or_too_many_is_refused(host: Host) -> None:
    host.attach()
    assert host.block(Command.FLASH_DATA, 0, b"a") == Failure.ACTION
    assert host.begin(Command.FLASH_BEGIN, 0, 0x400, 1) == 0
    assert host.block(Command.FLASH_DATA, 1, b"a" * 0x400) == Failure.ACTION
    assert host.block(Command.FLASH_DATA, 0, b"a" * 0x400) == 0
    assert host.block(Command.FLASH_DATA, 1, b"a" * 0x400) == Failure.ACTION


def test_compressed_blocks_are_inflated_across_their_borders(host: Host) -> None:
    content = bytes(range(256)) * 20
    packed = zlib.compress(content, 9)
    half = len(packed) // 2
    host.attach()
    assert host.begin(Command.FLASH_DEFL_BEGIN, 0x8000, 0x1400, 2) == 0
    assert host.block(Command.FLASH_DEFL_DATA, 0, packed[:half]) == 0
    assert host.block(Command.FLASH_DEFL_DATA, 1, packed[half:]) == 0
    assert host.flash.read(0x8000, len(content)) == content


def test_each_kind_of_bad_command_has_its_code(host: Host) -> None:
    host.attach()
    assert host.ask(0x77)[2] == Failure.MESSAGE
    assert host.ask(Command.READ_REG, b"\0")[2] == Failure.MESSAGE
    assert host.ask(Command.READ_FLASH_SLOW, struct.pack("<II", 0, 65))[2] == Failure.READ_LENGTH
    assert host.ask(Command.READ_FLASH_SLOW, struct.pack("<II", SIZE_BYTES, 1))[2] == Failure.ACTION
    assert host.begin(Command.FLASH_BEGIN, 0, 0x400, 1) == 0
    payload = struct.pack("<IIII", 4, 0, 0, 0) + b"data"
    assert host.ask(Command.FLASH_DATA, payload, 0)[2] == Failure.CHECKSUM
    assert host.ask(Command.FLASH_DATA, payload + b"x", 0)[2] == Failure.MESSAGE
    assert host.begin(Command.FLASH_DEFL_BEGIN, 0, 0x400, 1) == 0
    assert host.block(Command.FLASH_DEFL_DATA, 0, b"no zlib") == Failure.INFLATE


def test_write_over_unerased_cells_is_found_by_reading_back(host: Host) -> None:
    host.attach()
    assert host.begin(Command.FLASH_BEGIN, 0, 0x400, 1) == 0
    host.flash.program(0x10, b"\0")
    assert host.block(Command.FLASH_DATA, 0, b"\xff" * 0x400) == Failure.FLASH_WRITE


def test_encrypted_write_is_refused() -> None:
    host = Host("esp32s3")
    host.attach()
    payload = struct.pack("<5I", 0x400, 1, 0x400, 0, 1)
    assert host.ask(Command.FLASH_BEGIN, payload)[2] == Failure.ACTION
    assert host.flash.counts.erases == 0


def test_digest_is_the_one_of_the_flash(host: Host) -> None:
    host.attach()
    host.flash.program(0x100, b"content")
    _, digest, code = host.ask(Command.SPI_FLASH_MD5, struct.pack("<4I", 0x100, 7, 0, 0))
    assert (digest.decode(), code) == (hashlib.md5(b"content").hexdigest(), 0)


def test_masked_write_keeps_the_other_bits(host: Host) -> None:
    first = struct.pack("<IIII", 0x60008000, 0x0F0F0F0F, 0xFFFFFFFF, 0)
    second = struct.pack("<IIII", 0x60008000, 0xFFFFFFFF, 0xFF, 0)
    assert host.ask(Command.WRITE_REG, first + second)[2] == 0
    assert host.ask(Command.READ_REG, struct.pack("<I", 0x60008000))[0] == 0x0F0F0FFF


def test_original_chip_hears_the_rate_through_its_calibration() -> None:
    host = Host("esp32")
    # esptool scales by what the ROM measured: 39.375 instead of 40 MHz.
    host.ask(Command.CHANGE_BAUDRATE, struct.pack("<II", 921600 * 39_375 // 40_000, 0))
    assert isinstance(host.actions[1], ChangeBaud)
    assert abs(host.rom.baud - 921600) < 10


def test_reply_to_a_new_rate_comes_before_it() -> None:
    host = Host("esp32c3")
    host.ask(Command.CHANGE_BAUDRATE, struct.pack("<II", 460800, 0))
    assert [type(action) for action in host.actions] == [Send, ChangeBaud]
    assert host.rom.baud == 460800


def test_other_rate_is_noise_except_for_sync(host: Host) -> None:
    request = encode(struct.pack("<BBHII", 0, Command.READ_REG, 4, 0, 0x40001000))
    assert host.rom.receive(request, 921600) == []
    assert host.rom.receive(SYNC, 921600)[0] == ChangeBaud(921600)
    assert len(host.rom.receive(request, 921600)) == 1


@pytest.mark.parametrize(("word", "is_reset"), [(0, True), (1, False)])
def test_end_leaves_download_mode_after_its_reply(host: Host, word: int, is_reset: bool) -> None:
    assert host.begin(Command.FLASH_BEGIN, 0, 0, 0) == 0
    assert host.ask(Command.FLASH_END, struct.pack("<I", word))[2] == 0
    assert host.actions[1] == LeaveDownload(is_reset)


def test_power_cut_reaches_the_board() -> None:
    host = Host("esp32", FlashFaults(cut_at_operation=2))
    host.attach()
    with pytest.raises(PowerCutError):
        host.begin(Command.FLASH_BEGIN, 0, 0x4000, 16)


@given(st.lists(st.binary(max_size=80), max_size=20), st.sampled_from(sorted(CHIPS)))
def test_noise_is_survived_and_sync_heard_after_it(noise: list[bytes], chip: str) -> None:
    host = Host(chip)
    for piece in noise:
        host.rom.receive(piece, host.rom.baud)
    actions = host.rom.receive(b"\xc0" + SYNC, host.rom.baud)
    assert isinstance(actions[-1], Send)


@given(st.sampled_from(list(Command)), st.binary(max_size=64), st.sampled_from(sorted(CHIPS)))
def test_any_payload_is_answered(command: Command, payload: bytes, chip: str) -> None:
    host = Host(chip)
    if command is not Command.SYNC:
        host.ask(command, payload)


@given(st.binary(max_size=300), st.integers(1, 17))
def test_slip_survives_any_split(frame: bytes, size: int) -> None:
    stream = encode(frame) + encode(b"next")
    reader = SlipReader(4096)
    found = [
        each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])
    ]
    assert found == ([frame] if frame else []) + [b"next"]


def test_slip_drops_what_is_too_long_or_wrongly_escaped() -> None:
    reader = SlipReader(8)
    assert reader.feed(b"\xc0" + b"x" * 99 + b"\xc0ok\xc0") == [b"ok"]
    assert reader.feed(b"\xc0a\xdbb\xc0ok\xc0") == [b"ok"]
