"""What the services need of the outside: stores, keys, clocks.

Not implementations (adapters). Each store method is one transaction; methods that change
something on somebody's behalf take the audit entry and record it in the same transaction.
Any store method may raise UnavailableError when the database is away.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.accounts import Account
from poleward_fleet.domain.audit import AuditEntry, AuditRecord
from poleward_fleet.domain.commands import Command, CommandOutcome, CommandStatus
from poleward_fleet.domain.gateway_link import Hello, NodeState, StoredBatches
from poleward_fleet.domain.identity import (
    DesiredState,
    ManufacturedNode,
    NodeIdentity,
)
from poleward_fleet.domain.inventory import (
    Area,
    Bounds,
    Gateway,
    Node,
    Pole,
    PoleMarker,
    PoleView,
)
from poleward_fleet.domain.releases import Release, ReleaseKey
from poleward_fleet.domain.rollout import Action, Rollout, RolloutFacts, RolloutNode
from poleward_fleet.domain.telemetry import (
    LatestValue,
    NodeEvent,
    ReportColumns,
    Series,
    SeriesKey,
    StoredCount,
)

# None stands for every area, otherwise the codes of the areas that are allowed.
AllowedAreas = Collection[str] | None


class Clock(Protocol):
    """Wall time."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""


class InventoryStore(Protocol):
    """Areas, poles, nodes and gateways."""

    async def put_areas(self, areas: Sequence[Area], audit: AuditEntry) -> None:
        """Add or update areas.

        Raises:
            InvalidError: A parent does not exist, or a code is no 12-digit code.
        """

    async def areas(self) -> list[Area]:
        """Return all areas by code."""

    async def put_poles(self, poles: Sequence[Pole], audit: AuditEntry) -> tuple[int, int]:
        """Add or update poles, all or none; return how many are new and how many were there.

        Raises:
            InvalidError: An area does not exist or a value is out of range.
        """

    async def poles(
        self, allowed: AllowedAreas, *, after: str, limit: int, containing: str = ""
    ) -> list[PoleView]:
        """Return poles with code > after, by code."""

    async def nodes(self, allowed: AllowedAreas, *, after: int, limit: int) -> list[Node]:
        """Return nodes with number > after, by number; those in no pole only for all areas."""

    async def pole(self, name: str) -> PoleView | None:
        """Return a pole by its code, the number of its node or its node's endpoint name."""

    async def markers(
        self, allowed: AllowedAreas, *, bounds: Bounds | None, codes: Sequence[str] | None
    ) -> list[PoleMarker]:
        """Return what a map needs, by code."""

    async def pole_codes(self, node_numbers: Collection[int]) -> dict[int, str]:
        """Return the poles that nodes stand in; nodes in none are left out."""

    async def gateways(self, connected: Collection[str]) -> list[Gateway]:
        """Return all gateways by name; `connected` tells whose stream is open."""


class NodeStore(Protocol):
    """Identities of nodes and what gateways should make of them."""

    async def import_nodes(self, nodes: Sequence[ManufacturedNode], audit: AuditEntry) -> list[int]:
        """Register nodes, all or none; return their numbers in order. The same row again is fine.

        Raises:
            ConflictError: A MAC is known with another secret or claim code.
        """

    async def identity(self, mac: str) -> NodeIdentity | None:
        """Return a node by MAC."""

    async def commission(
        self,
        node_number: int,
        *,
        pole_code: str,
        gateway_name: str,
        operational_secret: bytes,
        operational_salt: bytes,
        report_interval_s: int,
        audit: AuditEntry,
    ) -> None:
        """Put a node into a pole behind a gateway.

        A node that stood in the pole is swapped out; a gateway that had the node loses it.

        Raises:
            NotFoundError: No such pole or gateway.
        """

    async def desired_state(self, gateway_name: str, after_revision: int) -> DesiredState:
        """Return what changed after a revision; everything for 0 or a revision never given out."""

    async def apply_states(self, gateway_name: str, states: Sequence[NodeState]) -> set[int]:
        """Store reported states and rollout progress; return the rollouts that moved.

        Raises:
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """


