"""The demo's parts that need no running city."""

import fcntl
import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from poleward_manifest import envelope as envelopes
from poleward_manifest.errors import EnvelopeError
from poleward_tools.client.views import StoredCount
from poleward_tools.demo import factory, street
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.demo.program import Program, ProgramError
from poleward_tools.demo.story import lost_readings, newest_reports
from poleward_tools.exit_codes import CommandError
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_image import node_files, prepare_software
from poleward_tools.flash_image.node_nvs import Trust, new_identity
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flash_image.partition_table import NODE_4_MIB, Partition
from poleward_tools.virtual_board.node_folder import NodeFolder, ProductionRun
from poleward_tools.virtual_board.stand_ins import stand_in_firmware
from poleward_tools.virtual_board.surroundings import Surroundings

MAC = bytes.fromhex("02504c000001")


def test_poles_stand_at_different_real_lamps_in_known_areas() -> None:
    lamps = {
        tuple(line.split(","))
        for line in street.SAMPLE.read_text().splitlines()
        if not line.startswith("#")
    }
    poles = street.poles(50)
    assert len({pole.code for pole in poles}) == 50
    assert {(f"{p.latitude_deg:.6f}", f"{p.longitude_deg:.6f}") for p in poles} <= lamps
    assert {pole.area_code for pole in poles} <= {area.code for area in street.areas()}


def test_areas_come_after_their_parents_and_have_12_digits() -> None:
    seen = {""}
    for area in street.areas():
        assert area.parent_code in seen
        assert len(area.code) == 12
        assert area.code.isdecimal()
        seen.add(area.code)


def test_the_whole_sample_can_be_used_and_no_more() -> None:
    assert len(street.poles(street.SAMPLE_SIZE)) == street.SAMPLE_SIZE
    with pytest.raises(ValueError, match="choose"):
        street.poles(street.SAMPLE_SIZE + 1)


def count(sequences: set[int], readings_per_report: int) -> StoredCount:
    return StoredCount(
        node_number=1,
        boot=1,
        reports=len(sequences),
        readings=len(sequences) * readings_per_report,
        first_sequence=min(sequences),
        last_sequence=max(sequences),
    )


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(1, 9))
def test_every_missing_sequence_number_is_a_lost_report(
    sequences: set[int], readings_per_report: int
) -> None:
    missing = set(range(max(sequences) + 1)) - sequences
    assert lost_readings([count(sequences, readings_per_report)]) == (
        len(missing) * readings_per_report
    )


def test_a_report_lost_at_the_end_shows_once_the_next_one_is_there() -> None:
    stored = [count({0, 1, 2}, 9)]
    assert newest_reports(stored) == {1: (1, 2)}
    # Number 3 was lost: nothing tells until 4 arrives.
    assert lost_readings(stored) == 0
    stored = [count({0, 1, 2, 4}, 9)]
    assert newest_reports(stored) == {1: (1, 4)}
    assert lost_readings(stored) == 9


def test_a_release_with_one_bit_of_its_signature_changed_does_not_verify(tmp_path: Path) -> None:
    key = factory.load_or_make_key(tmp_path / "keys" / "release.pem")
    trusted = [key.public_key().public_bytes_raw()]
    release = factory.build_release("1.2.3", sequence=9, key=key)
    assert envelopes.verify(release.envelope, trusted).sequence == 9
    forged = factory.with_bad_signature(release.envelope)
    assert len(forged) == len(release.envelope)
    with pytest.raises(EnvelopeError):
        envelopes.verify(forged, trusted)


def test_the_demo_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = factory.load_or_make_key(tmp_path / "keys" / "release.pem")
    again = factory.load_or_make_key(tmp_path / "keys" / "release.pem")
    assert first.public_key() == again.public_key()
    assert stat.S_IMODE((tmp_path / "keys" / "release.pem").stat().st_mode) == 0o600


PRODUCT = ProductionRun(
    prepare_software(
        stand_in_firmware("esp32"),
        node_files(
            root_files={"boot.py": b"", "main.py": b""},
            bundle=b"M",
            envelope=b"\xd8\x6b",
        ),
    ),
    Trust("coap://127.0.0.1:5683", (b"\x01" * 32,)),
)


