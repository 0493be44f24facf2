"""Flash, boot, bootstrap, register, report: a board of the rig, from blank to in service."""

import json
from pathlib import Path

import pytest

from hil_tests.instruments.bench import BenchBoard
from hil_tests.instruments.boot_watch import ResetCause
from hil_tests.strategies.node_strategy import BOOTSTRAPPED_LINE

pytestmark = [pytest.mark.system, pytest.mark.board]


@pytest.mark.parametrize("status", ["flashed", "booted", "bootstrapped", "registered"])
def test_a_board_reaches_each_state(off_board: BenchBoard, status: str) -> None:
    off_board.strategy.transition(status)
    assert off_board.strategy.status.name == status


def test_a_registered_board_reports_and_loses_nothing(board: BenchBoard) -> None:
    board.wait_until(board.is_online, "online")
    board.wait_reports(3)
    assert board.lost_reports() == 0
    assert board.provisioner.view(board.strategy.mac).bundle_version == "1.0.0"


def test_a_node_that_is_flashed_again_keeps_its_keys(board: BenchBoard) -> None:
    since = board.console.mark()
    board.strategy.flash_again()
    board.strategy.transition("registered")
    assert BOOTSTRAPPED_LINE.strip("^$") not in board.console.text(since)
    board.wait_reports(2)


def test_a_lamp_command_reaches_a_board(board: BenchBoard) -> None:
    pole = board.provisioner.node(board.strategy.mac).pole
    outcome = board.provisioner.city.client.set_pole_lamp(pole.code, 40, timeout_s=60)
    assert outcome.status == "done", outcome


def test_all_boards_of_the_rig_serve_at_once(boards: list[BenchBoard]) -> None:
    for board in boards:
        board.strategy.transition("registered")
    for board in boards:
        board.wait_reports(2)
        assert board.lost_reports() == 0


def test_the_artefacts_tell_what_ran(board: BenchBoard, tmp_path: Path) -> None:
    board.save_artefacts(tmp_path)
    told = json.loads((tmp_path / "board.json").read_text())
    assert told["mac"] == board.strategy.mac.hex()
    assert len(told["firmware_sha256"]) == 64
    assert ResetCause.POWER_ON.value in told["boots"]
    assert "registered at" in (tmp_path / "console.log").read_text()
    # Global header of 24 bytes, then packets.
    assert len((tmp_path / "link.pcap").read_bytes()) > 24 + 16
