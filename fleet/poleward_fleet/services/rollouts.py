"""What people do with rollouts: try, create, look, approve, pause, resume, abort.

Not how they go on by themselves (services/rollout_loop.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, InvalidError, NotFoundError
from poleward_fleet.domain.labels import check_labels
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import (
    TELLING_ORDER,
    NodeStage,
    RolloutState,
    newest_open,
)
from poleward_fleet.domain.rollout_policy import (
    Policy,
    Target,
    check_name,
    check_policy,
    longest_wave_ends_at_ms,
)
from poleward_fleet.domain.rollout_views import (
    DryRun,
    NodeRollout,
    ReasonCount,
    Rollout,
    RolloutNode,
    WaitsFor,
)
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.releases import ReleaseStore
from poleward_fleet.ports.rollouts import RolloutStore
from poleward_fleet.ports.trust import TrustStore
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.patches import PatchService
from poleward_fleet.services.permissions import AreaTree
from poleward_fleet.services.rollout_loop import RolloutLoop

MAX_POLES_NAMED = 10_000
MAX_NODES_AT_ONCE = 1_000
_NOT_OVER = (RolloutState.PROPOSED, RolloutState.RUNNING, RolloutState.PAUSED)


class RolloutService:
    """Use cases around rollouts.

    Args:
        store: Where rollouts are.
        releases: Published releases.
        trust: Until when the newest trust document holds, and whether directives are signed.
        areas: Tree for rights.
        patches: Which of them a rollout may wait for.
        loop: Woken when there is something to do.
        links: Gateways are told what is no longer desired.
        changes: Live updates.
        clock: Wall time.
    """

    def __init__(
        self,
        store: RolloutStore,
        releases: ReleaseStore,
        trust: TrustStore,
        areas: AreaTree,
        patches: PatchService,
        loop: RolloutLoop,
        links: GatewayLinks,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._store = store
        self._releases = releases
        self._trust = trust
        self._areas = areas
        self._patches = patches
        self._loop = loop
        self._links = links
        self._changes = changes
        self._clock = clock

    async def create(
        self,
        principal: Principal,
        release_digest: bytes,
        target: Target,
        policy: Policy,
        *,
        name: str = "",
        may_supersede: bool = False,
    ) -> Rollout:
        """Create a rollout; unless it needs an approval, it begins.

        Without a name it is called by its number.

        Raises:
            NotFoundError: No such release or area.
            InvalidError: The policy or name makes no sense, or no node could take the release.
            ConflictError: Nodes are in another rollout that is not over, the name is taken, or the
                trust document expires too soon.
        """
        release, target, areas = await self._checked(
            principal, release_digest, target, policy, name=name
        )
        number, told = await self._store.create(
            release,
            target,
            policy,
            areas=areas,
            name=name,
            may_supersede=may_supersede,
            now_ms=self._clock.now_ms(),
            audit=AuditEntry(
                principal.name,
                "rollout.create",
                release.version,
                (("area", target.area_code), ("digest", release_digest.hex())),
            ),
        )
        self._links.desired_changed(told)
        return await self._changed(principal, number)

    async def dry_run(
        self,
        principal: Principal,
        release_digest: bytes,
        target: Target,
        policy: Policy,
        *,
        name: str = "",
    ) -> DryRun:
        """Tell what a rollout would do; raises what `create` would, apart from clashes."""
        release, target, areas = await self._checked(
            principal, release_digest, target, policy, name=name
        )
        return await self._store.dry_run(release, target, policy, areas=areas, name=name)

    async def _checked(
        self,
        principal: Principal,
        release_digest: bytes,
        target: Target,
        policy: Policy,
        *,
        name: str,
    ) -> tuple[Release, Target, AllowedAreas]:
        check_name(name)
        principal.require(Permission.ROLL_OUT)
        target = replace(target, area_code=target.area_code or principal.area_code)
        areas = await self._areas.allowed(principal, Permission.ROLL_OUT, target.area_code)
        release = await self._release(release_digest)
        check_policy(policy)
        await self._require_trust(policy)
        check_labels(target.labels)
        if policy.return_digest:
            good = await self._release(policy.return_digest)
            await self._check_way_back(release, good, target, name)
        if len(target.pole_codes) > MAX_POLES_NAMED:
            raise InvalidError.of("too_many_poles", most=MAX_POLES_NAMED)
        if unknown := await self._store.unknown(release, target.pole_codes, areas):
            kind = "unknown_gateways" if release.is_for_gateways else "unknown_poles"
            raise InvalidError.of(kind, poles=", ".join(unknown[:10]))
        return release, target, areas

    async def _require_trust(self, policy: Policy) -> None:
        """Insist on a trust document that outlasts a wave; before the first one there is no end."""
        newest = (await self._trust.trust()).newest
        if newest is None:
            return
        now_ms = self._clock.now_ms()
        if newest.has_expired(now_ms):
            raise ConflictError.of("trust_expired", document=newest.version)
        until_ms = longest_wave_ends_at_ms(policy, now_ms)
        if newest.expires_at_ms < until_ms:
            raise ConflictError.of(
                "trust_expires",
                document=newest.version,
                expires=_minute(newest.expires_at_ms),
                until=_minute(until_ms),
            )

    async def _check_way_back(
        self, release: Release, good: Release, target: Target, name: str
    ) -> None:
        """Insist on a good release that all that run the other one would take.

        Raises:
            InvalidError: Says what to sign, publish or name.
        """
        if good.board_profile != release.board_profile:
            raise InvalidError.of("return_profile", version=good.version)
        if good.sequence > release.sequence:
            return
        if good.sequence == release.sequence or not good.is_way_back_of(name, target.pole_codes):
            raise InvalidError.of(
                "return_older",
                version=good.version,
                sequence=good.sequence,
                least=release.sequence,
                rollout=name or "NAME",
            )
        if good.permitted_rollout and not (await self._trust.trust()).directors:
            raise InvalidError.of("return_undirected", version=good.version)

    async def _release(self, digest: bytes) -> Release:
        release = await self._releases.get(digest)
        if release is None:
            raise NotFoundError.of("no_release", digest=digest.hex()[:16])
        return release

    async def rollouts(self, principal: Principal) -> list[Rollout]:
        """Return the rollouts that concern the principal's area, newest first."""
        return await self._store.rollouts(await self._areas.allowed(principal, Permission.SEE))

    async def rollout(self, principal: Principal, number: int) -> Rollout:
        """Return one rollout; its counts are those of the principal's area.

        Raises:
            NotFoundError: There is none, or it does not concern the principal's area.
        """
        areas = await self._areas.allowed(principal, Permission.SEE)
        found = await self._store.rollouts(areas, number)
        if not found:
            raise NotFoundError.of("no_rollout", rollout=number)
        in_work = self._patches.in_work(found[0].release_digest)
        return replace(found[0], patches_in_work=in_work)

    async def nodes(
        self,
        principal: Principal,
        number: int,
        *,
        stages: Sequence[NodeStage] = (),
        skip: int = 0,
        many: int = MAX_NODES_AT_ONCE,
    ) -> list[RolloutNode]:
        """Return nodes of a rollout, failures first; without stages those in any.

        Raises:
            NotFoundError: There is no such rollout, or it does not concern the principal's area.
        """
        await self.rollout(principal, number)
        areas = await self._areas.allowed(principal, Permission.SEE)
        return await self._store.nodes(
            number,
            areas,
            stages=stages or TELLING_ORDER,
            skip=max(0, skip),
            many=min(max(1, many), MAX_NODES_AT_ONCE),
        )

    async def reasons(self, principal: Principal, number: int) -> list[ReasonCount]:
        """Return why nodes were not successful, or wait for another try, most frequent first.

        Raises:
            NotFoundError: There is no such rollout, or it does not concern the principal's area.
        """
        await self.rollout(principal, number)
        return await self._store.reasons(
            number, await self._areas.allowed(principal, Permission.SEE)
        )

    async def history(self, principal: Principal, code: str) -> list[NodeRollout]:
        """Return the rollouts of the node in a pole, or of a gateway, newest first.

        What is not in the principal's area has none.
        """
        return await self._store.history(code, await self._areas.allowed(principal, Permission.SEE))

    async def approve(self, principal: Principal, number: int) -> Rollout:
        """Let a proposed rollout begin, or the next wave of one that waits for a person.

        Raises:
            ForbiddenError: The role does not carry it.
            ConflictError: It needs another person, waits for nobody, or the trust document expires
                too soon.
        """
        rollout = await self._to_change(principal, number)
        await self._require_trust(rollout.policy)
        waits_for = rollout.waits_for(self._clock.now_ms())
        audit = self._audit(principal, "rollout.approve", rollout)
        done = False
        if waits_for is WaitsFor.SECOND_PERSON:
            if rollout.created_by == principal.name:
                raise ConflictError.of("second_person", rollout=number, person=principal.name)
            done = await self._store.approve(number, principal.name, audit)
        elif waits_for is WaitsFor.APPROVAL:
            wave = newest_open(rollout.waves)
            done = await self._store.approve_wave(number, wave, principal.name, audit)
        if not done:
            raise ConflictError.of("nothing_to_approve", rollout=number)
        return await self._changed(principal, number)

    async def pause(self, principal: Principal, number: int) -> Rollout:
        """Stop offering the release to further nodes."""
        return await self._set_state(
            principal, number, (RolloutState.RUNNING,), RolloutState.PAUSED
        )

    async def resume(self, principal: Principal, number: int) -> Rollout:
        """Go on with a paused rollout; its failures so far do not stop it again."""
        rollout = await self._to_change(principal, number)
        await self._require_trust(rollout.policy)
        audit = self._audit(principal, "rollout.running", rollout)
        if not await self._store.resume(number, audit):
            raise self._cannot_become(rollout, RolloutState.RUNNING)
        return await self._changed(principal, number)

    async def abort(self, principal: Principal, number: int) -> Rollout:
        """End a rollout; nodes that run the release keep it."""
        return await self._set_state(principal, number, _NOT_OVER, RolloutState.ABORTED)

    async def _set_state(
        self,
        principal: Principal,
        number: int,
        expected: tuple[RolloutState, ...],
        state: RolloutState,
    ) -> Rollout:
        rollout = await self._to_change(principal, number)
        done = await self._store.set_state(
            number,
            expected=expected,
            state=state,
            reason=Words.of("by_person", person=principal.name),
            audit=self._audit(principal, f"rollout.{state.value}", rollout),
        )
        if not done:
            raise self._cannot_become(rollout, state)
        return await self._changed(principal, number)

    async def _to_change(self, principal: Principal, number: int) -> Rollout:
        """Return a rollout whose whole target is within the principal's area."""
        principal.require(Permission.ROLL_OUT)
        rollout = await self.rollout(principal, number)
        if principal.area_code:
            within = await self._areas.subtree(principal.area_code)
            if rollout.target.area_code not in within:
                raise ConflictError.of("wider", rollout=number)
        return rollout

    def _audit(self, principal: Principal, action: str, rollout: Rollout) -> AuditEntry:
        before = (("from", rollout.state.value),)
        return AuditEntry(principal.name, action, str(rollout.number), before)

    def _cannot_become(self, rollout: Rollout, state: RolloutState) -> ConflictError:
        return ConflictError.of(
            "cannot_become",
            rollout=rollout.number,
            state=rollout.state.value,
            wanted=state.value,
        )

    async def _changed(self, principal: Principal, number: int) -> Rollout:
        self._changes.publish(rollout_numbers=[number])
        self._loop.wake()
        return await self.rollout(principal, number)


def _minute(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
