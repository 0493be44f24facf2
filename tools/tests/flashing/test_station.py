"""The station on virtual boards, with real esptool between them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_nvs import factory_values
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flashing.errors import StationBusyError, StationError
from poleward_tools.flashing.outcome import BoardOutcome, Result
from poleward_tools.flashing.production import Production
from poleward_tools.flashing.run import StationRun, slots_of
from poleward_tools.flashing.slot import Plan, prepare_regions
from poleward_tools.flashing.station import Station
from poleward_tools.flashing.writer_link import WriterNursery
from poleward_tools.releases import keys

from .conftest import (
    DEADLINE_S,
    GATEWAY,
    MACS,
    Boards,
    firmware_folder,
    production_for,
)

pytestmark = pytest.mark.system

FlashAll = Callable[..., list[BoardOutcome]]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station.open(tmp_path / "station") as opened:
        yield opened


@pytest.fixture
def plan(tmp_path: Path, production: Production) -> Plan:
    folder = tmp_path / "regions"
    folder.mkdir()
    return Plan(production, prepare_regions(production, folder), self_test_s=DEADLINE_S)


@pytest.fixture
def flash_all(station: Station, plan: Plan) -> Iterator[FlashAll]:
    with WriterNursery() as nursery:

        def run(*ports: str, plan: Plan = plan, retries: int = 0) -> list[BoardOutcome]:
            slots = {str(number): port for number, port in enumerate(ports)}
            made = StationRun(station, nursery, plan, lambda *_: None, retries=retries)
            return made.once(slots)

        yield run


def events(station: Station) -> list[str]:
    lines = (station.folder / "record.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_boards_become_nodes_that_say_their_name_and_are_recognised_afterwards(
    boards: Boards, station: Station, plan: Plan, flash_all: FlashAll
) -> None:
    made = [boards.add(mac) for mac in MACS[:2]]
    outcomes = flash_all(*(board.port for board in made))
    assert [(o.result, o.mac, o.reason) for o in outcomes] == [
        (Result.PASSED, mac.hex(), "") for mac in MACS[:2]
    ]
    secrets = set()
    for board, mac in zip(made, MACS, strict=False):
        identity = station.identity(mac)
        assert identity is not None
        secrets.add(identity.bootstrap_secret)
        nvs = NvsPartition.decode(board.flash.read(0x9000, 0x4000)).values("identity")
        wanted = factory_values(identity, plan.production.trust)["identity"]
        assert wanted.items() <= nvs.items()
        files = FileSystemImage.mount(board.flash.read(0x310000, 0xF0000)).files()
        assert "/slot_a/bundle" in files
        label = station.labels / f"{mac.hex()}.pdf"
        assert label.read_bytes().startswith(b"%PDF")
        assert label.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(secrets) == 2
    record = (station.folder / "record.jsonl").read_text()
    assert not any(secret.hex() in record for secret in secrets)

    before = [board.flash.read(0x10000, 0x180000) for board in made]
    again = flash_all(*(board.port for board in made))
    assert [o.result for o in again] == [Result.RECOGNISED] * 2
    assert [o.written_bytes for o in again] == [0, 0]
    assert before == [board.flash.read(0x10000, 0x180000) for board in made]


def test_boards_on_the_network_are_reset_written_and_tested(
    boards: Boards, flash_all: FlashAll
) -> None:
    made = [boards.add(mac, on_network=True) for mac in MACS[:2]]
    outcomes = flash_all(*(board.port for board in made))
    assert [(o.result, o.mac, o.reason) for o in outcomes] == [
        (Result.PASSED, mac.hex(), "") for mac in MACS[:2]
    ]
    # pyserial's own way of setting timeouts would take it a minute.
    assert max(o.duration_s for o in outcomes) < 30
    # Over reset lines no download mode is in the way: the node runs.
    again = flash_all(*(board.port for board in made))
    assert [o.result for o in again] == [Result.RECOGNISED] * 2


def test_power_cut_while_writing_fails_only_that_board_and_it_goes_on_with_its_identity(
    boards: Boards, station: Station, flash_all: FlashAll
) -> None:
    good, bad = boards.add(MACS[0]), boards.add(MACS[1], cut_at=100)
    outcomes = flash_all(good.port, bad.port)
    assert [o.result for o in outcomes] == [Result.PASSED, Result.FAILED]
    assert outcomes[1].reason
    assert station.record.passed(MACS[1].hex()) is None
    begun = station.identity(MACS[1])
    assert not (station.labels / f"{MACS[1].hex()}.pdf").exists()
    boards.power_on(bad)
    (outcome,) = flash_all(bad.port)
    assert (outcome.result, outcome.reason) == (Result.PASSED, "")
    assert station.identity(MACS[1]) == begun


def test_failed_board_is_tried_again_by_itself(
    boards: Boards, station: Station, flash_all: FlashAll, plan: Plan
) -> None:
    # Bits that were not erased: the flash holds something else than was written.
    board = boards.add(MACS[0])
    board.flash.faults.flip_bit_rate = 0.001
    outcomes = flash_all(board.port, retries=1)
    assert (outcomes[0].result, outcomes[0].attempts) == (Result.FAILED, 2)
    assert "MD5" in outcomes[0].reason
    assert events(station) == ["begun", "failed"] * 2


def test_wrong_chip_and_too_small_a_flash_are_refused_untouched(
    boards: Boards, flash_all: FlashAll, tmp_path: Path, release: Path, key_file: Path
) -> None:
    chip, small = boards.add(MACS[0], "esp32c3"), boards.add(MACS[1], flash_mib=2)
    outcomes = flash_all(chip.port, small.port, retries=3)
    assert [(o.result, o.attempts) for o in outcomes] == [(Result.REFUSED, 1)] * 2
    assert outcomes[0].reason == "the board is an esp32c3, the image is for esp32"
    assert outcomes[1].reason == "the flash is 2 MiB, the image needs 4 MiB"
    assert chip.flash.counts.operations == small.flash.counts.operations == 0


def test_address_seen_before_is_refused_unless_reworked(
    boards: Boards, station: Station, plan: Plan, flash_all: FlashAll
) -> None:
    board = boards.add(MACS[0])
    assert flash_all(board.port)[0].result is Result.PASSED
    identity = station.identity(MACS[0])
    twin = boards.add(MACS[0])
    (refused,) = flash_all(twin.port)
    assert refused.result is Result.REFUSED
    assert "seen before" in refused.reason
    assert twin.flash.counts.operations == 0
    (reworked,) = flash_all(twin.port, plan=replace(plan, is_rework=True))
    assert reworked.result is Result.PASSED
    assert station.identity(MACS[0]) == identity


def test_one_address_in_two_slots_at_a_time_becomes_one_node(
    boards: Boards, flash_all: FlashAll
) -> None:
    twins = [boards.add(MACS[0]), boards.add(MACS[0])]
    results = {outcome.result for outcome in flash_all(*(twin.port for twin in twins))}
    assert results == {Result.PASSED, Result.REFUSED}


def test_unplugged_board_fails_with_a_reason(flash_all: FlashAll, tmp_path: Path) -> None:
    (outcome,) = flash_all(str(tmp_path / "nothing"))
    assert outcome.result is Result.FAILED
    assert "No such file" in outcome.reason


def test_node_of_another_release_fails_its_self_test(
    boards: Boards, station: Station, plan: Plan, flash_all: FlashAll
) -> None:
    board = boards.add(MACS[0])
    other = replace(plan, production=replace(plan.production, version="9.9.9"))
    (outcome,) = flash_all(board.port, plan=other)
    assert outcome.result is Result.FAILED
    assert "release 1.0.0, not urn:dev:mac:24ec4a000001 release 9.9.9" in outcome.reason
    assert station.record.passed(MACS[0].hex()) is None


def test_missing_label_printer_is_a_warning_and_in_the_record(
    boards: Boards, station: Station, plan: Plan, flash_all: FlashAll
) -> None:
    board = boards.add(MACS[0])
    (outcome,) = flash_all(board.port, plan=replace(plan, printer="no-such-printer {}"))
    assert outcome.result is Result.PASSED
    assert "no label printer" in outcome.warning
    assert events(station) == ["begun", "passed", "label-not-printed"]


def test_second_process_at_one_station_is_refused(station: Station) -> None:
    with (
        pytest.raises(StationBusyError, match=f"process {os.getpid()}"),
        Station.open(station.folder),
    ):
        pass


def test_watching_does_a_board_once_for_each_time_it_is_plugged_in(
    boards: Boards, station: Station, plan: Plan
) -> None:
    board = boards.add(MACS[0])
    stop, absences = threading.Event(), 0
    outcomes: list[BoardOutcome] = []

    def find() -> dict[str, str]:
        nonlocal absences
        # Plugged in, done, taken out, plugged in again.
        if len(outcomes) == 1 and absences < 2:
            absences += 1
            return {}
        return {"bench": board.port}

    def report(outcome: BoardOutcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 2:
            stop.set()

    with WriterNursery() as nursery:
        StationRun(station, nursery, plan, lambda *_: None).watch(find, report, stop)
    assert [o.result for o in outcomes] == [Result.PASSED, Result.RECOGNISED]


def test_watching_command_does_boards_that_come_and_go_until_ctrl_c(
    boards: Boards, tmp_path: Path, release: Path, key_file: Path
) -> None:
    """The bench's ports are links in a folder, as udev makes them in /dev/serial/by-path."""
    bench, first, second = tmp_path / "by-path", boards.add(MACS[0]), boards.add(MACS[1])
    unplugged = boards.add(MACS[2], cut_at=100)
    bench.mkdir()
    firmware = firmware_folder(tmp_path / "firmware", "esp32")
    command = [
        sys.executable, "-m", "poleward_tools", "flash", "--station", str(tmp_path / "station"),
        "--chip", "esp32", "--firmware", str(firmware), "--release", str(release),
        "--key", str(keys.public_path(key_file)), "--gateway", GATEWAY, "--retries", "0",
        "--port", f"{bench}/*", "--watch", "--json",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout

        def next_outcome() -> tuple[str, str, str]:
            assert process.stdout
            found = json.loads(process.stdout.readline())
            return found["slot"], found["mac"], found["result"]

        try:
            (bench / "left").symlink_to(first.port)
            assert next_outcome() == ("left", MACS[0].hex(), "passed")
            (bench / "right").symlink_to(second.port)
            assert next_outcome() == ("right", MACS[1].hex(), "passed")
            # One is taken out, another loses its power in the middle.
            (bench / "left").unlink()
            (bench / "middle").symlink_to(unplugged.port)
            assert next_outcome() == ("middle", MACS[2].hex(), "failed")
            boards.power_on(unplugged)
            (bench / "middle").unlink()
            (bench / "left").symlink_to(first.port)
            assert next_outcome() == ("left", MACS[0].hex(), "recognised")
            (bench / "middle").symlink_to(unplugged.port)
            assert next_outcome() == ("middle", MACS[2].hex(), "passed")
            process.send_signal(signal.SIGINT)
            summary = json.loads(process.stdout.readline())
            assert (summary["passed"], summary["recognised"], summary["failed"]) == (3, 1, 1)
            assert process.wait(DEADLINE_S) == 1, "a board failed once"
        finally:
            process.kill()


@pytest.mark.parametrize("until", ["begun", "24ec4a000001.json"])
def test_killed_station_goes_on_where_it_was(
    boards: Boards, tmp_path: Path, release: Path, key_file: Path, until: str
) -> None:
    board = boards.add(MACS[0])
    firmware = firmware_folder(tmp_path / "firmware", "esp32")
    folder = tmp_path / "station"
    command = [
        sys.executable, "-m", "poleward_tools", "flash", "--station", str(folder),
        "--chip", "esp32", "--firmware", str(firmware), "--release", str(release),
        "--key", str(keys.public_path(key_file)), "--gateway", GATEWAY,
        "--port", f"bench={board.port}", "--json",
    ]  # fmt: skip
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record = folder / "record.jsonl"
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and killed.poll() is None:
        identities = folder / "identities"
        if record.exists() and until in record.read_text():
            break
        if identities.exists() and until in os.listdir(identities):
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(DEADLINE_S)
    identity = (folder / "identities" / "24ec4a000001.json").read_text()
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["boards"]
    assert (outcome["slot"], outcome["result"]) == ("bench", "passed")
    assert (folder / "identities" / "24ec4a000001.json").read_text() == identity


def test_whole_chip_family_can_be_flashed(
    boards: Boards, station: Station, tmp_path: Path, release: Path, key_file: Path
) -> None:
    for number, chip in enumerate(("esp32c3", "esp32s3")):
        production = production_for(tmp_path, release, key_file, chip)
        plan = Plan(production, prepare_regions(production, tmp_path), self_test_s=DEADLINE_S)
        board = boards.add(MACS[number], chip)
        with WriterNursery() as nursery:
            run = StationRun(station, nursery, plan, lambda *_: None)
            (outcome,) = run.once({"a": board.port})
        assert (outcome.result, outcome.reason) == (Result.PASSED, "")


def test_slots_are_named_and_counted(station: Station, plan: Plan) -> None:
    assert slots_of(["left=/dev/ttyUSB0", "/dev/serial/by-path/x:1"]) == {
        "left": "/dev/ttyUSB0",
        "x:1": "/dev/serial/by-path/x:1",
    }
    assert slots_of(["rfc2217://h:1?x=y"]) == {"h:1?x=y": "rfc2217://h:1?x=y"}
    with pytest.raises(StationError, match="two slots are called a"):
        slots_of(["/x/a", "/y/a"])
    with WriterNursery() as nursery:
        run = StationRun(station, nursery, plan, lambda *_: None)
        with pytest.raises(StationError, match="at most 16"):
            run.once({str(number): "x" for number in range(17)})
        with pytest.raises(StationError, match="no serial port"):
            run.once({})
