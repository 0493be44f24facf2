"""What the services need from the world, as protocols.

Implementations are in adapters; tests have fakes of their own. Nothing here guarantees that a
call returns quickly: each await on a peer has a deadline inside the adapter.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import WorkOrder
from poleward_gateway.domain.commands import CommandResult
from poleward_gateway.domain.lighting import Lighting, NodeProgram
from poleward_gateway.domain.nodes import (
    DesiredChange,
    DesiredNode,
    DeviceFacts,
    NodeNumber,
    NodeState,
    Registration,
)
from poleward_gateway.domain.site_visits import KeptVisit
from poleward_gateway.domain.software import GatewaySoftware, SoftwareRecord
from poleward_gateway.domain.telemetry import Event, ReceivedMark, Report
from poleward_gateway.domain.trust import Signers, TrustDocument
from poleward_gateway.domain.updates import NodeUpdate, UpdateReadout


class Clock(Protocol):
    """Time; tests bring their own."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; never jumps."""


class Tally(Protocol):
    """Counters for people who watch the gateway."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter, e.g. "reports_spooled"."""

    def gauge(self, name: str, value: float) -> None:
        """Set a level, e.g. "reports_waiting"."""


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """Reports that travel together; a number always stands for the same content."""

    number: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events that travel together; a number always stands for the same content."""

    number: int
    events: tuple[Event, ...]


class Spool(Protocol):
    """Durable queue of reports and of events between the nodes and the fleet.

    Events are never dropped. Where there is no room, the oldest reports are, counted, with a gap
    event for each node. Batch numbers count from 1 without gaps, apart for reports and for
    events. Not guaranteed: the order of reports of different nodes.
    """

    @property
    def spool_id(self) -> str:
        """Random id of this spool; batch numbers count within it."""

    async def add_reports(self, reports: Sequence[Report]) -> None:
        """Store reports and their nodes' marks; returns after both are on disk."""

    async def add_events(self, events: Sequence[Event]) -> None:
        """Store events; returns after they are on disk, without waiting for company."""

    async def report_batch_after(self, number: int, limit: int) -> ReportBatch | None:
        """Return the batch that follows `number`, assigning it durably if it is new."""

    async def event_batch_after(self, number: int, limit: int) -> EventBatch | None:
        """Return the batch that follows `number`, assigning it durably if it is new."""

    async def acknowledge_reports(self, number: int) -> None:
        """Forget every report batch up to and including `number`."""

    async def acknowledge_events(self, number: int) -> None:
        """Forget every event batch up to and including `number`."""

    async def can_go_on_after(self, report_number: int, event_number: int) -> bool:
        """Say whether these numbers were assigned and what follows them is still here."""

    async def restart_numbering(self) -> str:
        """Take a new spool id and number what is here from 1; unique keys sort out the rest."""

    def mark(self, node: NodeNumber) -> ReceivedMark | None:
        """Return which reports of a node are on disk or were; None before the first."""

    def waiting_reports(self) -> int:
        """Say how many reports wait for the fleet."""

    def dropped_reports(self) -> int:
        """Say how many reports were ever dropped for want of room."""


