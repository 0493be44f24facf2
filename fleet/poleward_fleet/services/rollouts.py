"""Carries rollouts on: a reconciliation loop over the database, one owner per rollout.

Not the decisions (domain/rollout.py). A crash at any moment loses no step: everything that the
loop knows is in the database, and every step can be repeated.
"""

import asyncio
import uuid

import structlog

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, FleetError, InvalidError, NotFoundError
from poleward_fleet.domain.rollout import Rollout, RolloutNode, next_actions
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.releases import ReleaseStore
from poleward_fleet.ports.rollouts import RolloutStore
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.permissions import AreaTree

_log = structlog.get_logger(__name__)

DEFAULT_CONCURRENCY = 50
DEFAULT_MAX_FAILURES = 3
LEASE_MS = 30_000
PERIOD_S = 5.0


class RolloutService:
    """Use cases around rollouts, and the loop.

    Args:
        store: Where rollouts are.
        releases: Published releases.
        areas: Tree for rights.
        links: Gateways are told what is desired of their nodes.
        changes: Live updates.
        clock: Wall time.
    """

    def __init__(
        self,
        store: RolloutStore,
        releases: ReleaseStore,
        areas: AreaTree,
        links: GatewayLinks,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._store = store
        self._releases = releases
        self._areas = areas
        self._links = links
        self._changes = changes
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._woken = asyncio.Event()

    async def create(
        self,
        principal: Principal,
        release_digest: bytes,
        *,
        area_code: str = "",
        concurrency: int = 0,
        max_failures: int = 0,
    ) -> Rollout:
        """Start a rollout to the nodes in service in an area; 0 takes the defaults."""
        allowed = await self._areas.allowed(principal, Permission.ROLL_OUT, area_code)
        release = await self._releases.get(release_digest)
        if release is None:
            raise NotFoundError(f"release {release_digest.hex()[:16]}… is not published")
        if not (0 <= concurrency <= 1_000_000 and 0 <= max_failures <= 1_000_000):
            raise InvalidError("concurrency and the limit of failures must be 0 to 1,000,000")
        number = await self._store.create(
            release,
            allowed=allowed,
            area_code=area_code,
            concurrency=concurrency or DEFAULT_CONCURRENCY,
            max_failures=max_failures or DEFAULT_MAX_FAILURES,
            now_ms=self._clock.now_ms(),
            audit=AuditEntry(
                principal.name,
                "rollout.create",
                release.version,
                (("area", area_code), ("digest", release_digest.hex())),
            ),
        )
        self._changes.publish(rollout_numbers=[number])
        self.wake()
        return await self._get(number)

    async def rollouts(self, principal: Principal) -> list[Rollout]:
        """Return the rollouts, newest first."""
        principal.require(Permission.SEE)
        return await self._store.rollouts()

    async def rollout(
        self, principal: Principal, number: int
    ) -> tuple[Rollout, tuple[RolloutNode, ...]]:
        """Return one rollout with its nodes."""
        principal.require(Permission.SEE)
        return await self._get(number), await self._store.nodes(number)

    async def pause(self, principal: Principal, number: int) -> Rollout:
        """Stop offering the release to further nodes."""
        return await self._set_state(principal, number, ("running",), "paused")

    async def resume(self, principal: Principal, number: int) -> Rollout:
        """Go on with a paused rollout."""
        return await self._set_state(principal, number, ("paused",), "running")

    async def abort(self, principal: Principal, number: int) -> Rollout:
        """End a rollout; nodes that run the release keep it."""
        return await self._set_state(principal, number, ("running", "paused"), "aborted")

    async def _set_state(
        self, principal: Principal, number: int, expected: tuple[str, ...], state: str
    ) -> Rollout:
        await self._areas.allowed(principal, Permission.ROLL_OUT)
        before = await self._get(number)
        audit = AuditEntry(
            principal.name, f"rollout.{state}", str(number), (("from", before.state.value),)
        )
        if not await self._store.set_state(number, expected=expected, state=state, audit=audit):
            raise ConflictError(
                f"rollout {number} is {before.state.value}; it cannot become {state}"
            )
        self._changes.publish(rollout_numbers=[number])
        self.wake()
        return await self._get(number)

    async def _get(self, number: int) -> Rollout:
        rollout = await self._store.rollout(number)
        if rollout is None:
            raise NotFoundError(f"rollout {number} does not exist")
        return rollout

    def wake(self) -> None:
        """Let the loop look at once instead of at its next turn."""
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

    async def reconcile(self) -> None:
        """Look once at every rollout that may need action and do what has to be done."""
        now_ms = self._clock.now_ms()
        for number in await self._store.unfinished():
            if not await self._store.lease(
                number, self._owner, now_ms=now_ms, until_ms=now_ms + LEASE_MS
            ):
                continue
            actions = next_actions(now_ms, await self._store.facts(number))
            if not actions:
                continue
            told = await self._store.carry_out(number, actions, now_ms)
            self._links.desired_changed(told)
            self._changes.publish(rollout_numbers=[number])
            _log.info(
                "rollout_step",
                rollout=number,
                actions=[type(action).__name__ for action in actions],
            )
