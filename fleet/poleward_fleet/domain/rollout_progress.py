"""What a report about one node means for its stage: pure.

Not what the rollout as a whole does next (domain/rollout.py).
"""

from dataclasses import dataclass

from poleward_fleet.domain.rollout import UNDER_WAY, NodeStage
from poleward_fleet.domain.rollout_policy import Policy, retry_delay_ms
from poleward_fleet.domain.words import NO_WORDS, Words


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a node stands in a rollout that is not over, and what it runs.

    Args:
        stage: Its stage.
        attempts: How often it was offered the release.
        running_sequence: Of the release that it reports as running.
        wanted_sequence: Of the rollout's release.
        policy: Of the rollout.
        reason: Why it is at its stage.
        was_brought_back: A later rollout permitted what it runs by now.
        is_taken_back: The release is not wanted of it any more, and its gateway has none in hand.
    """

    stage: NodeStage
    attempts: int
    running_sequence: int
    wanted_sequence: int
    policy: Policy
    reason: Words = NO_WORDS
    was_brought_back: bool = False
    is_taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A node gets to a stage; queued again, it may be offered after `delay_ms`."""

    stage: NodeStage
    reason: Words = NO_WORDS
    delay_ms: int = 0


def move_after(standing: Standing, told: NodeStage | None, reason: Words) -> Move | None:
    """Decide what a report about a node changes; None for nothing.

    Rules:
    - Only a node under way moves by what is told; what comes late or twice changes nothing. A node
      that says why it waits moves to the same stage for another reason.
    - A node whose offer was taken back is cancelled, unless it was too late for that.
    - Confirmed is believed only of a node that reports the release as running.
    - A failure on the way is tried again while attempts are left; a rejection never is.
    - A confirmed node that reports an older release than the one it was given went back, unless a
      later rollout brought it there.

    Args:
        standing: Where it stands.
        told: Stage that its gateway reports; None for none.
        reason: Words of the node or its gateway.
    """
    runs_it = standing.running_sequence == standing.wanted_sequence
    went_back = standing.running_sequence < standing.wanted_sequence
    if standing.stage is NodeStage.CONFIRMED and went_back and not standing.was_brought_back:
        return Move(NodeStage.RETURNED, Words.of("went_back", sequence=standing.running_sequence))
    if standing.stage not in UNDER_WAY:
        return None
    if standing.is_taken_back:
        return Move(NodeStage.CONFIRMED if runs_it else NodeStage.CANCELLED)
    if told is None or (told, reason) == (standing.stage, standing.reason):
        return None
    if told is NodeStage.CONFIRMED and not runs_it:
        return None
    if told is NodeStage.FAILED and standing.attempts < standing.policy.max_attempts:
        delay_ms = retry_delay_ms(standing.policy, standing.attempts)
        return Move(NodeStage.QUEUED, Words.of("try_again", reason=reason), delay_ms)
    return Move(told, reason)
