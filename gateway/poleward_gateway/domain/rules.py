"""When local rules fire and what follows; pure decisions over what happened.

Not carrying it out: services/local_rules.py.
"""

from dataclasses import dataclass

from poleward_gateway.domain.lighting import (
    Dim,
    EventTrigger,
    Lighting,
    ReadingTrigger,
    Rule,
    Tell,
)
from poleward_gateway.domain.nodes import NodeNumber


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a node."""

    node: NodeNumber
    kind: str
    detail: str
    at_s: float


@dataclass(frozen=True, slots=True)
class LampOrder:
    """One lamp's share of a rule; `duration_s` 0 means until the next command."""

    node: NodeNumber
    level_percent: int
    duration_s: int


def wants(trigger: EventTrigger, happened: Happened) -> bool:
    """Say whether an event is of the kind that a trigger waits for."""
    return trigger.kind == happened.kind and trigger.detail in happened.detail


def recent(
    trigger: EventTrigger, before: tuple[Happened, ...], happened: Happened
) -> tuple[Happened, ...]:
    """Add an event to those that still count, one for each node."""
    since_s = happened.at_s - trigger.within_s
    kept = [known for known in before if known.at_s >= since_s and known.node != happened.node]
    return (*kept, happened)


def is_enough(trigger: EventTrigger, counted: tuple[Happened, ...]) -> bool:
    """Say whether so many nodes have told that the trigger fires."""
    return len(counted) >= max(1, trigger.count)


def is_past(trigger: ReadingTrigger, value: float, was_past: bool) -> bool:
    """Say whether a reading counts as past its threshold; NaN changes nothing.

    Args:
        trigger: The threshold.
        value: The reading.
        was_past: Whether it counted as past until now.
    """
    if value != value:
        return was_past
    margin = trigger.margin if was_past else 0.0
    if trigger.above:
        return value > trigger.threshold - margin
    return value < trigger.threshold + margin


def lamp_orders(lighting: Lighting, action: Dim, node: NodeNumber) -> list[LampOrder]:
    """List what a dim action orders, each lamp once: neighbours first, then groups.

    Lamps that go back one after the other keep the order, and no two of them go back in the
    same second if the stagger is a second or more.
    """
    nodes = dict.fromkeys(lighting.neighbours(node, action.neighbours_m))
    for name in action.groups:
        group = lighting.group(name)
        nodes.update(dict.fromkeys(group.nodes if group else ()))
    orders = []
    for place, number in enumerate(nodes):
        duration_s = action.duration_s
        if duration_s:
            duration_s += place * action.stagger_ms // 1000
        orders.append(LampOrder(number, action.level_percent, duration_s))
    return orders


def tellings(rule: Rule) -> list[Tell]:
    """List the events that a rule makes."""
    return [action for action in rule.actions if isinstance(action, Tell)]


def dimmings(rule: Rule) -> list[Dim]:
    """List the dim actions of a rule."""
    return [action for action in rule.actions if isinstance(action, Dim)]
