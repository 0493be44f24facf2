"""The border between rollout messages and values; see mapping.py for the others.

Not validation of meaning: domain/rollout_policy.py does that.
"""

from poleward.v1 import rollout_service_pb2 as rollout_pb
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout import NodeStage, WaveFact
from poleward_fleet.domain.rollout_policy import (
    OnFailure,
    Policy,
    StageDeadlines,
    Target,
    Wave,
    Window,
)
from poleward_fleet.domain.rollout_views import DryRun, NodeRollout, Rollout, RolloutNode

_ON_FAILURE = {
    rollout_pb.ROLLOUT_FAILURE_POLICY_UNSPECIFIED: OnFailure.CANCEL,
    rollout_pb.ROLLOUT_FAILURE_POLICY_PAUSE: OnFailure.PAUSE,
    rollout_pb.ROLLOUT_FAILURE_POLICY_CANCEL: OnFailure.CANCEL,
    rollout_pb.ROLLOUT_FAILURE_POLICY_RETURN: OnFailure.RETURN,
}
_ON_FAILURE_BACK = {value: key for key, value in _ON_FAILURE.items()}
_DEFAULT = Policy()


def target(message: rollout_pb.RolloutTarget) -> Target:
    """Unpack a target."""
    return Target(
        area_code=message.area_code,
        labels=tuple(message.labels),
        pole_codes=tuple(message.pole_codes),
        also_later=message.also_later,
    )


def target_to_message(value: Target) -> rollout_pb.RolloutTarget:
    """Pack a target."""
    return rollout_pb.RolloutTarget(
        area_code=value.area_code,
        labels=value.labels,
        pole_codes=value.pole_codes,
        also_later=value.also_later,
    )


def policy(message: rollout_pb.RolloutPolicy) -> Policy:
    """Unpack a policy; what is 0 or empty takes the default.

    Raises:
        InvalidError: It says something about failures that this fleet does not know.
    """
    if message.on_failure not in _ON_FAILURE:
        raise InvalidError("what to do on failure is not known to this fleet")
    deadlines = _DEFAULT.deadlines
    return Policy(
        waves=tuple(_wave(wave) for wave in message.waves) or _DEFAULT.waves,
        concurrency=message.concurrency or _DEFAULT.concurrency,
        gateway_concurrency=message.gateway_concurrency or _DEFAULT.gateway_concurrency,
        jitter_s=message.jitter_s,
        max_failures=message.max_failures or _DEFAULT.max_failures,
        max_failure_percent=message.max_failure_percent or _DEFAULT.max_failure_percent,
        max_attempts=message.max_attempts or _DEFAULT.max_attempts,
        retry_s=message.retry_s or _DEFAULT.retry_s,
        on_failure=_ON_FAILURE[message.on_failure],
        return_digest=message.return_digest,
        windows=tuple(
            Window(tuple(window.weekdays), window.start_minute, window.end_minute)
            for window in message.windows
        ),
        time_zone=message.time_zone or _DEFAULT.time_zone,
        needs_approval=message.needs_approval,
        deadlines=StageDeadlines(
            offered_s=message.offered_s or deadlines.offered_s,
            downloading_s=message.downloading_s or deadlines.downloading_s,
            downloaded_s=message.downloaded_s or deadlines.downloaded_s,
            trial_s=message.trial_s or deadlines.trial_s,
        ),
    )


def _wave(message: rollout_pb.RolloutWave) -> Wave:
    return Wave(
        nodes=message.nodes,
        percent=message.percent,
        success_percent=message.success_percent if message.HasField("success_percent") else 100,
        wait_s=message.wait_s,
        needs_approval=message.needs_approval,
    )


