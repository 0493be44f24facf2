"""The border between lighting messages and the fleet's values: one function per direction.

Not validation of meaning: that is the services' work.
"""

import math

from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward.v1 import lighting_service_pb2 as service_pb
from poleward.v1 import lighting_types_pb2 as types_pb
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.lighting import (
    Dim,
    EventTrigger,
    GatewayLighting,
    Group,
    LightingKind,
    PoleOutcome,
    Program,
    ProgramView,
    ReadingTrigger,
    Rule,
    Scene,
    ScenePart,
    Tell,
)

_KINDS: dict[int, LightingKind] = {
    service_pb.LIGHTING_KIND_PROGRAM: LightingKind.PROGRAM,
    service_pb.LIGHTING_KIND_GROUP: LightingKind.GROUP,
    service_pb.LIGHTING_KIND_SCENE: LightingKind.SCENE,
    service_pb.LIGHTING_KIND_RULE: LightingKind.RULE,
}


def desired_lighting_to_message(lighting: GatewayLighting) -> link_pb.DesiredLighting:
    """Pack what a gateway needs to run its lamps by itself."""
    return link_pb.DesiredLighting(
        digest=lighting.digest(),
        programs=[program_to_message(program) for program in lighting.programs],
        places=[
            link_pb.NodePlace(
                node_number=place.node_number,
                pole_code=place.pole_code,
                latitude_deg=place.latitude_deg,
                longitude_deg=place.longitude_deg,
                program=place.program,
            )
            for place in lighting.places
        ],
        groups=[group_to_message(group) for group in lighting.groups],
        scenes=[scene_to_message(scene) for scene in lighting.scenes],
        rules=[rule_to_message(rule) for rule in lighting.rules],
    )


def kind(value: int) -> LightingKind:
    """Unpack what a name is the name of.

    Raises:
        InvalidError: It is not set.
    """
    if value not in _KINDS:
        raise InvalidError("say whether it is a program, a group, a scene or a rule")
    return _KINDS[value]


def program(message: types_pb.LightingProgram) -> Program:
    """Unpack a program."""
    return Program(message.name, message.time_zone, message.rules)


def program_to_message(value: Program) -> types_pb.LightingProgram:
    """Pack a program."""
    return types_pb.LightingProgram(name=value.name, time_zone=value.time_zone, rules=value.rules)


def program_view_to_message(value: ProgramView) -> service_pb.ProgramView:
    """Pack a program with its counts."""
    return service_pb.ProgramView(
        program=program_to_message(value.program), assigned=value.assigned, followed=value.followed
    )


def group(message: types_pb.LampGroup) -> Group:
    """Unpack a group."""
    return Group(message.name, tuple(message.pole_codes))


def group_to_message(value: Group) -> types_pb.LampGroup:
    """Pack a group."""
    return types_pb.LampGroup(name=value.name, pole_codes=value.pole_codes)


def scene(message: types_pb.LightingScene) -> Scene:
    """Unpack a scene."""
    parts = (ScenePart(p.group, p.level_percent, p.fade_ms) for p in message.parts)
    return Scene(message.name, tuple(parts))


def scene_to_message(value: Scene) -> types_pb.LightingScene:
    """Pack a scene."""
    return types_pb.LightingScene(
        name=value.name,
        parts=[
            types_pb.ScenePart(
                group=part.group, level_percent=part.level_percent, fade_ms=part.fade_ms
            )
            for part in value.parts
        ],
    )


def rule(message: types_pb.LocalRule) -> Rule:
    """Unpack a rule.

    Raises:
        InvalidError: A trigger or an action is missing or makes no sense.
    """
    trigger: EventTrigger | ReadingTrigger
    if message.WhichOneof("trigger") == "event":
        event = message.event
        trigger = EventTrigger(event.kind, event.detail, max(1, event.count), event.within_s)
    elif message.WhichOneof("trigger") == "reading":
        reading = message.reading
        if not (math.isfinite(reading.threshold) and math.isfinite(reading.margin)):
            raise InvalidError(f"the threshold of rule {message.name} is no number")
        trigger = ReadingTrigger(reading.metric, reading.threshold, reading.above, reading.margin)
    else:
        raise InvalidError(f"rule {message.name} has no trigger")
    return Rule(message.name, trigger, tuple(_action(action) for action in message.actions))


def _action(message: types_pb.RuleAction) -> Dim | Tell:
    if message.WhichOneof("action") == "dim":
        dim = message.dim
        return Dim(
            tuple(dim.groups), dim.neighbours_m, dim.level_percent, dim.duration_s, dim.stagger_ms
        )
    if message.WhichOneof("action") == "tell":
        return Tell(message.tell.kind, message.tell.detail)
    raise InvalidError("an action is empty")


def rule_to_message(value: Rule) -> types_pb.LocalRule:
    """Pack a rule."""
    message = types_pb.LocalRule(name=value.name)
    trigger = value.trigger
    if isinstance(trigger, EventTrigger):
        message.event.CopyFrom(
            types_pb.EventTrigger(
                kind=trigger.kind,
                detail=trigger.detail,
                count=trigger.count,
                within_s=trigger.within_s,
            )
        )
    else:
        message.reading.CopyFrom(
            types_pb.ReadingTrigger(
                metric=trigger.metric,
                threshold=trigger.threshold,
                above=trigger.above,
                margin=trigger.margin,
            )
        )
    for action in value.actions:
        if isinstance(action, Dim):
            dim = types_pb.DimAction(
                groups=action.groups,
                neighbours_m=action.neighbours_m,
                level_percent=action.level_percent,
                duration_s=action.duration_s,
                stagger_ms=action.stagger_ms,
            )
            message.actions.append(types_pb.RuleAction(dim=dim))
        else:
            tell = types_pb.TellAction(kind=action.kind, detail=action.detail)
            message.actions.append(types_pb.RuleAction(tell=tell))
    return message


def outcome_to_message(value: PoleOutcome) -> service_pb.PoleOutcome:
    """Pack what became of an order at a pole."""
    return service_pb.PoleOutcome(
        pole_code=value.pole_code,
        status=value.outcome.status.value,
        detail=value.outcome.detail,
        elapsed_ms=max(0, value.outcome.elapsed_ms),
    )
