"""What the pages need of the fleet: the protocols that the web adapter is written against.

Not an implementation: the services of this package are, and bootstrap puts them together. Every
method that takes a principal checks role and area itself and raises ForbiddenError or
NotFoundError; other errors are the classes of domain/errors.py.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.accounts import Principal, Session
from poleward_fleet.domain.alarms import Alarm
from poleward_fleet.domain.audit import AuditFilter, AuditRecord
from poleward_fleet.domain.commands import CommandOutcome, SetLamp
from poleward_fleet.domain.inventory import Area, Gateway, PoleMarker, PoleView
from poleward_fleet.domain.lighting import (
    Group,
    LightingKind,
    LightingOverview,
    PoleOutcome,
    Program,
    Rule,
    Scene,
)
from poleward_fleet.domain.lighting_rules import Night
from poleward_fleet.domain.releases import Release, ReleaseDetail
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.domain.rollout_views import (
    DryRun,
    NodeRollout,
    ReasonCount,
    Rollout,
    RolloutNode,
)
from poleward_fleet.domain.telemetry import LatestValue, NodeEvent, Series, SeriesKey
from poleward_fleet.domain.trust import Trust
from poleward_fleet.domain.visits import VisitRequest, VisitState
from poleward_fleet.domain.work_orders import SitePass
from poleward_fleet.services.single_sign_on import SingleSignOn


@dataclass(frozen=True, slots=True)
class PoleDetail:
    """A pole with everything that its page shows."""

    view: PoleView
    marker: PoleMarker
    latest: tuple[LatestValue, ...]
    events: tuple[NodeEvent, ...]  # newest first


@dataclass(frozen=True, slots=True)
class Changed:
    """Names of what changed since the last one; the subscriber reads what it wants to show."""

    pole_codes: frozenset[str] = frozenset()
    rollout_numbers: frozenset[int] = frozenset()
    gateway_names: frozenset[str] = frozenset()
    alarms: bool = False  # some began, ended or were acknowledged


class InventoryReader(Protocol):
    """Poles, areas and gateways with their state."""

    async def markers(
        self,
        principal: Principal,
        *,
        area_code: str = "",
        codes: Collection[str] | None = None,
    ) -> list[PoleMarker]:
        """Return the poles a map shows, by code: all that the principal may see, or fewer."""

    async def pole_detail(self, principal: Principal, code: str) -> PoleDetail:
        """Return one pole by its code, node number or endpoint name.

        Raises:
            NotFoundError: There is none, or not in the principal's area.
        """

    async def search_poles(
        self, principal: Principal, text: str, *, limit: int = 20
    ) -> list[PoleView]:
        """Return poles whose code contains the text (any case), by code."""

    async def areas(self, principal: Principal) -> list[Area]:
        """Return the areas the principal may see, by code."""

    async def gateways(self, principal: Principal) -> list[Gateway]:
        """Return the gateways the principal may see, by name."""


class HistoryReader(Protocol):
    """Stored readings and events."""

    async def series(
        self,
        principal: Principal,
        pole: str,
        key: SeriesKey,
        *,
        from_ms: int,
        to_ms: int,
        max_points: int = 2000,
    ) -> Series:
        """Return a pole's series in [from, to), thinned to about max_points means."""

    async def events(self, principal: Principal, *, limit: int = 100) -> list[NodeEvent]:
        """Return the newest events of the principal's poles, newest first."""


class AlarmControl(Protocol):
    """Alarms."""

    async def alarms(
        self, principal: Principal, *, is_open: bool | None = True, limit: int = 200
    ) -> list[Alarm]:
        """Return alarms of the principal's poles, those that stand first, then the newest."""

    async def acknowledge(self, principal: Principal, number: int) -> Alarm:
        """Take care of an alarm; the first who does stays.

        Raises:
            NotFoundError: No such alarm in the principal's area.
        """

    async def clear(self, principal: Principal, number: int) -> Alarm:
        """End an emergency call; other alarms end by themselves.

        Raises:
            NotFoundError: No such alarm in the principal's area.
            ConflictError: It is no emergency call, or nobody acknowledged it yet.
        """