def policy_to_message(value: Policy) -> rollout_pb.RolloutPolicy:
    """Pack a policy."""
    return rollout_pb.RolloutPolicy(
        waves=[
            rollout_pb.RolloutWave(
                nodes=wave.nodes,
                percent=wave.percent,
                success_percent=wave.success_percent,
                wait_s=wave.wait_s,
                needs_approval=wave.needs_approval,
            )
            for wave in value.waves
        ],
        concurrency=value.concurrency,
        gateway_concurrency=value.gateway_concurrency,
        jitter_s=value.jitter_s,
        max_failures=value.max_failures,
        max_failure_percent=value.max_failure_percent,
        max_attempts=value.max_attempts,
        retry_s=value.retry_s,
        on_failure=_ON_FAILURE_BACK[value.on_failure],
        return_digest=value.return_digest,
        windows=[
            rollout_pb.RolloutWindow(
                weekdays=window.weekdays,
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
            for window in value.windows
        ],
        time_zone=value.time_zone,
        needs_approval=value.needs_approval,
        offered_s=value.deadlines.offered_s,
        downloading_s=value.deadlines.downloading_s,
        downloaded_s=value.deadlines.downloaded_s,
        trial_s=value.deadlines.trial_s,
    )


def rollout_to_message(value: Rollout, now_ms: int) -> rollout_pb.Rollout:
    """Pack a rollout."""
    return rollout_pb.Rollout(
        number=value.number,
        release_digest=value.release_digest,
        release_version=value.release_version,
        state=value.state.value,
        reason=str(value.reason),
        counts={stage.value: count for stage, count in value.counts.items()},
        created_at_ms=value.created_at_ms,
        created_by=value.created_by,
        approved_by=value.approved_by,
        waits_for=value.waits_for(now_ms).value,
        waves=[_wave_progress(wave) for wave in value.waves],
        target=target_to_message(value.target),
        policy=policy_to_message(value.policy),
        returns_rollout=value.returns_rollout,
        name=value.name,
    )


def _wave_progress(value: WaveFact) -> rollout_pb.RolloutWaveProgress:
    return rollout_pb.RolloutWaveProgress(
        counts={stage.value: count for stage, count in value.counts.items()},
        opened_at_ms=value.opened_at_ms or 0,
        reached_at_ms=value.reached_at_ms or 0,
    )


def rollout_node_to_message(value: RolloutNode) -> rollout_pb.RolloutNode:
    """Pack one node's progress."""
    return rollout_pb.RolloutNode(
        node_number=value.node_number,
        pole_code=value.pole_code or value.gateway_name,
        state=value.stage.value,
        reason=str(value.reason),
        since_ms=value.since_ms,
        wave=value.wave + 1,
        attempts=value.attempts,
    )


def update_to_message(value: NodeRollout) -> rollout_pb.Update:
    """Pack a rollout in which a node or gateway is or was."""
    return rollout_pb.Update(
        rollout_number=value.rollout_number,
        release_version=value.release_version,
        rollout_state=value.state.value,
        node=rollout_node_to_message(value.node),
    )


def stages(names: list[str]) -> list[NodeStage]:
    """Unpack stages.

    Raises:
        InvalidError: One of them does not exist.
    """
    known = {stage.value: stage for stage in NodeStage}
    if unknown := [name for name in names if name not in known]:
        raise InvalidError(f"there is no state {unknown[0]}; choose of {', '.join(known)}")
    return [known[name] for name in names]


def dry_run_to_message(value: DryRun) -> rollout_pb.TryRolloutResponse:
    """Pack what a rollout would do."""
    return rollout_pb.TryRolloutResponse(
        wave_nodes=value.wave_nodes,
        run_already=value.run_already,
        run_newer=value.run_newer,
        taken=value.taken,
        canaries=value.canaries,
        links=[
            rollout_pb.RolloutLinkLoad(
                gateway_name=link.gateway_name,
                nodes=link.nodes,
                uplink_bytes=link.uplink_bytes,
                downlink_bytes=link.downlink_bytes,
            )
            for link in value.links
        ],
        duration_s=value.duration_s,
    )
