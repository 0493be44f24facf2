"""RolloutService on the API port.

Not the rules (services/rollouts.py).
"""

from typing import Any

import grpc.aio

from poleward.v1 import rollout_service_pb2 as rollout_pb
from poleward.v1 import rollout_service_pb2_grpc
from poleward_fleet.adapters.grpc import rollout_mapping as mapping
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.adapters.grpc.mapping import page_number
from poleward_fleet.domain.rollout_views import Rollout
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.rollouts import MAX_NODES_AT_ONCE, RolloutService

_Context = grpc.aio.ServicerContext[Any, Any]


class RolloutServicer(rollout_service_pb2_grpc.RolloutServiceServicer):
    """Rollouts."""

    def __init__(self, accounts: AccountService, rollouts: RolloutService, clock: Clock) -> None:
        self._accounts = accounts
        self._rollouts = rollouts
        self._clock = clock

    async def CreateRollout(
        self, request: rollout_pb.CreateRolloutRequest, context: _Context
    ) -> rollout_pb.CreateRolloutResponse:
        """Create a rollout."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.create(
            principal,
            request.release_digest,
            mapping.target(request.target),
            mapping.policy(request.policy),
            name=request.name,
            may_supersede=request.supersede,
        )
        return rollout_pb.CreateRolloutResponse(rollout=self._message(rollout))

    async def TryRollout(
        self, request: rollout_pb.TryRolloutRequest, context: _Context
    ) -> rollout_pb.TryRolloutResponse:
        """Tell what a rollout would do."""
        principal = await principal_of(self._accounts, context)
        would = await self._rollouts.dry_run(
            principal,
            request.release_digest,
            mapping.target(request.target),
            mapping.policy(request.policy),
            name=request.name,
        )
        return mapping.dry_run_to_message(would)

    async def GetRollout(
        self, request: rollout_pb.GetRolloutRequest, context: _Context
    ) -> rollout_pb.GetRolloutResponse:
        """Return one rollout with its counts and the nodes that tell most."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.rollout(principal, _number(request.number))
        nodes = await self._rollouts.nodes(principal, rollout.number)
        return rollout_pb.GetRolloutResponse(
            rollout=self._message(rollout),
            nodes=[mapping.rollout_node_to_message(node) for node in nodes],
        )

    async def ListRollouts(
        self, request: rollout_pb.ListRolloutsRequest, context: _Context
    ) -> rollout_pb.ListRolloutsResponse:
        """List rollouts, newest first."""
        principal = await principal_of(self._accounts, context)
        rollouts = await self._rollouts.rollouts(principal)
        return rollout_pb.ListRolloutsResponse(
            rollouts=[self._message(rollout) for rollout in rollouts]
        )

    async def ListRolloutNodes(
        self, request: rollout_pb.ListRolloutNodesRequest, context: _Context
    ) -> rollout_pb.ListRolloutNodesResponse:
        """List the nodes of a rollout, failures first."""
        principal = await principal_of(self._accounts, context)
        skip = page_number(request.page_token)
        nodes = await self._rollouts.nodes(
            principal,
            _number(request.number),
            stages=mapping.stages(list(request.states)),
            skip=skip,
        )
        is_last = len(nodes) < MAX_NODES_AT_ONCE
        return rollout_pb.ListRolloutNodesResponse(
            nodes=[mapping.rollout_node_to_message(node) for node in nodes],
            next_page_token="" if is_last else str(skip + len(nodes)),
        )

    async def ListUpdates(
        self, request: rollout_pb.ListUpdatesRequest, context: _Context
    ) -> rollout_pb.ListUpdatesResponse:
        """List the rollouts of the node in a pole, or of a gateway, newest first."""
        principal = await principal_of(self._accounts, context)
        updates = await self._rollouts.history(principal, request.code)
        return rollout_pb.ListUpdatesResponse(
            updates=[mapping.update_to_message(update) for update in updates]
        )

    async def ApproveRollout(
        self, request: rollout_pb.ApproveRolloutRequest, context: _Context
    ) -> rollout_pb.ApproveRolloutResponse:
        """Let a proposed rollout or its next wave begin."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.approve(principal, _number(request.number))
        return rollout_pb.ApproveRolloutResponse(rollout=self._message(rollout))

    async def PauseRollout(
        self, request: rollout_pb.PauseRolloutRequest, context: _Context
    ) -> rollout_pb.PauseRolloutResponse:
        """Stop offering the release to further nodes."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.pause(principal, _number(request.number))
        return rollout_pb.PauseRolloutResponse(rollout=self._message(rollout))

    async def ResumeRollout(
        self, request: rollout_pb.ResumeRolloutRequest, context: _Context
    ) -> rollout_pb.ResumeRolloutResponse:
        """Go on with a paused rollout."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.resume(principal, _number(request.number))
        return rollout_pb.ResumeRolloutResponse(rollout=self._message(rollout))

    async def AbortRollout(
        self, request: rollout_pb.AbortRolloutRequest, context: _Context
    ) -> rollout_pb.AbortRolloutResponse:
        """End a rollout."""
        principal = await principal_of(self._accounts, context)
        rollout = await self._rollouts.abort(principal, _number(request.number))
        return rollout_pb.AbortRolloutResponse(rollout=self._message(rollout))

    def _message(self, rollout: Rollout) -> rollout_pb.Rollout:
        return mapping.rollout_to_message(rollout, self._clock.now_ms())


def _number(number: int) -> int:
    """Fit a number into the database's range; nothing has the highest one."""
    return min(number, 2**63 - 1)