class LampControl(Protocol):
    """Commands to lamps."""

    async def set_lamp(
        self,
        principal: Principal,
        pole_code: str,
        *,
        level_percent: int,
        instance: int = 0,
        duration_s: int = 0,
        timeout_s: float = 10,
    ) -> CommandOutcome:
        """Dim one lamp and wait for the outcome, at most timeout_s; duration 0 never ends.

        Raises:
            NotFoundError: No such pole.
            ConflictError: The pole has no node.
            InvalidError: The level is not 0 to 100.
        """


class LightingEditor(Protocol):
    """Programs, groups, scenes and local rules."""

    async def overview(self, principal: Principal) -> LightingOverview:
        """Return all of it, with the poles that the principal may see."""

    async def preview(
        self, principal: Principal, program: Program, pole_code: str, at_s: int = 0
    ) -> Night:
        """Compute the night around a moment, or tonight, at a pole.

        Raises:
            InvalidError: The program cannot run.
            NotFoundError: There is no such pole.
        """

    async def put(self, principal: Principal, item: Program | Scene | Rule) -> None:
        """Add something or change what has its name.

        Raises:
            InvalidError: Says what to correct.
        """

    async def put_group(self, principal: Principal, group: Group, *, add: bool) -> None:
        """Add a group or change the one of its name.

        Raises:
            NotFoundError: A pole does not exist, or is not the principal's.
        """

    async def assign(
        self,
        principal: Principal,
        program: str,
        *,
        pole_codes: Sequence[str] = (),
        group: str = "",
        area_code: str = "",
    ) -> int:
        """Give poles a program; return how many."""

    async def remove(self, principal: Principal, kind: LightingKind, name: str) -> None:
        """Remove something.

        Raises:
            NotFoundError: There is none of this name.
            ConflictError: A program that poles follow.
        """


class LampOrders(Protocol):
    """Orders to many lamps, and answers to emergency calls."""

    async def dim_group(
        self, principal: Principal, group: str, wish: SetLamp, *, timeout_s: float = 10
    ) -> list[PoleOutcome]:
        """Dim every lamp of a group; return the outcome of each."""

    async def run_scene(
        self,
        principal: Principal,
        name: str,
        *,
        duration_s: int = 0,
        starts_at_s: int = 0,
        timeout_s: float = 10,
    ) -> list[PoleOutcome]:
        """Set the groups of a scene; return the outcome of each pole."""

    async def answer_call(
        self, principal: Principal, pole_code: str, *, reset: bool, timeout_s: float = 10
    ) -> CommandOutcome:
        """Accept or end the emergency call of a pole."""


class ReleaseReader(Protocol):
    """Published releases."""

    async def releases(self, principal: Principal) -> list[Release]:
        """Return the releases, newest first."""

    async def detail(self, principal: Principal, digest: bytes) -> ReleaseDetail:
        """Return a release with who signed it and what it is made of.

        Raises:
            NotFoundError: There is none.
        """


class TrustReader(Protocol):
    """Who may sign."""

    async def trust(self, principal: Principal) -> Trust:
        """Return keys and documents."""


