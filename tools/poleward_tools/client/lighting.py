"""The lighting part of the fleet's API as typed calls on plain values.

Not the rest of it (`fleet.py`), whose connection it uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import json_format

from poleward.v1 import lighting_service_pb2 as pb
from poleward.v1 import lighting_types_pb2 as types_pb
from poleward.v1.lighting_service_pb2_grpc import LightingServiceStub
from poleward_tools.client.errors import ClientError, Failure, translated
from poleward_tools.client.views import Night, PoleOutcome

_TIMEOUT_S = 30.0
_KINDS = {
    "program": pb.LIGHTING_KIND_PROGRAM,
    "group": pb.LIGHTING_KIND_GROUP,
    "scene": pb.LIGHTING_KIND_SCENE,
    "rule": pb.LIGHTING_KIND_RULE,
}


class LightingClient:
    """Programs, groups, scenes, rules; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = LightingServiceStub(channel)
        self._address = address

    def put_program(self, name: str, *, time_zone: str, rules: str) -> None:
        """Add a program or change the one of its name; rules are lines."""
        program = types_pb.LightingProgram(name=name, time_zone=time_zone, rules=rules)
        with translated(f"put program {name}", self._address):
            self._stub.PutProgram(pb.PutProgramRequest(program=program), timeout=_TIMEOUT_S)

    def assign_program(
        self,
        program: str,
        *,
        pole_codes: Sequence[str] = (),
        group: str = "",
        area_code: str = "",
    ) -> int:
        """Give poles, a group or an area a program, none for ""; returns how many poles."""
        request = pb.AssignProgramRequest(
            program=program, pole_codes=pole_codes, group=group, area_code=area_code
        )
        with translated(f"assign program {program}", self._address):
            return self._stub.AssignProgram(request, timeout=_TIMEOUT_S).poles

    def preview_program(self, program: str, pole_code: str, at_s: int = 0) -> Night:
        """Compute the night of a program at a pole around a moment, tonight for 0."""
        request = pb.PreviewProgramRequest(program=program, pole_code=pole_code, at_s=at_s)
        with translated(f"preview program {program}", self._address):
            answer = self._stub.PreviewProgram(request, timeout=_TIMEOUT_S)
        points = tuple((point.at_s, point.level_percent) for point in answer.points)
        return Night(points, answer.sunset_s, answer.sunrise_s)

    def put_group(self, name: str, pole_codes: Iterable[str], *, add: bool = False) -> None:
        """Add a group or change the one of its name; `add` keeps its poles."""
        group = types_pb.LampGroup(name=name, pole_codes=pole_codes)
        with translated(f"put group {name}", self._address):
            self._stub.PutGroup(pb.PutGroupRequest(group=group, add=add), timeout=_TIMEOUT_S)

    def put_scene(self, name: str, parts: Iterable[tuple[str, int, int]]) -> None:
        """Add a scene or change the one of its name; a part is (group, level, fade in ms)."""
        made = [
            types_pb.ScenePart(group=group, level_percent=level, fade_ms=fade_ms)
            for group, level, fade_ms in parts
        ]
        scene = types_pb.LightingScene(name=name, parts=made)
        with translated(f"put scene {name}", self._address):
            self._stub.PutScene(pb.PutSceneRequest(scene=scene), timeout=_TIMEOUT_S)

    def put_rule(self, rule: Mapping[str, Any]) -> None:
        """Add a local rule or change the one of its name.

        Args:
            rule: poleward.v1.LocalRule in its JSON form.
        """
        try:
            message = json_format.ParseDict(dict(rule), types_pb.LocalRule())
        except json_format.ParseError as error:
            raise ClientError(
                Failure.FAILED, f"This is no rule: {error}.", "See docs/lighting.md."
            ) from error
        with translated(f"put rule {message.name}", self._address):
            self._stub.PutRule(pb.PutRuleRequest(rule=message), timeout=_TIMEOUT_S)

    def overview(self) -> dict[str, Any]:
        """Get programs, groups, scenes and rules in their JSON forms, by kind."""
        with translated("list lighting", self._address):
            answer = self._stub.ListLighting(pb.ListLightingRequest(), timeout=_TIMEOUT_S)
        return json_format.MessageToDict(
            answer,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    def remove(self, kind: str, name: str) -> None:
        """Remove a program, group, scene or rule."""
        request = pb.RemoveLightingRequest(kind=_KINDS[kind], name=name)
        with translated(f"remove {kind} {name}", self._address):
            self._stub.RemoveLighting(request, timeout=_TIMEOUT_S)

    def dim_group(
        self,
        group: str,
        level_percent: int,
        *,
        duration_s: int = 0,
        fade_ms: int = 0,
        starts_at_s: int = 0,
        timeout_s: int = 10,
    ) -> list[PoleOutcome]:
        """Dim every lamp of a group and wait; returns the outcome of each pole, by code."""
        request = pb.DimGroupRequest(
            group=group,
            level_percent=level_percent,
            duration_s=duration_s,
            fade_ms=fade_ms,
            starts_at_s=starts_at_s,
            timeout_s=timeout_s,
        )
        with translated(f"dim group {group}", self._address):
            answer = self._stub.DimGroup(request, timeout=timeout_s + _TIMEOUT_S)
        return [_outcome(outcome) for outcome in answer.outcomes]

    def run_scene(
        self, scene: str, *, duration_s: int = 0, starts_at_s: int = 0, timeout_s: int = 10
    ) -> list[PoleOutcome]:
        """Set the groups of a scene and wait; returns the outcome of each pole, by code."""
        request = pb.RunSceneRequest(
            scene=scene, duration_s=duration_s, starts_at_s=starts_at_s, timeout_s=timeout_s
        )
        with translated(f"run scene {scene}", self._address):
            answer = self._stub.RunScene(request, timeout=timeout_s + _TIMEOUT_S)
        return [_outcome(outcome) for outcome in answer.outcomes]

    def answer_call(self, pole_code: str, *, reset: bool) -> PoleOutcome:
        """Accept the emergency call of a pole, or end it."""
        request = pb.AnswerCallRequest(pole_code=pole_code, reset=reset)
        with translated(f"answer the call of {pole_code}", self._address):
            return _outcome(self._stub.AnswerCall(request, timeout=_TIMEOUT_S).outcome)


def _outcome(outcome: pb.PoleOutcome) -> PoleOutcome:
    return PoleOutcome(outcome.pole_code, outcome.status, outcome.detail, outcome.elapsed_ms)