class SecretBox(Protocol):
    """Seals secrets that are written to disk."""

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` must be the same to open it, so that entries cannot be swapped."""

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt.

        Raises:
            ConfigurationError: The key is another one, or the data was altered.
        """


class DesiredStore(Protocol):
    """Desired state, as received; survives restarts."""

    def revision(self) -> int:
        """Return the revision that is stored; 0 for none."""

    def nodes(self) -> list[DesiredNode]:
        """Return every node."""

    def signers(self) -> Signers:
        """Return who may sign releases, as the fleet says."""

    def trust_documents(self) -> tuple[bytes, ...]:
        """Return the digest of each trust document that the fleet has, from number 1 on."""

    def own_release(self) -> bytes:
        """Return the digest of the release that the gateway should run; empty for none."""

    async def apply(self, change: DesiredChange) -> None:
        """Store a change; returns after it is on disk."""


class LightingStore(Protocol):
    """Lighting, as received; survives restarts."""

    def lighting(self) -> Lighting:
        """Return what is stored."""

    async def save(self, lighting: Lighting) -> None:
        """Store other lighting; returns after it is on disk."""


class SiteStore(Protocol):
    """The work order and technicians' visits; survive restarts."""

    def order(self) -> WorkOrder | None:
        """Return the order that is held; None for none."""

    async def save_order(self, order: WorkOrder, *, forget_before_ms: int) -> None:
        """Hold another order; visits that the fleet knows and that began before may go."""

    def visits(self) -> Mapping[str, KeptVisit]:
        """Return every visit by id."""

    async def keep(self, kept: KeptVisit) -> None:
        """Keep a visit as it is now; returns after it is on disk."""


class CommandStore(Protocol):
    """Which commands were begun and how they ended; survives restarts."""

    async def begin(self, deadlines_ms: Mapping[bytes, int]) -> set[bytes]:
        """Note that commands, by id, are about to be sent; return those not noted before."""

    async def finish(self, result: CommandResult) -> None:
        """Note how a command ended."""

    async def result(self, command_id: bytes) -> CommandResult | None:
        """Return how a command ended, if it did."""

    async def undelivered(self) -> list[CommandResult]:
        """Return the outcomes that the fleet has not been told, oldest first."""

    async def unfinished(self) -> list[bytes]:
        """Return commands that were begun and have no outcome: the gateway stopped in between."""

    async def delivered(self, command_id: bytes) -> None:
        """Note that the fleet was told."""

    async def undeliver(self, command_id: bytes) -> None:
        """Have the fleet told once more."""

    async def forget_before(self, deadline_ms: int) -> None:
        """Drop delivered commands whose deadline is long past."""


class RegistrationStore(Protocol):
    """Registrations; survive restarts."""

    def registrations(self) -> dict[NodeNumber, Registration]:
        """Return what is stored."""

    async def save(self, changed: Sequence[Registration], ended: Sequence[NodeNumber]) -> None:
        """Store some and forget others; returns after it is on disk."""


class UpdateStore(Protocol):
    """Progress of updates; survives restarts."""

    def progress(self) -> dict[NodeNumber, NodeUpdate]:
        """Return the progress of every node that has any."""

    async def save(self, node: NodeNumber, update: NodeUpdate | None) -> None:
        """Store or forget the progress of a node."""


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release whose signature and content were checked.

    Args:
        digest: SHA-256 of the envelope.
        sequence: Monotonic sequence number.
        version: For people.
        bundle_digest: SHA-256 of the bundle, or of the gateway's set of wheels.
        bundle_bytes: Its size.
        is_for_gateways: It is not for nodes.
        image_digest: SHA-256 of the image; None for a release without one.
    """

    digest: bytes
    sequence: int
    version: str
    bundle_digest: bytes
    bundle_bytes: int
    is_for_gateways: bool
    image_digest: bytes | None = None

    @property
    def components(self) -> tuple[bytes, ...]:
        """Digests of all that nodes download."""
        bundle = self.bundle_digest
        return (bundle,) if self.image_digest is None else (bundle, self.image_digest)


@dataclass(frozen=True, slots=True)
class ReleaseNames:
    """How a release is called: for people, and for what is newer."""

    version: str
    sequence: int


class SoftwareShelf(Protocol):
    """The gateway's own releases on disk, and the record of which is tried and kept."""

    @property
    def has_launcher(self) -> bool:
        """Whether a launcher started this gateway, so that it can start another release."""

    @property
    def running(self) -> bytes:
        """The release whose code this process runs, whatever the record says."""

    def record(self) -> SoftwareRecord:
        """Return what is written down."""

    def write(self, record: SoftwareRecord) -> None:
        """Replace what is written down; a crash leaves the old or the new.

        Raises:
            StorageError: It is not on disk.
        """

    def free_bytes(self) -> int:
        """Return how much room there is."""

    def is_whole(self, release: bytes) -> bool:
        """Say whether a release is installed to its end."""

    def names(self, release: bytes) -> ReleaseNames | None:
        """Return how an installed release is called; None for anything else."""

    def install(self, release: bytes, envelope: bytes, component: bytes) -> None:
        """Install a release beside the others; it takes seconds and blocks.

        Raises:
            ArtifactRejectedError: It cannot be installed anywhere.
            InstallationError: It cannot be installed here and now.
        """

    def readable_from(self, release: bytes) -> int:
        """Have an installed release say from which schema on its database can be used; blocks.

        Raises:
            ArtifactRejectedError: It does not start, or cannot say it.
        """

    def remove_others(self, kept: Collection[bytes]) -> None:
        """Remove every release that is not kept."""


class PatchState(Enum):
    """How far the fleet is with a patch."""

    NONE = "none"
    MAKING = "making"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class FoundPatch:
    """What the fleet says about a patch; the digest is set when it is ready."""

    state: PatchState
    digest: bytes = b""


class ReleaseVerifier(Protocol):
    """Checks signed releases."""

    def verify(self, envelope: bytes, signers: Signers) -> VerifiedRelease:
        """Check an envelope.

        Raises:
            ArtifactRejectedError: The signature or the content is not acceptable; never serve it.
        """

    def encode_bundle(self, plain: bytes) -> bytes:
        """Compress a bundle the way nodes expect it."""

    def encode_image(self, plain: bytes) -> bytes:
        """Compress an image the way nodes expect it, all pieces together."""

    def piece_of_image(self, encoded: bytes, number: int) -> bytes | None:
        """Return one piece of an encoded image; None when there are not so many."""


class DocumentVerifier(Protocol):
    """Checks trust documents."""

    def verify_next(self, signed: bytes, previous: TrustDocument | None) -> TrustDocument:
        """Check a document that follows another one; the first one follows none.

        Raises:
            ArtifactRejectedError: It does not follow; never give it to a node.
        """


class TrustStore(Protocol):
    """Trust documents; survive restarts."""

    def documents(self) -> Iterable[bytes]:
        """Return the documents, number 1 first."""

    def write(self, version: int, signed: bytes) -> None:
        """Store a document; either all of it is there afterwards or nothing."""


class ArtifactStore(Protocol):
    """Release content on disk, by digest."""

    def read(self, kind: str, digest: bytes) -> bytes | None:
        """Return content; None when it is not there. `kind` is a short name."""

    def write(self, kind: str, digest: bytes, content: bytes) -> None:
        """Store content; either all of it is there afterwards or nothing.

        What was not read for longest may be removed to make room.
        """

    def partial(self, digest: bytes) -> bytes:
        """Return what an interrupted download left."""

    def append_partial(self, digest: bytes, offset: int, content: bytes) -> None:
        """Keep a piece of a download."""

    def drop_partial(self, digest: bytes) -> None:
        """Forget a download."""


class ArtifactSource(Protocol):
    """Where release content comes from."""

    def download(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Stream content from an offset.

        Raises:
            ArtifactUnavailableError: It cannot be had now; try again later.
        """

    async def find_patch(
        self, release_digest: bytes, component_digest: bytes, source_sequence: int
    ) -> FoundPatch:
        """Ask for the patch to a component from that of the release with a sequence number.

        Raises:
            ArtifactUnavailableError: The fleet does not answer; try again later.
        """


class NodeLink(Protocol):
    """Requests to nodes. All raise NodeUnreachableError and NodeRefusedError."""

    async def settle(
        self, node: NodeNumber, *, report_interval_s: int, lamp_nominal_w: int, now_s: int
    ) -> DeviceFacts:
        """Make a node that just registered ready: Send on, time, interval, wattage; read facts."""

    async def ask_to_register(self, node: NodeNumber) -> None:
        """Have a node send a registration update; one that has no registration here registers."""

    async def ask_to_bootstrap(self, node: NodeNumber) -> None:
        """Have a node ask for its account again, before the keys it has now are refused."""

    async def wipe(self, node: NodeNumber) -> None:
        """Have a node that left forget its operational keys."""

    async def write_time(self, node: NodeNumber, now_s: int) -> None:
        """Set the node's clock."""

    async def set_lamp(
        self,
        node: NodeNumber,
        *,
        instance: int,
        level_percent: int,
        override_until_s: int,
        starts_at_s: int,
        fade_ms: int,
        deadline_s: int,
        give_up_after_s: float,
    ) -> None:
        """Override a lamp; times are Unix seconds, `override_until_s` 0 is until the next."""

    async def answer_call(self, node: NodeNumber, *, reset: bool, give_up_after_s: float) -> None:
        """Accept or end the emergency call of a node."""

    async def read_program_name(self, node: NodeNumber) -> str:
        """Read which program a node runs; empty for none."""

    async def write_program(self, node: NodeNumber, program: NodeProgram) -> None:
        """Give a node a program; one without rules takes its program away."""

    async def reboot(self, node: NodeNumber, *, deadline_s: int, give_up_after_s: float) -> None:
        """Restart a node."""

    async def read_update(self, node: NodeNumber) -> UpdateReadout:
        """Read where the node's updater stands and which release runs."""

    async def announce_trust(self, node: NodeNumber, version: int) -> None:
        """Tell a node that there is a newer trust document; it fetches what it lacks."""

    async def offer_release(self, node: NodeNumber, envelope_digest: bytes) -> None:
        """Tell a node to fetch a release from this gateway."""

    async def install(self, node: NodeNumber) -> None:
        """Tell a node to install what it downloaded."""

    async def watch_update(self, node: NodeNumber, on_change: Callable[[], None]) -> None:
        """Have the node say when its updater's state changes; ends with its registration."""


class SecurityContexts(Protocol):
    """Security contexts of the node link."""

    async def replace(self, nodes: Sequence[DesiredNode], *, removed: Sequence[NodeNumber]) -> None:
        """Use the keys of these nodes; forget those of the removed."""

    def where(self, node: NodeNumber) -> str:
        """Say from where a node was heard last; empty when that is not known or not proved."""

    def expect(self, node: NodeNumber, where: str) -> None:
        """Take a node to be where it was heard before the gateway was restarted."""


class FleetStream(Protocol):
    """The open stream to the fleet, for sending; nothing here waits for an answer.

    Raises PeerUnreachableError when the stream is gone; the caller ends and is run again.
    """

    async def send_reports(self, batch: ReportBatch) -> None:
        """Send a batch of reports."""

    async def send_events(self, batch: EventBatch) -> None:
        """Send a batch of events."""

    async def send_states(self, states: Sequence[NodeState]) -> None:
        """Send the reported state of nodes."""

    async def send_visit(self, visit: SiteVisit) -> None:
        """Send a technician's visit."""

    async def send_result(self, result: CommandResult) -> None:
        """Send the outcome of a command."""

    async def send_software(self, software: GatewaySoftware) -> None:
        """Send what the gateway itself runs."""