class GatewayStore(Protocol):
    """Enrolment and presence of gateways."""

    async def put_enrollment_token(
        self,
        token_hash: bytes,
        *,
        gateway_name: str,
        area_code: str,
        expires_at_ms: int,
        audit: AuditEntry,
    ) -> None:
        """Keep the hash of a one-time token.

        Raises:
            NotFoundError: No such area.
        """

    async def redeem(self, token_hash: bytes, now_ms: int) -> str:
        """Use up a token and make the gateway known; return its name.

        Raises:
            UnauthenticatedError: Unknown, used or expired.
        """

    async def record_certificate(
        self, gateway_name: str, *, serial: str, expires_at_ms: int, audit: AuditEntry
    ) -> None:
        """Keep which certificate a gateway holds."""

    async def hello(self, gateway_name: str, hello: Hello, now_ms: int) -> StoredBatches:
        """Note that a gateway connected; return where its spool goes on.

        Raises:
            UnauthenticatedError: No such gateway.
        """

    async def heard(self, gateway_names: Collection[str], now_ms: int) -> None:
        """Note that gateways were heard; one statement for all."""

    async def release_keys(self) -> tuple[bytes, ...]:
        """Return the trusted release keys."""


@dataclass(frozen=True, slots=True)
class SpooledReports:
    """A numbered batch of reports of one gateway."""

    gateway_name: str
    spool_id: str
    batch_number: int
    reports: ReportColumns


class TelemetryStore(Protocol):
    """Reports, latest values and events."""

    async def store_reports(self, batches: Sequence[SpooledReports]) -> None:
        """Store batches of one spool, in order and one after the other without gaps.

        What is stored already is skipped, so every batch is stored once however often it comes.

        Raises:
            BatchGapError: Batches before these are missing; nothing is stored.
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """

    async def store_events(
        self, gateway_name: str, spool_id: str, batch_number: int, events: Sequence[NodeEvent]
    ) -> None:
        """Store a batch of events under the same rules."""

    async def latest(self, node_number: int) -> list[LatestValue]:
        """Return the newest value of each series of a node."""

    async def series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, limit: int
    ) -> Series:
        """Return at most `limit` readings in [from, to), oldest first."""

    async def thinned_series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, buckets: int
    ) -> Series:
        """Return the mean of each of `buckets` equal stretches of [from, to) that has readings."""

    async def counts(self, node_numbers: Collection[int]) -> list[StoredCount]:
        """Count what is stored by node and boot; of all nodes when none is named."""

    async def events(
        self, allowed: AllowedAreas, *, node_number: int | None, limit: int
    ) -> list[NodeEvent]:
        """Return the newest events, newest first."""


