"""Brings each node to the release that the fleet wants it to run, at the gateway's own pace.

Not the rollout: who should run what is decided in the fleet.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from poleward_gateway.domain.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactRejectedError,
    ArtifactUnavailableError,
    DirectiveStaleError,
    NodeError,
    NodeRefusedError,
)
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.updates import (
    FINAL_STATES,
    NodeUpdate,
    PackageState,
    Step,
    UpdateState,
    next_step,
)
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import NodeLink
from poleward_gateway.ports.stores import UpdateStore
from poleward_gateway.services.artifacts import Artifacts
from poleward_gateway.services.directives import Directives
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

NODES_AT_ONCE = 16
"""Nodes that download or try a release at the same time; the rest wait their turn."""
LOOK_AGAIN_S = 5.0
"""Between two looks at a node under update, besides what it says by itself."""
OFFER_FRESH_S = 20.0
"""What was asked of a node this recently is not asked again, whatever its updater says."""
UNREACHABLE_GIVES_WAY_S = 300.0
"""A node not reached for so long gives its turn to another; it goes on when it is heard."""

_VERDICTS: dict[type[ArtifactError], UpdateState] = {
    ArtifactRejectedError: UpdateState.REJECTED,
    # The fleet asks again, and may have a good copy or a fresh directive by then.
    ArtifactDamagedError: UpdateState.FAILED,
    DirectiveStaleError: UpdateState.FROZEN,
}


@dataclass(slots=True)
class _Course:
    """One node on its way to a release."""

    update: NodeUpdate
    begun: bool = False
    restarted: bool = False
    watched: bool = False
    is_held: bool = False
    look_at_s: float = 0.0
    asked_at_s: float = float("-inf")
    reached_at_s: float = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether the node may have an offer of the release, and has not come to an end with it."""
        state = self.update.state
        return state not in FINAL_STATES and (self.begun or state is not UpdateState.IDLE)


