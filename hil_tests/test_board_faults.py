"""What breaks boards: power cuts in each stage, brown-out, hang, boot loop, a flash that tears."""

import pytest

from hil_tests.instruments.bench import BenchBoard
from hil_tests.instruments.board_fixtures import TakeBoard
from hil_tests.instruments.boot_watch import ResetCause
from hil_tests.instruments.errors import (
    BoardError,
    BootLoopError,
    FlashError,
    InfrastructureError,
    UnexpectedResetError,
)
from hil_tests.strategies.node_strategy import BOOTSTRAPPED_LINE, REGISTERED_LINE, STARTED_LINE

pytestmark = [
    pytest.mark.system,
    pytest.mark.board,
    pytest.mark.lg_feature("faults"),
]

DEADLINE_S = 120.0  # the node's own watchdog bites after 30 s


@pytest.mark.parametrize("cut_after", [3, 100])
def test_a_power_cut_while_flashing_is_repaired_by_flashing_again(
    take_board: TakeBoard, cut_after: int
) -> None:
    board = take_board("spare")
    board.strategy.forget_software()
    board.strategy.transition("off")
    board.faults.cut_power_after(cut_after)
    with pytest.raises((FlashError, InfrastructureError)):
        board.strategy.transition("flashed")
    board.strategy.transition("off")
    board.strategy.transition("registered")


def test_power_cuts_in_each_stage_of_the_first_start_are_survived(take_board: TakeBoard) -> None:
    board = take_board("second")
    board.strategy.transition("flashed")
    for stage in (STARTED_LINE, BOOTSTRAPPED_LINE, REGISTERED_LINE):
        # Registered stands in for bootstrapped in a second attempt: the node has its keys then.
        awaited = f"{stage}|{REGISTERED_LINE}"
        since = board.console.mark()
        board.power.cycle()
        board.console.wait_for(awaited, 60, since=since, allowing=(ResetCause.POWER_ON,))
        board.strategy.power_off()
    board.strategy.transition("registered")
    board.wait_reports(1)


@pytest.mark.parametrize("cut_after", [1, 3, 7])
def test_a_power_cut_while_the_node_writes_leaves_a_node_that_works(
    board: BenchBoard, cut_after: int
) -> None:
    board.faults.cut_power_after(cut_after)
    # A start writes nine times or more: it counts itself, takes sequence numbers and registers.
    board.faults.brown_out()
    board.faults.wait_power_cut(DEADLINE_S)
    board.strategy.transition("off")
    board.strategy.transition("registered")
    board.wait_reports(2)


def test_a_brown_out_is_named_and_the_node_comes_back(board: BenchBoard) -> None:
    since = board.console.mark()
    board.faults.brown_out()
    # First that it started: "registered" may be what the reset cut off in the middle of its line.
    board.strategy.wait_started(since=since, allowing=(ResetCause.BROWN_OUT,))
    board.strategy.wait_registered(since=since, allowing=(ResetCause.BROWN_OUT,))
    assert board.console.watch.boots[-1].cause is ResetCause.BROWN_OUT
    board.wait_reports(1)


def test_an_unexpected_reset_ends_a_wait_at_once_with_its_reason(board: BenchBoard) -> None:
    since = board.console.mark()
    board.faults.brown_out()
    with pytest.raises(UnexpectedResetError, match=r"reset \(brown-out\)"):
        board.console.wait_for("never printed", 60, since=since)


def test_a_node_that_hangs_is_reset_by_its_watchdog(board: BenchBoard) -> None:
    since = board.console.mark()
    board.faults.hang()
    board.strategy.wait_started(since=since, allowing=(ResetCause.WATCHDOG,), timeout_s=DEADLINE_S)
    board.strategy.wait_registered(since=since, allowing=(ResetCause.WATCHDOG,))
    board.wait_reports(1)


def test_a_boot_loop_is_recognised_long_before_the_time_is_over(take_board: TakeBoard) -> None:
    board = take_board("spare")
    board.strategy.transition("flashed")
    # No application image: the bootloader gives up, its watchdog resets the chip.
    board.strategy.flasher.flash({0x10000: b"\xff" * 0x1000})
    since = board.console.mark()
    board.power.cycle()
    with pytest.raises(BootLoopError, match=r"3 boots in .* s"):
        board.console.wait_for(STARTED_LINE, 60, since=since, allowing=tuple(ResetCause))
    board.strategy.flash_again()
    board.strategy.transition("booted")


def test_a_torn_file_system_is_no_boot_loop_and_flashing_mends_it(take_board: TakeBoard) -> None:
    board = take_board("spare")
    board.strategy.transition("flashed")
    board.strategy.flasher.flash({0x310000: b"\x00" * 0x2000})
    since = board.console.mark()
    board.power.cycle()
    board.console.wait_for("file system is damaged", 30, since=since, allowing=tuple(ResetCause))
    with pytest.raises(BoardError):
        board.strategy.wait_started(since=since, timeout_s=1)
    board.strategy.flash_again()
    board.strategy.transition("booted")
