"""The flash model: what NOR cells can and cannot do, and what a cut leaves."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.virtual_board.flash_chip import (
    FlashFaults,
    FlashRangeError,
    NorFlash,
    PowerCutError,
)

SIZE_BYTES = 4 * 4096


@given(
    st.lists(
        st.tuples(st.integers(0, SIZE_BYTES - 1), st.binary(min_size=1, max_size=700)),
        max_size=10,
    )
)
def test_programming_only_clears_bits(programs: list[tuple[int, bytes]]) -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    model = bytearray(b"\xff" * SIZE_BYTES)
    for offset, data in programs:
        data = data[: SIZE_BYTES - offset]
        flash.program(offset, data)
        for at, byte in enumerate(data, offset):
            model[at] &= byte
    assert flash.read(0, SIZE_BYTES) == model


def test_erase_sets_one_sector_only() -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    flash.program(0, bytes(SIZE_BYTES))
    flash.erase_sector(4096)
    assert flash.read(0, 4096) == bytes(4096)
    assert flash.read(4096, 4096) == b"\xff" * 4096
    assert flash.read(8192, 8192) == bytes(8192)


def test_operations_are_counted_in_pages_and_sectors() -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    flash.program(250, bytes(300))
    flash.erase(100, 5000)
    assert (flash.counts.programs, flash.counts.erases) == (3, 2)
    assert flash.counts.programmed_bytes == 300


@given(st.integers(1, 4), st.integers(0, 1000))
def test_cut_program_leaves_a_prefix(cut_at: int, seed: int) -> None:
    flash = NorFlash.blank(SIZE_BYTES, FlashFaults(cut_at_operation=cut_at, seed=seed))
    with pytest.raises(PowerCutError):
        flash.program(0, bytes(1024))
    content = flash.read(0, SIZE_BYTES)
    whole = content.index(b"\xff")
    assert (cut_at - 1) * 256 <= whole <= cut_at * 256
    assert content[whole:].count(0xFF) == SIZE_BYTES - whole


def test_cut_erase_leaves_the_sector_torn_and_the_others_whole() -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    flash.program(0, bytes(SIZE_BYTES))
    flash.faults.cut_at_operation = flash.counts.operations + 1
    with pytest.raises(PowerCutError):
        flash.erase_sector(4096)
    assert 0 < flash.read(4096, 4096).count(0xFF) < 4096
    assert flash.read(0, 4096) == bytes(4096)


def test_worn_sector_keeps_its_bits_and_flips_change_programs() -> None:
    flash = NorFlash.blank(SIZE_BYTES, FlashFaults(worn_sectors=frozenset({1})))
    flash.program(4096, b"\0")
    flash.erase_sector(4096)
    assert flash.read(4096, 1) == b"\0"
    flash.faults.flip_bit_rate = 1.0
    flash.program(0, b"\x0f" * 16)
    assert all((byte ^ 0x0F).bit_count() == 1 for byte in flash.read(0, 16))


def test_file_keeps_the_content_and_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    with NorFlash.open(path, size_bytes=SIZE_BYTES) as flash:
        flash.program(10, b"\x55")
    with NorFlash.open(path, size_bytes=SIZE_BYTES) as flash:
        assert flash.read(10, 2) == b"\x55\xff"
    with pytest.raises(FlashRangeError, match=r"16384 bytes, the chip has 8192"):
        NorFlash.open(path, size_bytes=8192)


@pytest.mark.parametrize(("offset", "size"), [(-1, 4), (SIZE_BYTES - 1, 2), (SIZE_BYTES, 1)])
def test_range_outside_the_chip_is_refused(offset: int, size: int) -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    with pytest.raises(FlashRangeError):
        flash.read(offset, size)
    with pytest.raises(FlashRangeError):
        flash.program(offset, bytes(size))
