"""Brings the gateway itself to the release that the fleet wants it to run.

Not the start of a release nor the way back: that is the launcher's, which no release replaces.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from poleward_gateway.domain.errors import (
    ArtifactDamagedError,
    ArtifactRejectedError,
    ArtifactUnavailableError,
    DirectiveStaleError,
    InstallationError,
    StorageError,
)
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.software import (
    GatewaySoftware,
    Schema,
    SoftwareRecord,
    TrialFacts,
    confirm,
    refusal_of_schema,
    room_needed_bytes,
    still_lacks,
    try_next,
)
from poleward_gateway.domain.updates import (
    FINAL_STATES,
    DesiredRelease,
    NodeUpdate,
    UpdateState,
)
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.releases import VerifiedRelease
from poleward_gateway.ports.software import SoftwareShelf
from poleward_gateway.ports.stores import DesiredStore
from poleward_gateway.services.artifacts import Artifacts
from poleward_gateway.services.directives import Directives
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 5.0
"""Before content that could not be had is asked for again."""


class OwnSoftware:
    """The gateway's own update: fetched, installed beside, tried by a restart, confirmed.

    Progress is written down before it is acted on, so that a crash at any moment is followed by the
    same release or by one that proved itself. What runs is what this process's code is, never what
    the record says.

    Args:
        name: Of the gateway.
        shelf: Releases on disk.
        registry: Which nodes there were before a trial and which are heard in it.
        trial_s: So long a release may take to prove itself.
        schema: Of the database that this gateway uses.
        version: That runs.
        is_fleet_connected: Whether the stream to the fleet is open.
        does_disk_work: Whether reports reach the disk.
        restart: Ends this process, so that the launcher starts what is to be tried.
        on_change: Told that the fleet has to be told.
    """

    def __init__(
        self,
        name: str,
        shelf: SoftwareShelf,
        desired: DesiredStore,
        artifacts: Artifacts,
        directives: Directives,
        registry: Registry,
        jobs: JobPool,
        clock: Clock,
        *,
        trial_s: int,
        schema: Schema,
        version: str,
        is_fleet_connected: Callable[[], bool],
        does_disk_work: Callable[[], bool],
        restart: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._subject = f"gateway:{name}"
        self._shelf = shelf
        self._desired = desired
        self._artifacts = artifacts
        self._directives = directives
        self._registry = registry
        self._jobs = jobs
        self._clock = clock
        self._trial_s = trial_s
        self._schema = schema
        self._version = version
        self._is_fleet_connected = is_fleet_connected
        self._does_disk_work = does_disk_work
        self._restart = restart
        self._on_change = on_change
        self._record = shelf.record()
        self._began_ms = clock.now_ms()
        self._expected: list[NodeNumber] = []
        self._look_at_s = 0.0
        self._is_told = False
        running = shelf.running
        self._is_on_trial = self._record.is_begun and running == self._record.trial
        stays = self._record.confirmed if self._is_on_trial else running
        names = shelf.names(stays)
        self._sequence = 0 if names is None else names.sequence
        self._update = self._record.ended
        if self._is_on_trial:
            self._update = NodeUpdate(running, UpdateState.TRIAL)

    @property
    def state(self) -> GatewaySoftware:
        """What runs and where an update stands."""
        return GatewaySoftware(self._version, self._sequence, self._update)

    def take_changed(self) -> GatewaySoftware | None:
        """Return what the fleet does not know yet; it counts as known from now on."""
        if self._is_told:
            return None
        self._is_told = True
        return self.state

    def tell_everything(self) -> None:
        """Have it told again, after the stream was opened or broke."""
        self._is_told = False

    def expect(self, nodes: list[NodeNumber]) -> None:
        """Note which nodes were registered before this start; a release on trial hears them."""
        self._expected = nodes

    def reconcile(self) -> None:
        """Begin or forget an update after desired state changed."""
        self._look_at_s = 0.0
        self.tick()

    def tick(self) -> None:
        """Look at a trial, or at what the fleet wants."""
        if self._is_on_trial:
            self._judge()
            return
        wanted = self._desired.own_release()
        if self._update is not None and self._update.release_digest != wanted.digest:
            self._forget()
        now_s = self._clock.monotonic_s()
        if not wanted.digest or now_s < self._look_at_s or self._has_nothing_to_do(wanted):
            return
        self._look_at_s = now_s + LOOK_AGAIN_S
        self._jobs.add("own software", lambda: self._bring(wanted.digest))

    def _has_nothing_to_do(self, wanted: DesiredRelease) -> bool:
        """Tell whether the update is over, or waits for the time in which it may be installed."""
        update = self._update
        if update is None or update.release_digest != wanted.digest:
            return False
        if update.state is UpdateState.DOWNLOADED:
            return not self._may_install(wanted)
        return update.state in FINAL_STATES or update.state is UpdateState.TRIAL

    def _may_install(self, wanted: DesiredRelease) -> bool:
        return wanted.may_install(self._clock.now_ms() / 1000)

    def _judge(self) -> None:
        """Confirm the release on trial once it does its work; the launcher has the deadline."""
        states = [self._registry.state(node) for node in self._expected]
        facts = TrialFacts(
            fleet_connected=self._is_fleet_connected(),
            disk_works=self._does_disk_work(),
            registered=len(states),
            heard=sum(s is not None and s.heard_at_ms >= self._began_ms for s in states),
        )
        if still_lacks(facts):
            return
        if not self._keep(confirm(self._record)):
            return
        self._is_on_trial = False
        names = self._shelf.names(self._record.confirmed)
        self._sequence = 0 if names is None else names.sequence
        self._move(self._record.confirmed, UpdateState.CONFIRMED)
        self._jobs.add("old software", self._clear)

    def _keep(self, record: SoftwareRecord) -> bool:
        """Write the record; False when the disk does not take it: then it is tried again."""
        try:
            self._shelf.write(record)
        except StorageError as error:
            _log.warning("software_not_written", error=str(error))
            return False
        self._record = record
        return True

    async def _bring(self, wanted: bytes) -> None:
        """Fetch, install and try a release."""
        try:
            release = await self._artifacts.release(wanted)
            if wanted == self._shelf.running:
                self._move(wanted, UpdateState.CONFIRMED)
                return
            desired = self._desired.own_release()
            if wanted != desired.digest:
                return
            self._refuse_unfit(release, desired)
            await self._prepare(release)
            desired = self._desired.own_release()
            if wanted != desired.digest:
                return
            self._move(wanted, UpdateState.DOWNLOADED)
            if not self._may_install(desired):
                return
            self._directives.require(self._subject, desired)
            trial = try_next(self._record, wanted, self._trial_s)
            self._shelf.write(trial)
            self._record = trial
            self._move(wanted, UpdateState.TRIAL)
            self._restart()
        except ArtifactRejectedError as error:
            self._move(wanted, UpdateState.REJECTED, str(error))
        except DirectiveStaleError as error:
            self._move(wanted, UpdateState.FROZEN, str(error))
        except ArtifactUnavailableError as error:
            _log.warning("software_unavailable", digest=wanted.hex(), error=str(error))
        except (ArtifactDamagedError, InstallationError, StorageError) as error:
            self._move(wanted, UpdateState.FAILED, str(error))

    def _refuse_unfit(self, release: VerifiedRelease, desired: DesiredRelease) -> None:
        """Refuse what this gateway must not or cannot run.

        Raises:
            ArtifactRejectedError: Says why.
            DirectiveStaleError: The fleet's word for it does not hold now.
            ArtifactUnavailableError: Who may give that word will be known soon.
        """
        if not release.is_for_gateways:
            raise ArtifactRejectedError(f"release {release.version} is not for gateways")
        self._directives.require(self._subject, desired)
        if release.sequence == self._sequence or (
            release.sequence < self._sequence
            and not self._directives.may_go_back(self._subject, release, desired)
        ):
            raise ArtifactRejectedError(
                f"the gateway runs release {self._sequence}, not older than {release.sequence}"
            )
        if not self._shelf.has_launcher:
            raise ArtifactRejectedError(
                "the gateway was started without its launcher (docs/operations.md)"
            )

    async def _prepare(self, release: VerifiedRelease) -> None:
        """Have a release installed beside what runs, which starts and leaves a way back."""
        wanted = release.digest
        if not self._shelf.is_whole(wanted):
            needed, free = room_needed_bytes(release.bundle_bytes), self._shelf.free_bytes()
            if free < needed:
                raise InstallationError(
                    f"{free >> 20} MB of the disk are free, {needed >> 20} MB are needed; make room"
                )
            self._move(wanted, UpdateState.DOWNLOADING)
            content = await self._artifacts.component(release)
            envelope = self._artifacts.envelope(wanted)
            assert envelope is not None, "it was verified above"
            await self._clear()
            await asyncio.to_thread(self._shelf.install, wanted, envelope, content)
        schema = await asyncio.to_thread(self._shelf.schema, wanted)
        if refusal := refusal_of_schema(schema, self._schema):
            raise ArtifactRejectedError(refusal)

    async def _clear(self) -> None:
        """Remove what will not run again."""
        await asyncio.to_thread(self._shelf.remove_others, self._record.kept)

    def _forget(self) -> None:
        """Forget how the last update ended: the fleet wants something else, or nothing."""
        if self._record.ended is None or self._keep(replace(self._record, ended=None)):
            self._note(None)

    def _move(self, release: bytes, state: UpdateState, reason: str = "") -> None:
        """Note where the update stands now."""
        update = NodeUpdate(release, state, reason)
        if update != self._update:
            _log.info("own_update", release=release.hex(), state=state.value, reason=reason)
            self._note(update)

    def _note(self, update: NodeUpdate | None) -> None:
        self._update = update
        self._is_told = False
        self._on_change()
