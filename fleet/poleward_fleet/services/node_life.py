"""What happens to nodes after they were claimed: sign-off, moves, keys, quarantine, the end.

Not which steps are possible (domain/life_cycle.py) and not the claim (services/provisioning.py).
"""

from collections.abc import Sequence

import structlog

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.approvals import GuardedAction
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
)
from poleward_fleet.domain.identity import NodeIdentity
from poleward_fleet.domain.life_cycle import (
    ALONE_AT_MOST,
    CLONED_EVENT,
    DECOMMISSION_WINDOW_MS,
    RULES,
    WIPED_EVENT,
    WORKING,
    Keys,
    Step,
    Transition,
    transition,
)
from poleward_fleet.domain.telemetry import NodeEvent
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.life import LifeStore
from poleward_fleet.ports.nodes import NodeStore
from poleward_fleet.services.approvals import ApprovalService
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.permissions import AreaTree
from poleward_fleet.services.provisioning import fresh_keys

_log = structlog.get_logger(__name__)

MAX_NODES = 1_000
MAX_REASON = 200
FLEET = "fleet"
"""Actor of what the fleet does by itself."""
# Somebody has to prove to stand at the node for these; the fleet does the rest by itself.
_ELSEWHERE = frozenset({Step.CLAIM, Step.SWAP_OUT, Step.SERVE})


class NodeLifeService:
    """Use cases around the lives of nodes.

    Args:
        lives: Where they are.
        nodes: What gateways owe them.
        areas: For rights.
        links: Told when a gateway's desired state changed.
        changes: Told about the poles.
        approvals: Second persons, for whoever decommissions many.
        clock: For how much one person may decommission in a day.
    """

    def __init__(
        self,
        lives: LifeStore,
        nodes: NodeStore,
        areas: AreaTree,
        links: GatewayLinks,
        changes: ChangeBroadcast,
        approvals: ApprovalService,
        clock: Clock,
    ) -> None:
        self._lives = lives
        self._nodes = nodes
        self._areas = areas
        self._links = links
        self._changes = changes
        self._approvals = approvals
        self._clock = clock

    async def node(
        self, principal: Principal, name: str, permission: Permission = Permission.SEE
    ) -> NodeIdentity:
        """Return a node by MAC, endpoint name or number, if the principal may know of it.

        A node in no pole is in no area: only who may act everywhere sees it.

        Raises:
            NotFoundError: There is none, or not in the principal's area.
        """
        allowed = await self._areas.allowed(principal, permission)
        found = await self._lives.identity(name)
        if found is None or (allowed is not None and found.area_code not in allowed):
            raise NotFoundError.of("no_node", node=name)
        return found

    async def take_step(
        self,
        principal: Principal,
        step: Step,
        names: Sequence[str],
        *,
        gateway_name: str = "",
        reason: str = "",
    ) -> list[NodeIdentity]:
        """Take a step with nodes; return them as they are after it.

        All are looked at before the first is changed, so that a name that is wrong or a step that
        is impossible changes nothing.

        Args:
            principal: Who wants it.
            step: What.
            names: MACs, endpoint names or numbers.
            gateway_name: Where a node is moved to.
            reason: For people and the audit record.

        Raises:
            ForbiddenError: No role carries it.
            ApprovalNeededError: It takes a second person; the request is filed.
            NotFoundError: No such node or gateway.
            ConflictError: A node is in a state in which the step makes no sense.
            InvalidError: The request makes no sense.
        """
        rule = RULES[step]
        if rule.permission is None or step in _ELSEWHERE:
            raise InvalidError(f"'{step.value}' happens by itself or with the label of a node")
        if not 0 < len(names) <= MAX_NODES:
            raise InvalidError(f"name 1 to {MAX_NODES} nodes")
        if (step is Step.MOVE) is not bool(gateway_name):
            raise InvalidError("a gateway is named for moving a node, and only for that")
        if len(reason) > MAX_REASON:
            raise InvalidError.of("step_reason", most=MAX_REASON)
        nodes = [await self.node(principal, name, rule.permission) for name in dict.fromkeys(names)]
        planned = [(node, _planned(step, node, gateway_name)) for node in nodes]
        if step is Step.DECOMMISSION:
            await self._require_second_person(principal, [node for node, _ in planned], reason)
        for node, change in planned:
            await self._carry_out(principal.name, node, change, gateway_name, reason)
        return [await self._known(node.number) for node in nodes]

    async def take_events(self, gateway_name: str, events: Sequence[NodeEvent]) -> None:
        """Do what follows from what a gateway saw; the same events again change nothing."""
        for event in events:
            if event.kind == CLONED_EVENT:
                await self._quarantine(gateway_name, event.node_number)
        wiped = {event.node_number for event in events if event.kind == WIPED_EVENT}
        if wiped:
            await self._nodes.wiped(gateway_name, wiped)
            self._links.desired_changed([gateway_name])

    async def _quarantine(self, gateway_name: str, node_number: int) -> None:
        """Quarantine a node that its gateway saw twice, unless that is over."""
        node = await self._known(node_number)
        if node.gateway_name != gateway_name or node.life_state not in WORKING:
            return
        change = _planned(Step.QUARANTINE, node, "")
        await self._carry_out(FLEET, node, change, "", "two devices with one identity")
        _log.warning("node_quarantined", node=node_number, gateway=gateway_name)

    async def _known(self, number: int) -> NodeIdentity:
        found = await self._lives.identity(str(number))
        if found is None:
            raise NotFoundError.of("no_node", node=number)
        return found

    async def _carry_out(
        self, actor: str, node: NodeIdentity, change: Transition, gateway_name: str, reason: str
    ) -> None:
        detail = [("from", change.before.value), ("to", change.after.value), ("mac", node.mac)]
        if gateway_name:
            detail += [("gateway", gateway_name), ("gateway_before", node.gateway_name)]
        if reason:
            detail.append(("reason", reason))
        gateways = await self._lives.change(
            node.number,
            change,
            reason=reason,
            gateway_name=gateway_name,
            keys=fresh_keys() if change.keys is Keys.FRESH else None,
            audit=AuditEntry(
                actor,
                f"node.{change.step.value}",
                node.pole_code or node.mac,
                (*detail, ("number", str(node.number))),
            ),
        )
        self._links.desired_changed(gateways)
        self._changes.publish(pole_codes=[node.pole_code] if node.pole_code else [])

    async def _require_second_person(
        self, principal: Principal, nodes: Sequence[NodeIdentity], reason: str
    ) -> None:
        """Insist that nobody takes many nodes out of service alone."""
        since_ms = self._clock.now_ms() - DECOMMISSION_WINDOW_MS
        done = await self._lives.count_steps(principal.name, "node.decommission", since_ms)
        if done + len(nodes) <= ALONE_AT_MOST:
            return
        numbers = " ".join(str(number) for number in sorted(node.number for node in nodes))
        await self._approvals.require(
            principal,
            GuardedAction(
                action="node.decommission",
                subject=f"{len(nodes)} nodes",
                permission=Permission.GUARD_NODES,
                area_code=principal.area_code,
                detail=(("nodes", numbers), ("reason", reason)),
            ),
        )


def _planned(step: Step, node: NodeIdentity, gateway_name: str) -> Transition:
    if step is Step.MOVE and node.gateway_name == gateway_name:
        raise ConflictError.of("served_already", node=node.mac, gateway=gateway_name)
    return transition(step, node.life_state, name=node.mac, stands_in_pole=bool(node.pole_code))
