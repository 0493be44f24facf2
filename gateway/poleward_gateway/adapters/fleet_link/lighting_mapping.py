"""The border between the gateway's lighting and the messages of poleward.v1.

Not the stream (link.py) and not the other messages (mapping.py).
"""

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward.v1 import lighting_types_pb2 as types_pb
from poleward_gateway.domain.lighting import (
    Dim,
    EventTrigger,
    Group,
    Lighting,
    Place,
    Program,
    ReadingTrigger,
    Rule,
    Scene,
    ScenePart,
    Tell,
)
from poleward_gateway.domain.nodes import NodeNumber


def lighting_from_message(message: pb.DesiredLighting) -> Lighting:
    """Read lighting; poles of a group that are not this gateway's are left out."""
    places = tuple(
        Place(
            node=NodeNumber(place.node_number),
            pole_code=place.pole_code,
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
            program=place.program,
        )
        for place in message.places
    )
    nodes = {place.pole_code: place.node for place in places}
    return Lighting(
        digest=message.digest,
        programs=tuple(Program(p.name, p.time_zone, p.rules) for p in message.programs),
        places=places,
        groups=tuple(
            Group(group.name, tuple(nodes[code] for code in group.pole_codes if code in nodes))
            for group in message.groups
        ),
        scenes=tuple(
            Scene(
                scene.name,
                tuple(
                    ScenePart(part.group, part.level_percent, part.fade_ms) for part in scene.parts
                ),
            )
            for scene in message.scenes
        ),
        rules=tuple(rule for rule in map(_rule, message.rules) if rule is not None),
    )


def _rule(message: types_pb.LocalRule) -> Rule | None:
    """Read a rule; None when a newer fleet sends a trigger that is not known here."""
    trigger: EventTrigger | ReadingTrigger
    kind = message.WhichOneof("trigger")
    if kind == "event":
        event = message.event
        trigger = EventTrigger(event.kind, event.detail, event.count, event.within_s)
    elif kind == "reading":
        reading = message.reading
        trigger = ReadingTrigger(reading.metric, reading.threshold, reading.above, reading.margin)
    else:
        return None
    actions = (_action(action) for action in message.actions)
    return Rule(message.name, trigger, tuple(action for action in actions if action is not None))


def _action(message: types_pb.RuleAction) -> Dim | Tell | None:
    kind = message.WhichOneof("action")
    if kind == "dim":
        dim = message.dim
        return Dim(
            tuple(dim.groups), dim.neighbours_m, dim.level_percent, dim.duration_s, dim.stagger_ms
        )
    return Tell(message.tell.kind, message.tell.detail) if kind == "tell" else None