def content_of(flash: bytes, part: Partition | None) -> bytes:
    assert part is not None
    return flash[part.offset : part.offset + part.size_bytes]


def test_a_node_folder_holds_identity_flash_and_surroundings(tmp_path: Path) -> None:
    identity = new_identity(MAC)
    surroundings = Surroundings(7, 51.5, -2.5, 90, air=b"PWAS")
    folder = NodeFolder.make(tmp_path, identity, surroundings, PRODUCT)
    assert NodeFolder.load(folder.path) == folder
    assert Surroundings.load(folder.path) == surroundings
    flash = folder.flash.read_bytes()
    nvs = NvsPartition.decode(content_of(flash, NODE_4_MIB.nvs))
    assert nvs.get("identity", "mac") == MAC
    assert nvs.get("identity", "gateway") == b"coap://127.0.0.1:5683"
    files = FileSystemImage.mount(content_of(flash, NODE_4_MIB.file_system)).files()
    assert files == {
        "/boot.py": b"", "/main.py": b"", "/slot_a/bundle": b"M",
        "/slot_a/release.cbor": b"\xd8\x6b",
    }  # fmt: skip
    assert stat.S_IMODE(folder.flash.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert identity.claim_code.encode() not in flash
    assert identity.claim_code not in repr(identity)


def test_a_node_is_not_made_twice(tmp_path: Path) -> None:
    surroundings = Surroundings(1, 51.5, -2.5, 60)
    NodeFolder.make(tmp_path, new_identity(MAC), surroundings, PRODUCT)
    with pytest.raises(FileExistsError):
        NodeFolder.make(tmp_path, new_identity(MAC), surroundings, PRODUCT)


def test_a_program_that_ends_at_once_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = Program(
        "board host",
        ["board", "serve", str(tmp_path / "absent")],
        log=tmp_path / "log",
        run_file=tmp_path / "run.json",
    )
    program.start()
    try:
        with pytest.raises(ProgramError, match="is no folder") as caught:
            program.wait_ready(60)
        assert caught.value.exit_code == 2
    finally:
        program.stop()


def test_a_second_board_host_of_a_folder_is_refused(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    with (nodes / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = Program("board host", ["board", "serve", str(nodes)], log=tmp_path / "log")
        second.start()
        try:
            assert second.wait(60) == 2
        finally:
            second.stop()
    assert "another `poleward board serve`" in (tmp_path / "log").read_text()


def test_a_program_is_stopped_orderly_and_may_be_stopped_again(tmp_path: Path) -> None:
    program = Program("board host", ["board", "serve", str(tmp_path)], log=tmp_path / "log")
    program.start()
    assert program.pid is not None
    program.stop()
    program.stop()
    assert program.pid is None


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("private")
    with City(CityPlan(tmp_path, 3)) as city, pytest.raises(CommandError, match="not empty"):
        city._load_state()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        City(CityPlan(tmp_path / "file" / "below", 3)) as city,
        pytest.raises(CommandError, match="Cannot use") as caught,
    ):
        city.bring_up(TerminalNarrator(Console(stderr=True)))
    assert caught.value.exit_code == 2


def test_a_city_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "city.json").write_text('{"poles": 5, "made_nodes": 5, "coap_port": 1}')
    with City(CityPlan(tmp_path, 3)) as city, pytest.raises(CommandError, match="--poles 5"):
        city._load_state()


def test_no_program_outlives_who_started_it(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from poleward_tools.demo.program import Program\n"
        f"folder = {str(tmp_path)!r}\n"
        "p = Program('boards', ['board', 'serve', folder], log=Path(folder, 'log'))\n"
        "p.start()\n"
        "print(p.pid, flush=True)\n"
        "input()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.communicate()
    # The descriptor names the process even after its number is used again; it becomes readable
    # when the process ends.
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 20)[0]
    finally:
        os.close(descriptor)