class CommandStore(Protocol):
    """Commands under way and done."""

    async def put(
        self, command: Command, *, gateway_name: str, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep a command before it is sent."""

    async def pending(self, gateway_name: str, now_ms: int) -> list[Command]:
        """Return the commands of a gateway without a result whose deadline is ahead."""

    async def finish(
        self,
        gateway_name: str,
        command_id: bytes,
        *,
        status: CommandStatus,
        detail: str,
        finished_at_ms: int,
    ) -> CommandOutcome | None:
        """Keep the first result of a command; None when it is unknown or foreign."""


class ReleaseStore(Protocol):
    """Published releases and trusted keys."""

    async def put_key(self, key: ReleaseKey, now_ms: int, audit: AuditEntry) -> list[str]:
        """Trust a key; return the gateways that have to be told."""

    async def keys(self) -> list[ReleaseKey]:
        """Return the trusted keys."""

    async def put(self, release: Release, audit: AuditEntry) -> None:
        """List a release; listing the same again is harmless.

        Raises:
            ConflictError: Another release has this sequence number.
        """

    async def get(self, digest: bytes) -> Release | None:
        """Return a release by the digest of its envelope."""

    async def releases(self) -> list[Release]:
        """Return the releases, newest first."""


class RolloutStore(Protocol):
    """Rollouts and the nodes in them."""

    async def create(
        self,
        release: Release,
        *,
        allowed: AllowedAreas,
        area_code: str,
        concurrency: int,
        max_failures: int,
        now_ms: int,
        audit: AuditEntry,
    ) -> int:
        """Create a rollout to the nodes that fit the release; return its number.

        Raises:
            InvalidError: No node fits.
            ConflictError: A node is in another rollout that is not over.
        """

    async def rollouts(self) -> list[Rollout]:
        """Return the rollouts, newest first."""

    async def rollout(self, number: int) -> Rollout | None:
        """Return one rollout."""

    async def nodes(self, number: int) -> tuple[RolloutNode, ...]:
        """Return the nodes of a rollout by number."""

    async def unfinished(self) -> list[int]:
        """Return the rollouts that may need action: not over, or with nodes under way."""

    async def lease(self, number: int, owner: str, *, now_ms: int, until_ms: int) -> bool:
        """Become or stay the owner of a rollout until a time; False when another one is."""

    async def facts(self, number: int) -> RolloutFacts:
        """Return what next_actions needs."""

    async def carry_out(self, number: int, actions: Sequence[Action], now_ms: int) -> list[str]:
        """Store decisions in one transaction; return the gateways that have to be told."""

    async def set_state(
        self, number: int, *, expected: Collection[str], state: str, audit: AuditEntry
    ) -> bool:
        """Move a rollout from one of the expected states; False when it is in another."""


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account as stored."""

    name: str
    password_hash: str
    roles: tuple[str, ...]
    area_code: str

    def __repr__(self) -> str:
        return f"StoredAccount(name={self.name!r})"


class AccountStore(Protocol):
    """Accounts, browser sessions and API tokens; only hashes of secrets."""

    async def account(self, name: str) -> StoredAccount | None:
        """Return an account."""

    async def accounts(self) -> list[Account]:
        """Return all accounts by name."""

    async def put_account(self, account: StoredAccount, now_ms: int, audit: AuditEntry) -> None:
        """Add or replace an account; its sessions end."""

    async def drop_account(self, name: str, audit: AuditEntry) -> None:
        """Remove an account with its sessions and API tokens."""

    async def has_accounts(self) -> bool:
        """Tell whether any account exists."""

    async def put_session(self, token_hash: bytes, name: str, expires_at_ms: int) -> None:
        """Keep a session; expired ones are dropped on the way."""

    async def session_account(self, token_hash: bytes, now_ms: int) -> StoredAccount | None:
        """Return whose session it is, unless expired."""

    async def drop_session(self, token_hash: bytes) -> None:
        """Forget a session."""

    async def put_api_token(
        self, token_hash: bytes, name: str, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep an API token."""

    async def drop_api_tokens(self, name: str, audit: AuditEntry) -> int:
        """Remove the API tokens of an account; return how many there were."""

    async def api_token_account(self, token_hash: bytes) -> StoredAccount | None:
        """Return whose API token it is."""


class AuditStore(Protocol):
    """The chained audit record."""

    async def append(self, entry: AuditEntry) -> None:
        """Record something that has no transaction of its own."""

    async def records(self, *, before: int | None, limit: int) -> list[AuditRecord]:
        """Return records, newest first."""

    async def first_broken(self) -> int | None:
        """Walk the chain; return the first record that does not follow from the one before."""


class PasswordHasher(Protocol):
    """Slow hashes of passwords and claim codes (Argon2id)."""

    async def hash(self, secret: str) -> str:
        """Return a PHC string."""

    async def verify(self, phc: str, secret: str) -> bool:
        """Tell whether the secret belongs to the hash; takes the same time either way."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just signed."""

    pem: str
    serial: str
    expires_at_ms: int


class CertificateAuthority(Protocol):
    """The fleet's own CA."""

    @property
    def ca_pem(self) -> str:
        """The CA certificate in PEM."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate in DER, hex."""

    def sign_gateway(self, csr_pem: str, gateway_name: str, now_ms: int) -> IssuedCertificate:
        """Sign a gateway's request; the name is ours, whatever the request says.

        Raises:
            InvalidError: Not a PKCS #10 request with a P-256 key and a good signature.
        """


@dataclass(frozen=True, slots=True)
class ReadEnvelope:
    """What a verified envelope says."""

    version: str
    sequence: int
    board_profile: str
    bundle_digest: bytes
    bundle_bytes: int


class EnvelopeReader(Protocol):
    """Verifies release envelopes."""

    def read(self, envelope: bytes, trusted_keys: Sequence[bytes]) -> ReadEnvelope:
        """Verify signature and form.

        Raises:
            ReleaseRefusedError: Says which check failed.
        """


class ArtifactStore(Protocol):
    """Content by digest, on disk, resumable."""

    async def put(self, content: bytes) -> bytes:
        """Store content as a whole and durably; return its digest."""

    async def stored_bytes(self, digest: bytes) -> tuple[int, bool]:
        """Return how many bytes are there and whether that is all of it."""

    async def size(self, digest: bytes) -> int | None:
        """Return the size of complete content, None when it is not there."""

    def read(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Yield complete content from an offset in pieces of at most 64 KiB.

        Raises:
            NotFoundError: It is not there, or not complete.
        """

    async def write(
        self, digest: bytes, total_bytes: int, offset: int, pieces: AsyncIterator[bytes]
    ) -> tuple[int, bool]:
        """Append an upload; return stored bytes and whether the digest matched at the end.

        Raises:
            InvalidError: The offset is not where the upload stands, or the digest is wrong
                (then the upload starts over).
        """
