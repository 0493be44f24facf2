"""The time that bytes take on a paced line, by a clock that the test turns."""

import pytest

from poleward_tools.virtual_board.line import Direction, Wire

# One byte takes ten bit times: at this rate a tenth of a millisecond.
BAUD = 100_000


class LateTimer:
    """A clock that only a sleeper turns, each time further than it asked for."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.sleeps = 0
        self._late_s = late_s

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.sleeps += 1
        self.now_s += wait_s + self._late_s


def wire_on(timer: LateTimer) -> Wire:
    return Wire(BAUD, clock=timer, sleep=timer.sleep)


async def test_a_message_takes_its_time_at_the_lower_rate() -> None:
    timer = LateTimer()
    wire = wire_on(timer)
    await wire.pass_time(Direction.IN, 1000, BAUD)
    assert timer.now_s == pytest.approx(100.1)
    await wire.pass_time(Direction.IN, 1000, BAUD // 2)
    assert timer.now_s == pytest.approx(100.3)


async def test_late_wake_ups_do_not_add_up() -> None:
    timer = LateTimer(late_s=0.003)
    wire = wire_on(timer)
    for _ in range(20):
        await wire.pass_time(Direction.IN, 1000, BAUD)
        await wire.pass_time(Direction.OUT, 100, BAUD)
    assert timer.now_s == pytest.approx(100 + 20 * 0.11 + 0.003)


async def test_what_the_board_computes_is_not_on_the_wire_but_the_tools_time_is() -> None:
    timer = LateTimer()
    wire = wire_on(timer)
    for _ in range(20):
        await wire.pass_time(Direction.IN, 1000, BAUD)
        timer.now_s += 0.002  # the board
        await wire.pass_time(Direction.OUT, 100, BAUD)
        timer.now_s += 0.004  # the tool
    assert timer.now_s == pytest.approx(100 + 20 * (0.11 + 0.004))


async def test_short_waits_are_made_up_for_later() -> None:
    timer = LateTimer()
    wire = wire_on(timer)
    for _ in range(20):
        await wire.pass_time(Direction.IN, 1000, BAUD)
        await wire.pass_time(Direction.OUT, 2, BAUD)
    await wire.pass_time(Direction.IN, 1000, BAUD)
    assert timer.sleeps == 21
    assert timer.now_s == pytest.approx(100 + 21 * 0.1 + 20 * 0.0002)


async def test_a_line_that_rested_owes_nothing() -> None:
    timer = LateTimer(late_s=0.003)
    wire = wire_on(timer)
    await wire.pass_time(Direction.IN, 1000, BAUD)
    timer.now_s += 60
    before_s = timer.now_s
    await wire.pass_time(Direction.OUT, 1000, BAUD)
    assert timer.now_s - before_s == pytest.approx(0.1)
