"""Converts rollout messages to the client's plain values and back, and nothing else."""

from collections.abc import Iterable

from poleward.v1 import rollout_service_pb2 as rollouts
from poleward_tools.client.rollout_views import (
    DryRun,
    LinkLoad,
    Rollout,
    RolloutNode,
    RolloutPolicy,
    RolloutTarget,
    RolloutWave,
    RolloutWindow,
    Update,
    WaveProgress,
)

_ON_FAILURE = {
    "pause": rollouts.ROLLOUT_FAILURE_POLICY_PAUSE,
    "cancel": rollouts.ROLLOUT_FAILURE_POLICY_CANCEL,
    "return": rollouts.ROLLOUT_FAILURE_POLICY_RETURN,
}
_ON_FAILURE_BACK: dict[int, str] = {value: name for name, value in _ON_FAILURE.items()}


def target_message(target: RolloutTarget) -> rollouts.RolloutTarget:
    """Convert a target."""
    return rollouts.RolloutTarget(
        area_code=target.area_code,
        labels=target.labels,
        pole_codes=target.pole_codes,
        also_later=target.also_later,
    )


def target_view(target: rollouts.RolloutTarget) -> RolloutTarget:
    """Convert a target."""
    return RolloutTarget(
        target.area_code, tuple(target.labels), tuple(target.pole_codes), target.also_later
    )


def policy_message(policy: RolloutPolicy) -> rollouts.RolloutPolicy:
    """Convert a policy."""
    return rollouts.RolloutPolicy(
        waves=[
            rollouts.RolloutWave(
                nodes=wave.nodes,
                percent=wave.percent,
                success_percent=wave.success_percent,
                wait_s=wave.wait_s,
                needs_approval=wave.needs_approval,
            )
            for wave in policy.waves
        ],
        concurrency=policy.concurrency,
        gateway_concurrency=policy.gateway_concurrency,
        jitter_s=policy.jitter_s,
        max_failures=policy.max_failures,
        max_failure_percent=policy.max_failure_percent,
        max_attempts=policy.max_attempts,
        retry_s=policy.retry_s,
        on_failure=_ON_FAILURE[policy.on_failure],
        return_digest=policy.return_digest,
        windows=[
            rollouts.RolloutWindow(
                weekdays=window.weekdays,
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
            for window in policy.windows
        ],
        time_zone=policy.time_zone,
        needs_approval=policy.needs_approval,
        offered_s=policy.offered_s,
        downloading_s=policy.downloading_s,
        downloaded_s=policy.downloaded_s,
        trial_s=policy.trial_s,
    )


def policy_view(policy: rollouts.RolloutPolicy) -> RolloutPolicy:
    """Convert a policy."""
    return RolloutPolicy(
        waves=tuple(
            RolloutWave(
                wave.nodes, wave.percent, wave.success_percent, wave.wait_s, wave.needs_approval
            )
            for wave in policy.waves
        ),
        concurrency=policy.concurrency,
        gateway_concurrency=policy.gateway_concurrency,
        jitter_s=policy.jitter_s,
        max_failures=policy.max_failures,
        max_failure_percent=policy.max_failure_percent,
        max_attempts=policy.max_attempts,
        retry_s=policy.retry_s,
        on_failure=_ON_FAILURE_BACK.get(policy.on_failure, "cancel"),
        return_digest=policy.return_digest,
        windows=tuple(
            RolloutWindow(tuple(window.weekdays), window.start_minute, window.end_minute)
            for window in policy.windows
        ),
        time_zone=policy.time_zone,
        needs_approval=policy.needs_approval,
        offered_s=policy.offered_s,
        downloading_s=policy.downloading_s,
        downloaded_s=policy.downloaded_s,
        trial_s=policy.trial_s,
    )


def rollout_view(rollout: rollouts.Rollout, nodes: Iterable[rollouts.RolloutNode] = ()) -> Rollout:
    """Convert a rollout."""
    return Rollout(
        number=rollout.number,
        release_digest=rollout.release_digest,
        release_version=rollout.release_version,
        state=rollout.state,
        reason=rollout.reason,
        waits_for=rollout.waits_for,
        counts=dict(rollout.counts),
        waves=tuple(
            WaveProgress(dict(wave.counts), wave.opened_at_ms, wave.reached_at_ms)
            for wave in rollout.waves
        ),
        target=target_view(rollout.target),
        policy=policy_view(rollout.policy),
        created_at_ms=rollout.created_at_ms,
        created_by=rollout.created_by,
        approved_by=rollout.approved_by,
        returns_rollout=rollout.returns_rollout,
        name=rollout.name,
        nodes=tuple(node_view(node) for node in nodes),
    )


def node_view(node: rollouts.RolloutNode) -> RolloutNode:
    """Convert one node's progress."""
    return RolloutNode(
        node.node_number,
        node.pole_code,
        node.state,
        node.reason,
        node.since_ms,
        node.wave,
        node.attempts,
    )


def update_view(update: rollouts.Update) -> Update:
    """Convert a rollout in which a node or gateway is or was."""
    return Update(
        update.rollout_number,
        update.release_version,
        update.rollout_state,
        node_view(update.node),
    )


def dry_run_view(would: rollouts.TryRolloutResponse) -> DryRun:
    """Convert what a rollout would do."""
    return DryRun(
        wave_nodes=tuple(would.wave_nodes),
        run_already=would.run_already,
        run_newer=would.run_newer,
        taken=would.taken,
        canaries=tuple(would.canaries),
        links=tuple(
            LinkLoad(load.gateway_name, load.nodes, load.uplink_bytes, load.downlink_bytes)
            for load in would.links
        ),
        duration_s=would.duration_s,
    )
