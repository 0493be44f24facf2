"""Carries rollouts on: a reconciliation loop over the database, one owner per rollout.

Not the decisions (domain/rollout.py). A crash at any moment loses no step: everything that the
loop knows is in the database, each step is stored as a whole, and any step can be repeated.
"""

import asyncio
import functools
import uuid

import structlog

from poleward_fleet.domain.directives import RENEWED_AFTER_MS
from poleward_fleet.domain.errors import FleetError
from poleward_fleet.domain.rollout import ReturnUpdated, next_actions
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.rollouts import RolloutSteps
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks

_log = structlog.get_logger(__name__)

LEASE_MS = 30_000
PERIOD_S = 2.0
# Between two looks: what nodes report meanwhile is answered together, so gateways get their next
# nodes in few messages.
BREATH_S = 0.2
HEALTH_PERIOD_MS = 10_000
RENEWAL_PERIOD_MS = 3_600_000
# Steps of one rollout before the next one has its turn.
MAX_STEPS = 20


class RolloutLoop:
    """Looks at every rollout that may need action, when woken and every PERIOD_S.

    Args:
        steps: Reads facts and stores decisions.
        links: Gateways are told what is desired of their nodes.
        changes: Live updates.
        clock: Wall time.
    """

    def __init__(
        self, steps: RolloutSteps, links: GatewayLinks, changes: ChangeBroadcast, clock: Clock
    ) -> None:
        self._steps = steps
        self._links = links
        self._changes = changes
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._woken = asyncio.Event()
        self._health_at_ms = 0
        self._renewed_at_ms = 0

    def wake(self) -> None:
        """Look at once instead of at the next turn."""
        self._woken.set()

    async def run(self) -> None:
        """Reconcile for ever; cancelled by its owner."""
        while True:
            try:
                async with asyncio.timeout(PERIOD_S):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                await self.reconcile()
            except FleetError as error:
                _log.warning("rollouts_wait", reason=str(error))
            await asyncio.sleep(BREATH_S)

    async def reconcile(self) -> None:
        """Look once at every rollout that may need action and do what has to be done."""
        now_ms = self._clock.now_ms()
        with_health = now_ms - self._health_at_ms >= HEALTH_PERIOD_MS
        if with_health:
            self._health_at_ms = now_ms
        if now_ms - self._renewed_at_ms >= RENEWAL_PERIOD_MS:
            self._renewed_at_ms = now_ms
            told = await self._steps.renew_directives(
                now_ms=now_ms, directed_before_ms=now_ms - RENEWED_AFTER_MS
            )
            self._links.desired_changed(told)
        for number in await self._steps.unfinished():
            for _ in range(MAX_STEPS):
                if not await self._step(number, with_health):
                    break
            else:
                self.wake()

    async def _step(self, number: int, with_health: bool) -> bool:
        """Do one step; say whether another may follow at once."""
        now_ms = self._clock.now_ms()
        step = await self._steps.step(
            number,
            self._owner,
            functools.partial(next_actions, now_ms),
            now_ms=now_ms,
            lease_ms=LEASE_MS,
            with_health=with_health,
        )
        if step is None or not step.actions:
            return False
        if ReturnUpdated() in step.actions:
            self.wake()  # there is a new rollout to look at
        self._links.desired_changed(step.told)
        self._changes.publish(rollout_numbers=[number])
        _log.info(
            "rollout_step",
            rollout=number,
            actions=[type(action).__name__ for action in step.actions],
        )
        return True
