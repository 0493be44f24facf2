"""The part of the fleet's API that is about rollouts, as typed calls on plain values.

`FleetClient` carries it; see there for what all calls have in common.
"""

from collections.abc import Iterator, Sequence

import grpc

from poleward.v1 import rollout_service_pb2 as rollouts
from poleward.v1.rollout_service_pb2_grpc import RolloutServiceStub
from poleward_tools.client import rollout_mapping as mapping
from poleward_tools.client.errors import translated
from poleward_tools.client.rollout_views import (
    DryRun,
    Rollout,
    RolloutNode,
    RolloutPolicy,
    RolloutTarget,
    Update,
)

_TIMEOUT_S = 30.0
_EVERYWHERE = RolloutTarget()
_DEFAULTS = RolloutPolicy()


class RolloutCalls:
    """Rollouts: try, create, watch, approve, pause, resume, abort."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = RolloutServiceStub(channel)
        self._address = address

    def create(
        self,
        release_digest: bytes,
        target: RolloutTarget = _EVERYWHERE,
        policy: RolloutPolicy = _DEFAULTS,
        *,
        name: str = "",
        supersede: bool = False,
    ) -> Rollout:
        """Create a rollout; unless it needs an approval, it begins."""
        request = rollouts.CreateRolloutRequest(
            release_digest=release_digest,
            target=mapping.target_message(target),
            policy=mapping.policy_message(policy),
            supersede=supersede,
            name=name,
        )
        with translated("create the rollout", self._address):
            answer = self._stub.CreateRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout)

    def dry_run(
        self,
        release_digest: bytes,
        target: RolloutTarget = _EVERYWHERE,
        policy: RolloutPolicy = _DEFAULTS,
        *,
        name: str = "",
    ) -> DryRun:
        """Tell what a rollout would do; nothing is stored."""
        request = rollouts.TryRolloutRequest(
            release_digest=release_digest,
            target=mapping.target_message(target),
            policy=mapping.policy_message(policy),
            name=name,
        )
        with translated("try the rollout", self._address):
            return mapping.dry_run_view(self._stub.TryRollout(request, timeout=_TIMEOUT_S))

    def get(self, number: int) -> Rollout:
        """Get a rollout with its nodes, failures first; at most 1,000 of them."""
        with translated(f"show rollout {number}", self._address):
            request = rollouts.GetRolloutRequest(number=number)
            answer = self._stub.GetRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout, answer.nodes)

    def list_all(self) -> list[Rollout]:
        """List rollouts without their nodes, newest first."""
        with translated("list rollouts", self._address):
            answer = self._stub.ListRollouts(rollouts.ListRolloutsRequest(), timeout=_TIMEOUT_S)
        return [mapping.rollout_view(rollout) for rollout in answer.rollouts]

    def nodes(self, number: int, states: Sequence[str] = ()) -> Iterator[RolloutNode]:
        """Get every node of a rollout, page by page, failures first."""
        request = rollouts.ListRolloutNodesRequest(number=number, states=states)
        while True:
            with translated(f"list the nodes of rollout {number}", self._address):
                answer = self._stub.ListRolloutNodes(request, timeout=_TIMEOUT_S)
            yield from map(mapping.node_view, answer.nodes)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def updates(self, code: str) -> list[Update]:
        """List the rollouts of the node in a pole, or of a gateway, newest first."""
        request = rollouts.ListUpdatesRequest(code=code)
        with translated(f"list the updates of {code}", self._address):
            answer = self._stub.ListUpdates(request, timeout=_TIMEOUT_S)
        return [mapping.update_view(update) for update in answer.updates]

    def approve(self, number: int) -> Rollout:
        """Let a proposed rollout begin, or the next wave of one that waits for a person."""
        request = rollouts.ApproveRolloutRequest(number=number)
        with translated(f"approve rollout {number}", self._address):
            answer = self._stub.ApproveRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout)

    def pause(self, number: int) -> Rollout:
        """Stop offering the release to further nodes."""
        request = rollouts.PauseRolloutRequest(number=number)
        with translated(f"pause rollout {number}", self._address):
            answer = self._stub.PauseRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout)

    def resume(self, number: int) -> Rollout:
        """Go on with a paused rollout; its failures so far do not stop it again."""
        request = rollouts.ResumeRolloutRequest(number=number)
        with translated(f"resume rollout {number}", self._address):
            answer = self._stub.ResumeRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout)

    def abort(self, number: int) -> Rollout:
        """End a rollout; nodes that run or try the release keep it, the others drop it."""
        request = rollouts.AbortRolloutRequest(number=number)
        with translated(f"abort rollout {number}", self._address):
            answer = self._stub.AbortRollout(request, timeout=_TIMEOUT_S)
        return mapping.rollout_view(answer.rollout)
