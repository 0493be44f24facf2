"""Rollouts and labels over the API, with real ports."""

import grpc
import grpc.aio
import pytest
from release_builders import publish

from fleet_rig import Rig, make_gateway, make_poles
from poleward.v1 import label_service_pb2 as label_pb
from poleward.v1 import rollout_service_pb2 as rollout_pb
from poleward.v1.label_service_pb2_grpc import LabelServiceStub
from poleward.v1.rollout_service_pb2_grpc import RolloutServiceStub


async def test_rollout_is_tried_proposed_listed_and_aborted(rig: Rig) -> None:
    await make_gateway(rig.fleet)
    await make_poles(rig.fleet, 3)
    release = await publish(rig.fleet)
    async with rig.api() as channel:
        labels, rollouts = LabelServiceStub(channel), RolloutServiceStub(channel)
        changing = label_pb.ChangeLabelsRequest(pole_codes=["P-1", "P-3"], add=["pilot"])
        await labels.ChangeLabels(changing, metadata=rig.metadata)
        listed = await labels.ListLabels(label_pb.ListLabelsRequest(), metadata=rig.metadata)
        assert [(count.label, count.poles) for count in listed.labels] == [("pilot", 2)]
        target = rollout_pb.RolloutTarget(labels=["pilot"])
        policy = rollout_pb.RolloutPolicy(
            waves=[rollout_pb.RolloutWave(nodes=1), rollout_pb.RolloutWave()], needs_approval=True
        )
        trying = rollout_pb.TryRolloutRequest(
            release_digest=release.digest, target=target, policy=policy
        )
        would = await rollouts.TryRollout(trying, metadata=rig.metadata)
        assert list(would.wave_nodes) == [1, 1]
        assert would.links[0].downlink_bytes == 2 * release.bundle_bytes
        creating = rollout_pb.CreateRolloutRequest(
            release_digest=release.digest, target=target, policy=policy
        )
        made = (await rollouts.CreateRollout(creating, metadata=rig.metadata)).rollout
        assert (made.state, made.waits_for) == ("proposed", "second_person")
        assert dict(made.counts) == {"queued": 2}
        assert made.policy.concurrency == 50
        naming = rollout_pb.ListRolloutNodesRequest(number=made.number, states=["queued"])
        nodes = (await rollouts.ListRolloutNodes(naming, metadata=rig.metadata)).nodes
        assert sorted(node.pole_code for node in nodes) == ["P-1", "P-3"]
        asking = rollout_pb.ListUpdatesRequest(code="P-1")
        (update,) = (await rollouts.ListUpdates(asking, metadata=rig.metadata)).updates
        assert (update.rollout_number, update.rollout_state) == (made.number, "proposed")
        assert (update.release_version, update.node.state) == (made.release_version, "queued")
        with pytest.raises(grpc.aio.AioRpcError, match="somebody else"):
            await rollouts.ApproveRollout(
                rollout_pb.ApproveRolloutRequest(number=made.number), metadata=rig.metadata
            )
        naming = rollout_pb.ListRolloutNodesRequest(number=made.number, states=["lost"])
        with pytest.raises(grpc.aio.AioRpcError, match="no state lost"):
            await rollouts.ListRolloutNodes(naming, metadata=rig.metadata)
        aborting = rollout_pb.AbortRolloutRequest(number=made.number)
        aborted = (await rollouts.AbortRollout(aborting, metadata=rig.metadata)).rollout
        assert (aborted.state, aborted.reason) == ("aborted", "by admin")
        every = await rollouts.ListRollouts(rollout_pb.ListRolloutsRequest(), metadata=rig.metadata)
        assert [rollout.number for rollout in every.rollouts] == [made.number]
