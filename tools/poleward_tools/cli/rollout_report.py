"""What a rollout came to, in a few lines however many nodes it has.

Not how each node fared; that is a list of its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from poleward_tools.client.rollout_views import Rollout, RolloutNode


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many nodes are in a state for the same reason."""

    state: str
    reason: str
    nodes: int


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """A rollout summed up.

    Args:
        duration_s: from its creation to the last thing that any node did.
        asked_again: nodes that were offered the release more than once.
        reasons: of nodes that did not simply confirm, the most frequent first.
    """

    duration_s: int
    asked_again: int
    reasons: tuple[ReasonCount, ...]


def sum_up(rollout: Rollout, nodes: Sequence[RolloutNode]) -> RolloutReport:
    """Sum up a rollout from its nodes."""
    last_ms = max((node.since_ms for node in nodes), default=rollout.created_at_ms)
    reasons = Counter((node.state, node.reason) for node in nodes if node.reason)
    return RolloutReport(
        duration_s=max(0, last_ms - rollout.created_at_ms) // 1000,
        asked_again=sum(node.attempts > 1 for node in nodes),
        reasons=tuple(
            ReasonCount(state, reason, many) for (state, reason), many in reasons.most_common()
        ),
    )
