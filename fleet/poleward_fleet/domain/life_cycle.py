"""The life of a node: which step may be taken in which state, by whom, and what its keys do.

Not how a step is carried out (services/node_life.py, adapters/sql/life_store.py).
"""

from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.accounts import Permission
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.inventory import LifeState

ALONE_AT_MOST = 10
"""Nodes that one person may decommission within DECOMMISSION_WINDOW_MS; more needs a second."""
DECOMMISSION_WINDOW_MS = 24 * 3600_000

CLONED_EVENT = "node.cloned"
"""A gateway saw two devices with one identity."""
WIPED_EVENT = "node.wiped"
"""A node forgot its operational keys, as its gateway asked."""


class Step(Enum):
    """Something that happens to a node."""

    CLAIM = "claim"  # somebody proved to stand at it and put it into a pole
    COMMISSION = "commission"  # signed off
    SERVE = "serve"  # heard for the first time after that
    MOVE = "move"  # to another gateway
    ROTATE = "rotate"  # other operational keys
    SWAP_OUT = "swap_out"  # another node took its pole
    QUARANTINE = "quarantine"
    RELEASE = "release"
    LOSE = "lose"
    DECOMMISSION = "decommission"


class Keys(Enum):
    """What becomes of the operational keys."""

    KEPT = "kept"
    FRESH = "fresh"
    DEAD = "dead"  # every gateway forgets them at once
    WIPED = "wiped"  # good for one thing only: telling the node to forget them too


WORKING = frozenset({LifeState.CLAIMED, LifeState.COMMISSIONED, LifeState.IN_SERVICE})
_ANY = frozenset(LifeState) - {LifeState.DECOMMISSIONED}


@dataclass(frozen=True, slots=True)
class Rule:
    """When a step is possible and what it does.

    Args:
        sources: States in which it may be taken.
        target: State after it; None when it stays.
        keys: What becomes of the operational keys.
        permission: What it needs; None for what only the fleet does by itself.
        leaves_pole: The node does not stand in its pole any more.
    """

    sources: frozenset[LifeState]
    target: LifeState | None
    keys: Keys
    permission: Permission | None
    leaves_pole: bool = False


RULES: dict[Step, Rule] = {
    Step.CLAIM: Rule(
        frozenset({LifeState.MANUFACTURED}), LifeState.CLAIMED, Keys.FRESH, Permission.COMMISSION
    ),
    Step.COMMISSION: Rule(
        frozenset({LifeState.CLAIMED}), LifeState.COMMISSIONED, Keys.KEPT, Permission.COMMISSION
    ),
    Step.SERVE: Rule(
        frozenset({LifeState.COMMISSIONED}), LifeState.IN_SERVICE, Keys.KEPT, permission=None
    ),
    Step.MOVE: Rule(WORKING, None, Keys.FRESH, Permission.COMMISSION),
    Step.ROTATE: Rule(WORKING, None, Keys.FRESH, Permission.GUARD_NODES),
    Step.SWAP_OUT: Rule(
        WORKING | {LifeState.QUARANTINED},
        LifeState.SWAPPED_OUT,
        Keys.DEAD,
        Permission.COMMISSION,
        leaves_pole=True,
    ),
    Step.QUARANTINE: Rule(WORKING, LifeState.QUARANTINED, Keys.DEAD, Permission.GUARD_NODES),
    Step.RELEASE: Rule(
        frozenset({LifeState.QUARANTINED, LifeState.SWAPPED_OUT, LifeState.LOST}),
        LifeState.MANUFACTURED,
        Keys.DEAD,
        Permission.GUARD_NODES,
    ),
    Step.LOSE: Rule(
        _ANY - {LifeState.LOST},
        LifeState.LOST,
        Keys.WIPED,
        Permission.COMMISSION,
        leaves_pole=True,
    ),
    Step.DECOMMISSION: Rule(
        _ANY, LifeState.DECOMMISSIONED, Keys.WIPED, Permission.GUARD_NODES, leaves_pole=True
    ),
}

WORDS: dict[Step, str] = {
    Step.CLAIM: "claimed",
    Step.COMMISSION: "commissioned",
    Step.SERVE: "put in service",
    Step.MOVE: "moved",
    Step.ROTATE: "given other keys",
    Step.SWAP_OUT: "swapped out",
    Step.QUARANTINE: "quarantined",
    Step.RELEASE: "released",
    Step.LOSE: "reported lost",
    Step.DECOMMISSION: "decommissioned",
}


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step does to one node."""

    step: Step
    before: LifeState
    after: LifeState
    keys: Keys
    leaves_pole: bool


def transition(step: Step, state: LifeState, *, name: str, stands_in_pole: bool) -> Transition:
    """Decide what a step does to a node.

    A quarantined node that still stands in its pole goes back to work there, with fresh keys; any
    other released node is as it came from the factory.

    Args:
        step: What is to happen.
        state: State of the node.
        name: Of the node, for the message.
        stands_in_pole: A pole is bound to it.

    Raises:
        ConflictError: The step makes no sense in this state.
    """
    rule = RULES[step]
    if state not in rule.sources:
        raise ConflictError.of(
            "cannot_step",
            node=name,
            life=state.value.replace("_", " "),
            step=WORDS[step],
            lives=", ".join(sorted(source.value.replace("_", " ") for source in rule.sources)),
        )
    if step is Step.RELEASE and stands_in_pole:
        return Transition(step, state, LifeState.COMMISSIONED, Keys.FRESH, leaves_pole=False)
    return Transition(step, state, rule.target or state, rule.keys, rule.leaves_pole)


def steps_from(state: LifeState) -> tuple[Step, ...]:
    """Return the steps that are possible in a state."""
    return tuple(step for step, rule in RULES.items() if state in rule.sources)
