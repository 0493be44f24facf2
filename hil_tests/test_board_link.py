"""What happens to datagrams between a board and its gateway, and what the node makes of it."""

import pytest

from hil_tests.instruments.bench import BenchBoard
from hil_tests.instruments.boot_watch import ResetCause

pytestmark = [pytest.mark.system, pytest.mark.board]


@pytest.mark.parametrize(
    "disturbance",
    [{"loss": 0.3}, {"duplicate": 1.0}, {"reorder": 0.5}, {"delay_s": 0.4}],
    ids=lambda found: next(iter(found)),
)
def test_a_bad_link_loses_and_doubles_no_report(
    board: BenchBoard, disturbance: dict[str, float]
) -> None:
    board.link.disturb(**disturbance)
    before = len(board.link.recorded)
    board.wait_reports(4)
    assert len(board.link.recorded) > before, "the reports took another way"
    board.link.disturb()
    board.wait_reports(1)
    board.wait_until(lambda: board.lost_reports() == 0, "no gap")


def test_reports_of_an_outage_arrive_after_it(board: BenchBoard) -> None:
    board.wait_reports(1)
    board.link.cut()
    wait_tries(board, 3)
    # By now the gateway has handed on what it had when the link was cut.
    before = board.reports()
    wait_tries(board, 2)
    assert board.reports() == before, "the reports took another way"
    board.link.disturb()
    board.wait_reports(3)
    board.wait_until(lambda: board.lost_reports() == 0, "no gap")


def wait_tries(board: BenchBoard, more: int) -> None:
    """Wait until the board has sent this many further datagrams, in vain or not."""
    before = len(board.link.recorded)
    board.wait_until(lambda: len(board.link.recorded) >= before + more, f"{more} more tries")


def test_a_node_survives_that_a_nat_forgets_it(board: BenchBoard) -> None:
    board.wait_reports(1)
    board.link.rebind()
    board.wait_reports(2)
    # The gateway finds the node at its new address for commands too.
    pole = board.provisioner.node(board.strategy.mac).pole
    outcome = board.provisioner.city.client.set_pole_lamp(pole.code, 60, timeout_s=60)
    assert outcome.status == "done", outcome
    assert ResetCause.WATCHDOG not in [boot.cause for boot in board.console.watch.boots[-1:]]