class Updates:
    """Nodes under update: at most NODES_AT_ONCE are offered a release at a time.

    - Progress is on disk; a node is never offered again what it refused, and a final state stays
      until the fleet desires another release (or none).
    - What a node downloads or has downloaded is taken back when the fleet does not want it there
      any more. What it installs or tries is not: the node decides.
    """

    def __init__(
        self,
        store: UpdateStore,
        registry: Registry,
        artifacts: Artifacts,
        directives: Directives,
        link: NodeLink,
        jobs: JobPool,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._artifacts = artifacts
        self._directives = directives
        self._link = link
        self._jobs = jobs
        self._clock = clock
        self._on_change = on_change
        self._courses: dict[NodeNumber, _Course] = {}
        for node, update in store.progress().items():
            self._courses[node] = _Course(update)

    def reconcile(self) -> None:
        """Begin, drop or take back updates after desired state changed."""
        for node, course in list(self._courses.items()):
            desired = self._registry.desired(node)
            if self._is_wanted(node, course):
                continue
            if desired is None or desired.release.digest or not course.is_under_way:
                self._drop(node)
            else:
                course.look_at_s = 0.0  # to take it back
        for node in self._registry.numbers():
            desired = self._registry.desired(node)
            if desired is not None and desired.release.digest and node not in self._courses:
                update = NodeUpdate(desired.release.digest, UpdateState.IDLE)
                self._courses[node] = _Course(update)
            if node in self._courses:
                self._registry.note_update(node, self._courses[node].update)
        self.tick()

    def node_settled(self, node: NodeNumber) -> None:
        """Look at a node that registered: it may have restarted into another release."""
        course = self._courses.get(node)
        if course is not None:
            course.watched = False
            course.restarted = True
            course.look_at_s = 0.0
            self.tick()

    def tick(self) -> None:
        """Look at the nodes whose turn it is."""
        now_s = self._clock.monotonic_s()
        active = sum(self._takes_a_place(course, now_s) for course in self._courses.values())
        for node, course in self._courses.items():
            if course.look_at_s > now_s or not self._registry.is_registered(node):
                continue
            if not self._is_wanted(node, course):
                pass  # its offer is taken back at once
            elif course.is_held and not self._may_install(node):
                continue
            elif course.update.state in FINAL_STATES:
                # One that was given up is looked at once more after it registered: it may run
                # the release after all.
                if course.update.state is UpdateState.CONFIRMED or not course.restarted:
                    continue
            elif not self._takes_a_place(course, now_s):
                if active >= NODES_AT_ONCE:
                    continue
                active += 1
                course.begun = True
                course.reached_at_s = now_s
            # Not taken while a look is under way: what happened meanwhile deserves another.
            if self._jobs.add(("update", node), functools.partial(self._look, node)):
                course.restarted = False
                course.look_at_s = now_s + LOOK_AGAIN_S

    def _takes_a_place(self, course: _Course, now_s: float) -> bool:
        """Say whether a node takes one of the places."""
        if course.update.state in FINAL_STATES or course.is_held or not course.begun:
            return False
        return now_s - course.reached_at_s < UNREACHABLE_GIVES_WAY_S

    def _is_wanted(self, node: NodeNumber, course: _Course) -> bool:
        """Say whether the fleet wants a node to get the release that it is on its way to."""
        desired = self._registry.desired(node)
        return desired is not None and desired.release.digest == course.update.release_digest

    def _may_install(self, node: NodeNumber) -> bool:
        """Tell whether a node may install its release now; the node has it until it may."""
        desired = self._registry.desired(node)
        return desired is not None and desired.release.may_install(self._clock.now_ms() / 1000)

    async def _look(self, node: NodeNumber) -> None:
        """Read where a node stands and do the next step."""
        course = self._courses.get(node)
        desired = self._registry.desired(node)
        if course is None or desired is None:
            return
        if not self._is_wanted(node, course):
            await self._take_back(node, course)
            return
        digest = course.update.release_digest
        try:
            release = await self._artifacts.release(digest)
            readout = await self._link.read_update(node)
            course.reached_at_s = self._clock.monotonic_s()
            fresh = course.reached_at_s - course.asked_at_s < OFFER_FRESH_S
            step, update = next_step(
                course.update,
                release.sequence,
                readout,
                offer_is_fresh=fresh,
                may_go_back=self._directives.may_go_back(desired.subject, release, desired.release),
            )
            course.is_held = step is Step.INSTALL and not self._may_install(node)
            if step in {Step.OFFER, Step.INSTALL}:
                self._directives.require(desired.subject, desired.release)
            if step is Step.OFFER and not await self._artifacts.prepare(release, readout.sequence):
                return  # the fleet makes the patch; looked at again in a moment
            if step is not Step.FINISH and not course.watched:
                await self._link.watch_update(node, lambda: self._on_notified(node))
                course.watched = True
            if step is Step.OFFER:
                course.asked_at_s = self._clock.monotonic_s()
                await self._link.offer_release(node, digest)
            elif step is Step.INSTALL and not course.is_held:
                if course.update.state is not UpdateState.DOWNLOADED:
                    await self._move(node, course, update)
                course.asked_at_s = self._clock.monotonic_s()
                try:
                    await self._link.install(node)
                except NodeRefusedError as error:
                    # It has the release, and something more urgent.
                    update = replace(update, reason=str(error))
        except tuple(_VERDICTS) as error:
            verdict = NodeUpdate(digest, _VERDICTS[type(error)], str(error))
            await self._move(node, course, verdict)
            return
        except ArtifactUnavailableError as error:
            _log.warning("release_unavailable", digest=digest.hex(), error=str(error))
            return
        except NodeError as error:
            _log.info("node_not_updated_now", node=node, error=str(error))
            return
        if not readout.on_trial:
            self._registry.note_confirmed(node, readout.sequence)
        await self._move(node, course, update)

    async def _take_back(self, node: NodeNumber, course: _Course) -> None:
        """Have a node drop what it downloads or downloaded, and forget that it was offered."""
        try:
            readout = await self._link.read_update(node)
            if readout.is_installing:
                return
            if readout.package_state is not PackageState.IDLE and readout.is_about(
                course.update.release_digest
            ):
                await self._link.take_offer_back(node)
        except NodeError as error:
            _log.info("offer_not_taken_back_now", node=node, error=str(error))
            return
        self._registry.note_confirmed(node, readout.sequence)
        if self._courses.get(node) is course and not self._is_wanted(node, course):
            _log.info("offer_taken_back", node=node)
            self._drop(node)

    def _on_notified(self, node: NodeNumber) -> None:
        """Look at a node again at once, because it said that something changed."""
        course = self._courses.get(node)
        if course is not None:
            course.look_at_s = min(course.look_at_s, self._clock.monotonic_s())
            self.tick()

    async def _move(self, node: NodeNumber, course: _Course, update: NodeUpdate) -> None:
        """Note where a node stands now."""
        if update == course.update or self._courses.get(node) is not course:
            return
        _log.info("update", node=node, state=update.state.value, reason=update.reason)
        course.update = update
        await self._store.save(node, update)
        self._registry.note_update(node, update)
        self._on_change()

    def _drop(self, node: NodeNumber) -> None:
        """Forget how far a node came."""
        del self._courses[node]
        self._registry.note_update(node, None)
        self._on_change()
        self._jobs.add(("forget update", node), functools.partial(self._forget, node))

    async def _forget(self, node: NodeNumber) -> None:
        """Drop the stored progress of a node, unless a new update began meanwhile."""
        course = self._courses.get(node)
        await self._store.save(node, None if course is None else course.update)
