"""What tests of rollouts share: reports about nodes, ways to look at a rollout, a beginning.

Not fixtures (conftest.py) and not releases (release_builders.py).
"""

from typing import Any

from fleet_rig import (
    ADMIN,
)
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.gateway_link import NodeState, NodeUpdate
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.rollout_policy import (
    Policy,
    StageDeadlines,
    Target,
)
from poleward_fleet.domain.rollout_views import Rollout
from poleward_fleet.services.gateways import GatewayLink

EVERYWHERE = Target()
MANAGER = Principal("manager", frozenset({Role.RELEASE_MANAGER}))
OFFERED, QUEUED, CONFIRMED = NodeStage.OFFERED, NodeStage.QUEUED, NodeStage.CONFIRMED
DEADLINES = StageDeadlines(60, 60, 60, 60)


async def report(
    fleet: Fleet,
    link: GatewayLink,
    release: Release,
    node: int,
    stage: NodeStage | None,
    reason: str = "",
    *,
    runs: int | None = None,
) -> None:
    """Tell of one node; one that confirmed runs the release unless said otherwise."""
    if runs is None and stage is CONFIRMED:
        runs = release.sequence
    await _tell(fleet, link, node, runs, NodeUpdate(release.digest, stage, reason))


async def report_none(
    fleet: Fleet, link: GatewayLink, node: int, *, runs: int | None = None
) -> None:
    """Tell that the gateway has no release in hand for a node."""
    await _tell(fleet, link, node, runs, NodeUpdate(b"", None, ""))


async def _tell(
    fleet: Fleet, link: GatewayLink, node: int, runs: int | None, update: NodeUpdate
) -> None:
    state = NodeState(
        node_number=node,
        link_state=LinkState.ONLINE,
        heard_at_ms=fleet.rollouts._clock.now_ms(),
        release_sequence=runs,
        update=update,
    )
    await fleet.ingest.states(link, [state])


async def stages(fleet: Fleet, number: int) -> list[NodeStage]:
    nodes = await fleet.rollouts.nodes(ADMIN, number)
    return [node.stage for node in sorted(nodes, key=lambda node: node.node_number)]


async def offered(fleet: Fleet, number: int) -> list[int]:
    nodes = await fleet.rollouts.nodes(ADMIN, number, stages=[OFFERED])
    return sorted(node.node_number for node in nodes)


async def confirm_offered(
    fleet: Fleet, link: GatewayLink, release: Release, number: int
) -> list[int]:
    nodes = await offered(fleet, number)
    for node in nodes:
        await report(fleet, link, release, node, CONFIRMED)
    await fleet.rollout_loop.reconcile()
    return nodes


async def current(fleet: Fleet, number: int) -> Rollout:
    return await fleet.rollouts.rollout(ADMIN, number)


async def desired(fleet: Fleet, link: GatewayLink) -> dict[int, bytes]:
    state = await fleet.links._nodes.desired_state(link.gateway_name, 0)
    return {node.node_number: node.release.digest for node in state.nodes}


async def begin(fleet: Fleet, release: Release, target: Target = EVERYWHERE, **policy: Any) -> int:
    made = await fleet.rollouts.create(ADMIN, release.digest, target, Policy(**policy))
    await fleet.rollout_loop.reconcile()
    return made.number
