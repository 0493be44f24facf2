"""The table against esptool's sibling format rules and against damage."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.flash_image.errors import PartitionTableError
from poleward_tools.flash_image.partition_table import (
    NODE_4_MIB,
    TYPE_APP,
    TYPE_DATA,
    Partition,
    PartitionTable,
    table_of,
)

FLASH_SIZE_BYTES = 4 << 20

labels = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=16)
partitions = st.builds(
    Partition,
    label=labels,
    type=st.integers(0, 254),
    subtype=st.integers(0, 255),
    offset=st.integers(0, 0xFFFFFFFF),
    size_bytes=st.integers(0, 0xFFFFFFFF),
    encrypted=st.booleans(),
    read_only=st.booleans(),
)


@given(st.lists(partitions, min_size=1, max_size=40))
def test_any_table_survives_a_round_trip(rows: list[Partition]) -> None:
    table = PartitionTable(tuple(rows))
    assert PartitionTable.decode(table.encode()) == table


def test_rows_and_digest_lie_where_the_bootloader_looks() -> None:
    table = NODE_4_MIB.encode()
    first = table[:32]
    assert first == struct.pack("<HBBII16sI", 0x50AA, 1, 2, 0x9000, 0x4000, b"nvs", 0)
    digest_row = table[5 * 32 : 6 * 32]
    assert digest_row[:16] == b"\xeb\xeb" + b"\xff" * 14
    assert digest_row[16:] == hashlib.md5(table[: 5 * 32]).digest()
    assert table[6 * 32 :] == b"\xff" * (0xC00 - 6 * 32)


@given(st.integers(0, 6 * 32 * 8 - 1))
def test_one_flipped_bit_never_gives_another_table(bit: int) -> None:
    table = bytearray(NODE_4_MIB.encode())
    table[bit // 8] ^= 1 << bit % 8
    try:
        decoded = PartitionTable.decode(bytes(table))
    except PartitionTableError:
        return
    # Only bits of the digest's own mark can flip without effect on the rows.
    assert decoded == NODE_4_MIB


def test_node_layout_fits_its_flash_and_has_two_slots() -> None:
    NODE_4_MIB.check(FLASH_SIZE_BYTES)
    assert [slot.label for slot in NODE_4_MIB.ota_slots] == ["ota_0", "ota_1"]
    assert NODE_4_MIB.factory is None


def test_node_layout_is_refused_on_a_smaller_flash() -> None:
    with pytest.raises(PartitionTableError, match=r"'ota_1' ends at 0x310000"):
        NODE_4_MIB.check(2 << 20)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Partition("a", TYPE_DATA, 2, 0x9000, 0x2000)] * 2, "two partitions are called 'a'"),
        ([Partition("a", TYPE_APP, 0, 0x9000, 0x2000)], "no multiple of 0x10000"),
        ([Partition("a", TYPE_DATA, 2, 0x9000, 0x2001)], "whole sectors"),
        ([Partition("a", TYPE_DATA, 2, 0x8000, 0x1000)], "inside the bootloader"),
        (
            [
                Partition("a", TYPE_DATA, 2, 0x9000, 0x2000),
                Partition("b", TYPE_DATA, 2, 0xA000, 0x2000),
            ],
            "'a' and 'b' overlap at 0xa000",
        ),
        ([Partition("a", TYPE_DATA, 0, 0x9000, 0x1000)], "takes exactly 0x2000"),
        ([Partition("a", TYPE_APP, 0x10, 0x10000, 0x1000)], "no otadata partition"),
    ],
)
def test_layout_that_does_not_work_is_refused(rows: list[Partition], message: str) -> None:
    with pytest.raises(PartitionTableError, match=message):
        table_of(rows).check(FLASH_SIZE_BYTES)


def test_slot_behind_a_gap_is_no_slot() -> None:
    table = table_of(
        [
            Partition("ota_0", TYPE_APP, 0x10, 0x10000, 0x10000),
            Partition("ota_2", TYPE_APP, 0x12, 0x20000, 0x10000),
        ]
    )
    assert [slot.label for slot in table.ota_slots] == ["ota_0"]


def test_erased_flash_has_no_table() -> None:
    with pytest.raises(PartitionTableError, match="first row is empty"):
        PartitionTable.decode(b"\xff" * 0xC00)


def test_table_with_too_many_rows_is_refused() -> None:
    rows = [Partition(f"p{n}", TYPE_DATA, 2, 0x9000, 0x1000) for n in range(95)]
    with pytest.raises(PartitionTableError, match="too many"):
        PartitionTable(tuple(rows)).encode()
