"""NVS: byte for byte what Espressif's generator makes, and a power cut at every operation."""

import contextlib
import csv
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poleward_tools.flash_image.errors import NvsError, NvsFullError
from poleward_tools.flash_image.nvs import Integer, MemoryStorage, NvsPartition, Value
from poleward_tools.flash_image.nvs_page import ItemType, Page, PageState
from poleward_tools.virtual_board.flash_chip import FlashFaults, NorFlash, PowerCutError

SIZE_BYTES = 0x4000

IDENTITY: dict[str, dict[str, Value]] = {
    "identity": {
        "mac": bytes.fromhex("24ec4a112233"),
        "bs_secret": bytes(range(16)),
        "profile": b"pole-basic",
        "gateway": b"coap://[::1]:5683",
        "relkeys": bytes(range(64)),
    },
    "boot": {
        "slot": Integer(ItemType.I32, 0),
        "count": Integer(ItemType.I32, -5),
        "tiny": Integer(ItemType.U8, 255),
        "big": Integer(ItemType.U64, 2**64 - 1),
        "name": "路灯 12",
    },
}


def generated(values: dict[str, dict[str, Value]], folder: Path, size_bytes: int) -> bytes:
    rows = [["key", "type", "encoding", "value"]]
    for namespace, items in values.items():
        rows.append([namespace, "namespace", "", ""])
        for key, value in items.items():
            if isinstance(value, bytes):
                path = folder / f"{namespace}-{key}.bin"
                path.write_bytes(value)
                rows.append([key, "file", "binary", str(path)])
            elif isinstance(value, str):
                rows.append([key, "data", "string", value])
            else:
                rows.append([key, "data", value.type.name.lower(), str(value.value)])
    table = folder / "values.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    output = folder / "nvs.bin"
    subprocess.run(
        [
            sys.executable, "-m", "esp_idf_nvs_partition_gen",
            "generate", str(table), str(output), hex(size_bytes),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return output.read_bytes()


def written(values: dict[str, dict[str, Value]], size_bytes: int = SIZE_BYTES) -> bytes:
    storage = MemoryStorage(bytearray(b"\xff" * size_bytes))
    partition = NvsPartition(storage)
    for namespace, items in values.items():
        for key, value in items.items():
            partition.set(namespace, key, value)
    return bytes(storage.content)


def contents(partition: NvsPartition) -> dict[str, dict[str, Value]]:
    return {name: partition.values(name) for name in partition.namespaces()}


def test_identity_is_byte_for_byte_what_espressifs_generator_writes(tmp_path: Path) -> None:
    assert written(IDENTITY) == generated(IDENTITY, tmp_path, SIZE_BYTES)


def test_blob_over_two_pages_is_byte_for_byte_what_the_generator_writes(tmp_path: Path) -> None:
    values: dict[str, dict[str, Value]] = {"big": {"blob": random.Random(1).randbytes(5000)}}
    assert written(values) == generated(values, tmp_path, SIZE_BYTES)


def test_generated_partition_is_read_and_left_untouched(tmp_path: Path) -> None:
    content = generated(IDENTITY, tmp_path, SIZE_BYTES)
    storage = MemoryStorage(bytearray(content))
    assert contents(NvsPartition(storage)) == IDENTITY
    assert storage.content == content


def test_equal_value_is_not_written_again() -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    partition = NvsPartition(flash)
    partition.set("boot", "slot", Integer(ItemType.I32, 1))
    before = flash.counts.operations
    partition.set("boot", "slot", Integer(ItemType.I32, 1))
    assert flash.counts.operations == before


def test_key_can_change_its_type() -> None:
    partition = NvsPartition.blank(SIZE_BYTES)
    values: list[Value] = [b"x" * 5000, Integer(ItemType.I32, 7), "text", b"", b"y" * 5000]
    for value in values:
        partition.set("a", "key", value)
        assert partition.values("a") == {"key": value}


def test_erased_key_is_gone_and_its_room_comes_back() -> None:
    partition = NvsPartition.blank(SIZE_BYTES)
    partition.set("a", "keep", b"k")
    room = partition.room_entries
    partition.set("a", "gone", b"g" * 6000)
    assert partition.room_entries < room
    assert partition.erase("a", "gone")
    assert not partition.erase("a", "gone")
    assert partition.room_entries == room
    assert partition.values("a") == {"keep": b"k"}


def test_full_partition_refuses_and_keeps_every_value() -> None:
    storage = MemoryStorage(bytearray(b"\xff" * 0x3000))
    partition = NvsPartition(storage)
    kept: dict[str, Value] = {}
    with contextlib.suppress(NvsFullError):
        for number in range(1000):
            value = bytes([number % 251]) * 300
            partition.set("a", f"key{number}", value)
            kept[f"key{number}"] = value
    assert 15 < len(kept) < 1000
    assert partition.values("a") == kept
    assert NvsPartition(storage).values("a") == kept
    with pytest.raises(NvsFullError):
        partition.set("a", "blob", bytes(9000))
    assert partition.values("a") == kept


def test_rewriting_one_counter_for_ever_wears_all_pages_alike() -> None:
    flash = NorFlash.blank(SIZE_BYTES)
    partition = NvsPartition(flash)
    partition.set("a", "fixed", b"f" * 100)
    for count in range(3000):
        partition.set("a", "count", Integer(ItemType.U32, count))
    assert partition.values("a") == {"fixed": b"f" * 100, "count": Integer(ItemType.U32, 2999)}
    assert flash.counts.erases < 3000 // 100
    assert NvsPartition(flash).values("a") == partition.values("a")


@pytest.mark.parametrize("name", ["", "sixteen-bytes-xx", "a\0b"])
def test_name_that_cannot_be_stored_is_refused(name: str) -> None:
    with pytest.raises(NvsError, match="1 to 15 bytes"):
        NvsPartition.blank(SIZE_BYTES).set("a", name, b"")


def test_number_and_text_that_do_not_fit_are_refused() -> None:
    partition = NvsPartition.blank(SIZE_BYTES)
    with pytest.raises(NvsError, match="300 does not fit U8"):
        partition.set("a", "b", Integer(ItemType.U8, 300))
    with pytest.raises(NvsError, match="at most 3999 bytes"):
        partition.set("a", "b", "x" * 4000)


def test_partition_of_two_pages_is_refused() -> None:
    with pytest.raises(NvsError, match="at least 3 whole pages"):
        NvsPartition.blank(0x2000)


def test_empty_active_page_without_a_free_one_is_taken_back() -> None:
    """ESP-IDF cut between activating a page and marking the one to collect."""
    storage = MemoryStorage(bytearray(written({"a": {f"k{n}": b"v" * 300 for n in range(22)}})))
    for offset in range(0, SIZE_BYTES, 4096):
        page = Page.load(storage, offset)
        if page.state is PageState.UNINITIALIZED:
            page.activate(100 + offset // 4096)
            page.mark(PageState.FULL if offset < SIZE_BYTES - 4096 else PageState.ACTIVE)
    partition = NvsPartition(storage)
    partition.set("a", "more", b"m" * 300)
    assert len(partition.values("a")) == 23


keys = st.sampled_from(["a", "b", "c", "d", "e"])
namespaces = st.sampled_from(["one", "two"])
values = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda number: Integer(ItemType.I32, number)),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
    st.integers(0, 1500).flatmap(lambda size: st.just(random.Random(size).randbytes(size))),
)
steps = st.lists(st.tuples(namespaces, keys, values | st.none()), min_size=1, max_size=25)
Story = list[tuple[str, str, Value | None]]


def carry_out(partition: NvsPartition, step: tuple[str, str, Value | None]) -> None:
    namespace, key, value = step
    if value is None:
        partition.erase(namespace, key)
    else:
        partition.set(namespace, key, value)


@given(steps)
def test_any_history_reads_back_as_a_dictionary_would(story: Story) -> None:
    storage = MemoryStorage(bytearray(b"\xff" * 0x3000))
    partition = NvsPartition(storage)
    model: dict[tuple[str, str], Value] = {}
    for namespace, key, value in story:
        try:
            carry_out(partition, (namespace, key, value))
        except NvsFullError:
            continue
        if value is None:
            model.pop((namespace, key), None)
        else:
            model[namespace, key] = value
    for seen in (partition, NvsPartition.decode(bytes(storage.content))):
        found = {
            (namespace, key): value
            for namespace in seen.namespaces()
            for key, value in seen.values(namespace).items()
        }
        assert found == model


@given(steps, st.integers(1, 400), st.integers(0, 2**16), st.integers(0, 40))
@settings(max_examples=300)
def test_power_cut_leaves_each_key_with_its_old_or_its_new_value(
    story: Story, cut_at: int, seed: int, again: int
) -> None:
    """Cut anywhere in any history, and once more while the next start repairs."""
    flash = NorFlash.blank(0x3000, FlashFaults(cut_at_operation=cut_at, seed=seed))
    partition = NvsPartition(flash)
    model: dict[tuple[str, str], Value | None] = {}
    pending: tuple[str, str, Value | None] | None = None
    for step in story:
        try:
            carry_out(partition, step)
        except PowerCutError:
            pending = step
            break
        except NvsFullError:
            continue
        model[step[0], step[1]] = step[2]
    flash.faults.cut_at_operation = flash.counts.operations + 1 + again
    with contextlib.suppress(PowerCutError):
        NvsPartition(flash)
    flash.faults.cut_at_operation = None
    survivor = NvsPartition(flash)
    for (namespace, key), value in model.items():
        if pending is None or (namespace, key) != pending[:2]:
            assert survivor.get(namespace, key) == value
    if pending is not None:
        allowed = (model.get(pending[:2]), pending[2])
        assert survivor.get(*pending[:2]) in allowed
    survivor.set("after", "cut", b"still writes")
    assert NvsPartition(flash).get("after", "cut") == b"still writes"


class EveryCut:
    """Storage that hands what a cut would leave to `check`, before each operation."""

    size_bytes = 0x3000

    def __init__(self, check: Callable[[bytes], None]) -> None:
        self._check = check
        self._flash = NorFlash.blank(self.size_bytes)

    def read(self, offset: int, size_bytes: int) -> bytes:
        return self._flash.read(offset, size_bytes)

    def program(self, offset: int, data: bytes) -> None:
        self._try(lambda flash: flash.program(offset, data), seeds=2)
        self._flash.program(offset, data)

    def erase_sector(self, offset: int) -> None:
        self._try(lambda flash: flash.erase_sector(offset), seeds=4)
        self._flash.erase_sector(offset)

    def _try(self, operation: Callable[[NorFlash], None], seeds: int) -> None:
        for seed in range(seeds):
            content = bytearray(self.read(0, self.size_bytes))
            flash = NorFlash(content, FlashFaults(cut_at_operation=1, seed=seed))
            with pytest.raises(PowerCutError):
                operation(flash)
            self._check(bytes(content))


def test_power_cut_at_any_operation_of_garbage_collection_loses_nothing() -> None:
    """Three pages, most of them live, one counter and one blob rewritten until all were collected.

    Each state a cut can leave is started from, and that start is itself cut at every operation.
    """
    model: dict[str, Value] = {}
    pending: dict[str, Value] = {}
    states: set[bytes] = set()
    collections = 0

    def check_values(partition: NvsPartition) -> None:
        found = partition.values("a")
        for key, value in model.items():
            assert found.get(key) in (value, pending.get(key, value))

    def check(content: bytes) -> None:
        nonlocal collections
        if content in states:
            return
        states.add(content)
        pages = [Page.load(MemoryStorage(bytearray(content)), at) for at in (0, 4096, 8192)]
        is_collecting = any(page.state is PageState.FREEING for page in pages)
        collections += is_collecting
        check_values(NvsPartition.decode(content))
        for cut_at in range(1, 400) if is_collecting and collections % 50 == 0 else ():
            flash = NorFlash(bytearray(content), FlashFaults(cut_at_operation=cut_at))
            try:
                NvsPartition(flash)
            except PowerCutError:
                flash.faults.cut_at_operation = None
                check_values(NvsPartition(flash))
            else:
                break

    partition = NvsPartition(EveryCut(check))
    for number in range(30):
        partition.set("a", f"fixed{number}", bytes([number]) * 64)
        model[f"fixed{number}"] = bytes([number]) * 64
    for count in range(60):
        rewritten: dict[str, Value] = {
            "count": Integer(ItemType.U32, count),
            "blob": bytes([count]) * 99,
            # Spreads the live items over the pages, so that each collection has some to copy.
            f"fixed{count * 7 % 30}": bytes([count]) * 64,
        }
        for key, value in rewritten.items():
            pending = {key: value}
            partition.set("a", key, value)
            model[key] = value
    assert collections > 100


@given(st.binary(max_size=200), st.integers(0, SIZE_BYTES - 1))
def test_damaged_partition_loads_and_shows_only_whole_values(noise: bytes, offset: int) -> None:
    content = bytearray(written(IDENTITY))
    content[offset : offset + len(noise)] = noise
    content = content[:SIZE_BYTES]
    content += b"\xff" * (SIZE_BYTES - len(content))
    for namespace, items in contents(NvsPartition.decode(bytes(content))).items():
        for key, value in items.items():
            assert value == IDENTITY[namespace][key]
