"""Boot selection: the bootloader's rules one by one, and that no trial ever repeats."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.flash_image import otadata
from poleward_tools.flash_image.errors import OtaDataError
from poleward_tools.flash_image.otadata import FACTORY, BootChoice, SelectEntry, SlotState

BLANK = bytes(b"\xff" * 0x2000)


def data_of(first: SelectEntry | None, second: SelectEntry | None) -> bytearray:
    data = bytearray(BLANK)
    if first:
        data[:32] = first.encode()
    if second:
        data[0x1000:0x1020] = second.encode()
    return data


def boot(data: bytearray, *, bootable: tuple[int, ...] = (0, 1), factory: bool = False) -> int:
    choice = otadata.choose(
        bytes(data), slot_count=2, has_factory=factory, can_start=lambda slot: slot in bootable
    )
    otadata.apply(data, choice.writes)
    assert choice.slot is not None
    return choice.slot


def states(data: bytearray) -> tuple[int, int]:
    first, second = otadata.read_entries(bytes(data))
    return first.state, second.state


def test_checksum_is_the_one_of_esp_idf() -> None:
    # ESP-IDF writes these for ota_seq 1 (`bootloader_common_ota_select_crc`).
    assert otadata.sequence_checksum(1) == 0x4743989A
    assert SelectEntry.make(1, SlotState.VALID).encode() == (
        b"\x01\0\0\0" + b"\xff" * 20 + b"\x02\0\0\0" + bytes.fromhex("9a984347")
    )
    assert otadata.sequence_checksum(7) == zlib.crc32(b"\x07\0\0\0", 0xFFFFFFFF)


def test_first_start_records_slot_0_as_confirmed() -> None:
    data = bytearray(BLANK)
    assert boot(data) == 0
    assert otadata.read_entries(bytes(data))[0] == SelectEntry.make(1, SlotState.VALID)


def test_first_start_with_a_factory_application_writes_nothing() -> None:
    choice = otadata.choose(BLANK, slot_count=2, has_factory=True, can_start=lambda _: True)
    assert choice == BootChoice(FACTORY, ())


def test_first_start_records_the_slot_that_could_start() -> None:
    data = bytearray(BLANK)
    assert boot(data, bootable=(1,)) == 1
    assert otadata.read_entries(bytes(data))[0].sequence == 2


def test_higher_valid_sequence_selects() -> None:
    data = data_of(SelectEntry.make(5, SlotState.VALID), SelectEntry.make(4, SlotState.VALID))
    assert boot(data) == 0
    data = data_of(SelectEntry.make(5, SlotState.VALID), SelectEntry.make(6, SlotState.VALID))
    assert boot(data) == 1


def test_torn_entry_does_not_select() -> None:
    torn = SelectEntry(8, SlotState.NEW, 0x12345678)
    data = data_of(SelectEntry.make(5, SlotState.VALID), torn)
    assert boot(data) == 0


def test_new_selection_becomes_a_trial_that_returns_when_not_confirmed() -> None:
    data = data_of(SelectEntry.make(1, SlotState.VALID), None)
    otadata.apply(data, (otadata.select_slot(bytes(data), 1, 2),))
    assert states(data) == (SlotState.VALID, SlotState.NEW)
    assert boot(data) == 1
    assert states(data) == (SlotState.VALID, SlotState.PENDING_VERIFY)
    assert boot(data) == 0
    assert states(data) == (SlotState.VALID, SlotState.ABORTED)
    assert boot(data) == 0


def test_confirmed_trial_stays() -> None:
    data = data_of(SelectEntry.make(1, SlotState.VALID), None)
    otadata.apply(data, (otadata.select_slot(bytes(data), 1, 2),))
    assert boot(data) == 1
    write = otadata.mark_running(bytes(data), SlotState.VALID)
    assert write is not None
    otadata.apply(data, (write,))
    assert boot(data) == 1
    assert otadata.mark_running(bytes(data), SlotState.VALID) is None


def test_given_up_trial_returns_at_the_next_start() -> None:
    data = data_of(SelectEntry.make(1, SlotState.VALID), SelectEntry.make(2, SlotState.NEW))
    assert boot(data) == 1
    write = otadata.mark_running(bytes(data), SlotState.INVALID)
    assert write is not None
    otadata.apply(data, (write,))
    assert boot(data) == 0


def test_image_that_cannot_start_is_skipped_downwards_first() -> None:
    data = data_of(SelectEntry.make(2, SlotState.VALID), None)
    assert boot(data, bootable=(0,)) == 0
    assert boot(data, bootable=(FACTORY, 0), factory=True) == 0
    assert boot(data, bootable=(FACTORY,), factory=True) == FACTORY
    data = data_of(SelectEntry.make(1, SlotState.VALID), None)
    assert boot(data, bootable=(1,)) == 1


def test_nothing_starts_when_no_image_can() -> None:
    choice = otadata.choose(BLANK, slot_count=2, has_factory=False, can_start=lambda _: False)
    assert choice == BootChoice(None, ())


def test_both_entries_ruled_out_start_slot_0_without_recording_it() -> None:
    data = data_of(SelectEntry.make(3, SlotState.ABORTED), SelectEntry.make(2, SlotState.INVALID))
    choice = otadata.choose(bytes(data), slot_count=2, has_factory=False, can_start=lambda _: True)
    assert choice == BootChoice(0, ())


def test_select_writes_the_sector_that_does_not_select() -> None:
    data = data_of(SelectEntry.make(4, SlotState.VALID), SelectEntry.make(3, SlotState.VALID))
    write = otadata.select_slot(bytes(data), 0, 2)
    assert write.offset == 0x1000
    assert SelectEntry.decode(write.data) == SelectEntry.make(5, SlotState.NEW)


def test_unknown_slot_and_wrong_size_are_refused() -> None:
    with pytest.raises(OtaDataError, match="slot 2 does not exist; there are 2"):
        otadata.select_slot(BLANK, 2, 2)
    with pytest.raises(OtaDataError, match="4096 bytes instead of 8192"):
        otadata.read_entries(BLANK[:4096])


@given(
    st.integers(1, 5).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(
                st.tuples(st.integers(0, count - 1), st.booleans(), st.booleans()), max_size=12
            ),
        )
    )
)
def test_updates_always_start_what_was_selected_or_last_confirmed(
    story: tuple[int, list[tuple[int, bool, bool]]],
) -> None:
    """Any history of selections; each is confirmed or not, and may be cut while being written."""
    slot_count, steps = story
    data = bytearray(BLANK)

    def start() -> int | None:
        choice = otadata.choose(
            bytes(data), slot_count=slot_count, has_factory=False, can_start=lambda _: True
        )
        otadata.apply(data, choice.writes)
        return choice.slot

    confirmed = start()
    assert confirmed == 0
    for slot, is_confirmed, is_cut in steps:
        write = otadata.select_slot(bytes(data), slot, slot_count)
        if is_cut:
            data[write.offset : write.offset + 0x1000] = b"\xff" * 0x1000
            assert start() == confirmed
            continue
        otadata.apply(data, (write,))
        assert start() == slot
        if is_confirmed:
            # Selecting the running slot again can leave nothing to confirm.
            confirming = otadata.mark_running(bytes(data), SlotState.VALID)
            otadata.apply(data, (confirming,) if confirming else ())
            confirmed = slot
        assert start() == confirmed


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.booleans())
def test_any_content_gives_a_decision(first: bytes, second: bytes, has_factory: bool) -> None:
    data = bytearray(BLANK)
    data[:32] = first
    data[0x1000:0x1020] = second
    choice = otadata.choose(
        bytes(data), slot_count=2, has_factory=has_factory, can_start=lambda _: True
    )
    assert choice.slot in (FACTORY, 0, 1)
