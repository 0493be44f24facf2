"""The fleet is killed at every statement of a rollout; the end is the same as without."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from release_builders import publish
from rollout_rig import CONFIRMED, EVERYWHERE, report, stages
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import ADMIN, FakeClock, make_poles
from poleward_fleet.adapters.sql.rollout_steps import JOIN_PERIOD_MS
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import OVER, NodeStage
from poleward_fleet.domain.rollout_policy import OnFailure, Policy, StageDeadlines, Wave
from poleward_fleet.services.gateways import GatewayLink
from poleward_fleet.services.rollout_loop import LEASE_MS

Act = Callable[[], Awaitable[object]]
DAY_S = 86_400


class CrashError(Exception):
    """The fleet ends here."""


class Crashes:
    """Cuts a fleet off before a statement or a commit; another process goes on."""

    def __init__(self, fleet: Fleet, engine: AsyncEngine, clock: FakeClock) -> None:
        self.seen = 0
        self._fleet = fleet
        self._clock = clock
        self._left = 0
        for name in ("before_cursor_execute", "commit"):
            event.listen(engine.sync_engine, name, self._reach)

    async def at_every_statement(self, act: Act) -> None:
        """Repeat something, each time cut off one statement later, until it comes to its end."""
        for self._left in itertools.count(1):
            try:
                await act()
            except CrashError:
                self.seen += 1
                self._fleet.rollout_loop._owner = f"process {self.seen}"
                self._clock.pass_ms(LEASE_MS + 1)
                continue
            self._left = 0
            return

    def _reach(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashError


async def without_crashes(act: Act) -> None:
    await act()


async def end_of_a_bad_release(
    fleet: Fleet, link: GatewayLink, clock: FakeClock, do: Callable[[Act], Awaitable[None]]
) -> list[tuple[str, Counter[NodeStage], set[int]]]:
    """Roll out a release that its second wave does not keep, until the nodes are returned.

    Returns:
        Of each rollout its state, the stages of its nodes and how often they were asked.
    """
    number = len(await fleet.releases.releases(ADMIN)) + 2
    bad, good = await publish(fleet, number), await publish(fleet, number + 1)
    policy = Policy(
        waves=(Wave(nodes=2, wait_s=1), Wave(nodes=2), Wave()),
        on_failure=OnFailure.RETURN,
        return_digest=good.digest,
        max_failures=1,
        deadlines=StageDeadlines(DAY_S, DAY_S, DAY_S, DAY_S),
    )
    first = (await fleet.rollouts.create(ADMIN, bad.digest, EVERYWHERE, policy)).number

    async def play(release: Release, rollout: int) -> None:
        """Have each node that was offered a release go through all stages."""
        for node in await fleet.rollouts.nodes(ADMIN, rollout, stages=[NodeStage.OFFERED]):
            last = NodeStage.RETURNED if release is bad and node.wave else CONFIRMED
            for stage in (NodeStage.DOWNLOADING, NodeStage.TRIAL, last):
                await do(partial(report, fleet, link, release, node.node_number, stage))

    for _ in range(8):
        await do(fleet.rollout_loop.reconcile)
        for found in await fleet.rollouts.rollouts(ADMIN):
            if found.number >= first:
                await play(good if found.returns_rollout else bad, found.number)
        clock.pass_ms(JOIN_PERIOD_MS)
    ended = [found for found in await fleet.rollouts.rollouts(ADMIN) if found.number >= first]
    assert all(found.state in OVER for found in ended)
    return [
        (
            found.state.value,
            Counter(await stages(fleet, found.number)),
            {node.attempts for node in await fleet.rollouts.nodes(ADMIN, found.number)},
        )
        for found in ended
    ]


async def test_a_fleet_killed_at_every_statement_comes_to_the_same_end(
    fleet: Fleet, link: GatewayLink, clock: FakeClock, engine: AsyncEngine
) -> None:
    await make_poles(fleet, 5)
    expected = await end_of_a_bad_release(fleet, link, clock, without_crashes)
    assert [state for state, _, _ in expected] == ["finished", "stopped"]
    crashes = Crashes(fleet, engine, clock)
    assert await end_of_a_bad_release(fleet, link, clock, crashes.at_every_statement) == expected
    assert crashes.seen > 100