class RolloutControl(Protocol):
    """Rollouts."""

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

        Raises:
            NotFoundError: No such release or area.
            InvalidError: The policy or name makes no sense, or no node could take the release.
            ConflictError: Nodes are in another rollout that is not over, or the name is taken.
        """

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

    async def rollouts(self, principal: Principal) -> list[Rollout]:
        """Return the rollouts that concern the principal's area, newest first."""

    async def rollout(self, principal: Principal, number: int) -> Rollout:
        """Return one rollout; its counts are those of the principal's area.

        Raises:
            NotFoundError: There is none, or it does not concern the principal's area.
        """

    async def nodes(
        self,
        principal: Principal,
        number: int,
        *,
        stages: Sequence[NodeStage] = (),
        skip: int = 0,
        many: int = 1000,
    ) -> list[RolloutNode]:
        """Return nodes of a rollout, failures first; without stages those in any."""

    async def reasons(self, principal: Principal, number: int) -> list[ReasonCount]:
        """Return why nodes were not successful, or wait for another try, most frequent first."""

    async def history(self, principal: Principal, code: str) -> list[NodeRollout]:
        """Return the rollouts of the node in a pole, or of a gateway, newest first."""

    async def approve(self, principal: Principal, number: int) -> Rollout:
        """Let a proposed rollout begin, or the next wave of one that waits for a person.

        Raises:
            ConflictError: It needs another person, or waits for nobody.
        """

    async def pause(self, principal: Principal, number: int) -> Rollout:
        """Stop offering the release to further nodes."""

    async def resume(self, principal: Principal, number: int) -> Rollout:
        """Go on with a paused rollout; its failures so far do not stop it again."""

    async def abort(self, principal: Principal, number: int) -> Rollout:
        """End a rollout; nodes that run the release keep it."""


class Sessions(Protocol):
    """Logins in browsers."""

    async def login(self, name: str, password: str, *, remote: str, agent: str = "") -> Session:
        """Check a password and open a session.

        Raises:
            UnauthenticatedError: Wrong name or password (which of them is not told).
            TooManyAttemptsError: Too many failures for this name or this remote address.
        """

    async def principal_of(self, token: str) -> Principal | None:
        """Return who a session belongs to; None when it is unknown or expired."""

    async def logout(self, principal: Principal, token: str) -> None:
        """Close a session; closing it twice is harmless."""


class Changes(Protocol):
    """Live updates."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[Changed]]:
        """Open a subscription.

        Changes are merged while the subscriber is busy, so a slow one costs no memory and loses
        no name, only intermediate states. The iterator ends when the fleet shuts down.
        """


class VisitControl(Protocol):
    """Visits of technicians to poles."""

    async def begin(self, principal: Principal, request: VisitRequest) -> VisitState:
        """Take a visit and claim its node; the same visit again changes nothing.

        Raises:
            ConflictError: What the device assumed is not so; the technician has to decide.
        """

    async def state(self, principal: Principal, visit_id: str) -> VisitState:
        """Return a visit and how its checks stand."""

    async def blink(self, principal: Principal, visit_id: str) -> VisitState:
        """Let the lamp go bright and dim, and note what it draws at each."""

    async def sign_off(self, principal: Principal, visit_id: str, *, note: str = "") -> VisitState:
        """Sign a pole off; without a note only when every check passed.

        Raises:
            ConflictError: A check has not passed and there is no note.
        """


class PassReader(Protocol):
    """What technicians take along to gateways that cannot reach the fleet."""

    async def passes(self, principal: Principal) -> list[SitePass]:
        """Return what the principal's device needs at each gateway with an order for them."""


class AuditReader(Protocol):
    """The audit record."""

    async def records(
        self,
        principal: Principal,
        *,
        wanted: AuditFilter = AuditFilter(),  # noqa: B008 — a value
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRecord]:
        """Return records, newest first, with numbers below `before`."""

    def export(
        self, principal: Principal, *, wanted: AuditFilter
    ) -> AsyncIterator[list[AuditRecord]]:
        """Yield records in pages, oldest first."""


class Readiness(Protocol):
    """Whether the fleet manager can do its work."""

    async def is_ready(self) -> bool:
        """Say whether the database answers, within a few seconds."""


@dataclass(frozen=True, slots=True)
class WebServices:
    """Everything that the web adapter gets."""

    inventory: InventoryReader
    history: HistoryReader
    alarms: AlarmControl
    lamps: LampControl
    lighting: LightingEditor
    lamp_orders: LampOrders
    releases: ReleaseReader
    trust: TrustReader
    rollouts: RolloutControl
    sessions: Sessions
    changes: Changes
    audit: AuditReader
    visits: VisitControl
    work_orders: PassReader
    readiness: Readiness
    discovery: dict[str, str]  # served as /.well-known/poleward.json: api, link, ca_pem
    single_sign_on: SingleSignOn | None = None  # None: people sign in with passwords only
