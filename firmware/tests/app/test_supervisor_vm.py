"""The supervisor: restarts, back-off, and when it stops feeding the watchdog."""

import asyncio
import sys

from node.supervisor import Supervisor

if not hasattr(sys, "print_exception"):
    sys.print_exception = lambda error: None


class Clock:
    """Milliseconds that pass only in sleep_ms."""

    def __init__(self):
        self.now_ms = 0
        self.slept = []

    async def sleep_ms(self, duration):
        until = self.now_ms + duration
        self.slept.append(duration)
        while self.now_ms < until:  # noqa: ASYNC110 - simulated time
            await asyncio.sleep(0)


async def drive(supervisor, clock, duration_ms, step_ms=100):
    """Run the supervisor for a simulated time."""
    running = asyncio.create_task(supervisor.run())
    for _ in range(duration_ms // step_ms):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.now_ms += step_ms
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        pass


def make():
    clock = Clock()
    fed = []
    supervisor = Supervisor(
        lambda: clock.now_ms,
        lambda later, earlier: later - earlier,
        lambda: fed.append(clock.now_ms),
        clock.sleep_ms,
    )
    return supervisor, clock, fed


def test_task_that_fails_is_restarted_with_growing_pauses():
    supervisor, clock, _ = make()
    starts = []

    async def fails():
        starts.append(clock.now_ms)
        raise ValueError("again")

    supervisor.add("fails", fails)
    asyncio.run(drive(supervisor, clock, 8500))
    pauses = [starts[i + 1] - starts[i] for i in range(len(starts) - 1)]
    assert len(starts) == 5, starts
    for shorter, longer in zip(pauses, pauses[1:]):
        assert longer > 1.6 * shorter, pauses


def test_one_failing_task_leaves_the_others_alone():
    supervisor, clock, _ = make()
    turns = []

    async def fails():
        raise ValueError("again")

    async def works():
        while True:
            turns.append(clock.now_ms)
            await clock.sleep_ms(500)

    supervisor.add("fails", fails)
    supervisor.add("works", works)
    asyncio.run(drive(supervisor, clock, 5000))
    assert len(turns) >= 9


def test_task_that_returns_is_done():
    supervisor, clock, fed = make()
    starts = []

    async def ends():
        starts.append(1)

    supervisor.add("ends", ends)
    asyncio.run(drive(supervisor, clock, 5000))
    assert starts == [1]
    assert len(fed) >= 4


def test_watchdog_is_not_fed_when_a_task_stalls():
    supervisor, clock, fed = make()

    async def stalls():
        await clock.sleep_ms(10**6)

    supervisor.add("stalls", stalls, 3000)
    asyncio.run(drive(supervisor, clock, 10000))
    assert 3 <= len(fed) <= 5
    assert max(fed) <= 4000


def test_watchdog_is_fed_while_the_task_beats():
    supervisor, clock, fed = make()

    async def works():
        while True:
            supervisor.beat(task)
            await clock.sleep_ms(500)

    task = supervisor.add("works", works, 3000)
    asyncio.run(drive(supervisor, clock, 10000))
    assert len(fed) >= 9


def test_watchdog_is_not_fed_when_restarts_do_not_help():
    supervisor, clock, fed = make()

    async def fails():
        raise ValueError("again")

    supervisor.add("fails", fails)
    asyncio.run(drive(supervisor, clock, 150000, 500))
    assert max(fed) < 100000


def test_task_added_later_runs():
    supervisor, clock, _ = make()
    ran = []

    async def late():
        ran.append(clock.now_ms)

    async def adds():
        supervisor.add("late", late)

    supervisor.add("adds", adds)
    asyncio.run(drive(supervisor, clock, 1000))
    assert ran
