"""The lighting part of the API.

Not the rules of lighting (services/lighting.py, services/lamp_orders.py).
"""

from typing import Any

import grpc

from poleward.v1 import lighting_service_pb2 as pb
from poleward.v1 import lighting_service_pb2_grpc
from poleward_fleet.adapters.grpc import lighting_mapping as mapping
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.commands import SetLamp
from poleward_fleet.domain.lighting import PoleOutcome
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.lamp_orders import LampOrderService
from poleward_fleet.services.lighting import LightingService

_Context = grpc.aio.ServicerContext[Any, Any]


class LightingServicer(lighting_service_pb2_grpc.LightingServiceServicer):
    """Programs, groups, scenes, rules, and orders to many lamps."""

    def __init__(
        self, accounts: AccountService, lighting: LightingService, orders: LampOrderService
    ) -> None:
        self._accounts = accounts
        self._lighting = lighting
        self._orders = orders

    async def PutProgram(
        self, request: pb.PutProgramRequest, context: _Context
    ) -> pb.PutProgramResponse:
        """Add or change a program."""
        principal = await principal_of(self._accounts, context)
        await self._lighting.put(principal, mapping.program(request.program))
        return pb.PutProgramResponse()

    async def AssignProgram(
        self, request: pb.AssignProgramRequest, context: _Context
    ) -> pb.AssignProgramResponse:
        """Give poles a program, or take theirs away."""
        principal = await principal_of(self._accounts, context)
        poles = await self._lighting.assign(
            principal,
            request.program,
            pole_codes=tuple(request.pole_codes),
            group=request.group,
            area_code=request.area_code,
        )
        return pb.AssignProgramResponse(poles=poles)

    async def PreviewProgram(
        self, request: pb.PreviewProgramRequest, context: _Context
    ) -> pb.PreviewProgramResponse:
        """Compute one night of a program at a pole."""
        principal = await principal_of(self._accounts, context)
        night = await self._lighting.preview_stored(
            principal, request.program, request.pole_code, request.at_s
        )
        return pb.PreviewProgramResponse(
            points=[
                pb.PreviewPoint(at_s=int(at.timestamp()), level_percent=level)
                for at, level in night.points
            ],
            sunset_s=int(night.sunset.timestamp()),
            sunrise_s=int(night.sunrise.timestamp()),
        )

    async def PutGroup(self, request: pb.PutGroupRequest, context: _Context) -> pb.PutGroupResponse:
        """Add or change a group."""
        principal = await principal_of(self._accounts, context)
        await self._lighting.put_group(principal, mapping.group(request.group), add=request.add)
        return pb.PutGroupResponse()

    async def PutScene(self, request: pb.PutSceneRequest, context: _Context) -> pb.PutSceneResponse:
        """Add or change a scene."""
        principal = await principal_of(self._accounts, context)
        await self._lighting.put(principal, mapping.scene(request.scene))
        return pb.PutSceneResponse()

    async def PutRule(self, request: pb.PutRuleRequest, context: _Context) -> pb.PutRuleResponse:
        """Add or change a local rule."""
        principal = await principal_of(self._accounts, context)
        await self._lighting.put(principal, mapping.rule(request.rule))
        return pb.PutRuleResponse()

    async def ListLighting(
        self, request: pb.ListLightingRequest, context: _Context
    ) -> pb.ListLightingResponse:
        """Return programs, groups, scenes and rules."""
        principal = await principal_of(self._accounts, context)
        found = await self._lighting.overview(principal)
        return pb.ListLightingResponse(
            programs=[mapping.program_view_to_message(view) for view in found.programs],
            groups=[mapping.group_to_message(group) for group in found.groups],
            scenes=[mapping.scene_to_message(scene) for scene in found.scenes],
            rules=[mapping.rule_to_message(rule) for rule in found.rules],
        )

    async def RemoveLighting(
        self, request: pb.RemoveLightingRequest, context: _Context
    ) -> pb.RemoveLightingResponse:
        """Remove a program, group, scene or rule."""
        principal = await principal_of(self._accounts, context)
        await self._lighting.remove(principal, mapping.kind(request.kind), request.name)
        return pb.RemoveLightingResponse()

    async def DimGroup(self, request: pb.DimGroupRequest, context: _Context) -> pb.DimGroupResponse:
        """Dim every lamp of a group and wait for the outcomes."""
        principal = await principal_of(self._accounts, context)
        wish = SetLamp(
            request.level_percent,
            duration_s=request.duration_s,
            starts_at_s=request.starts_at_s,
            fade_ms=request.fade_ms,
        )
        outcomes = await self._orders.dim_group(
            principal, request.group, wish, timeout_s=request.timeout_s
        )
        return pb.DimGroupResponse(outcomes=map(mapping.outcome_to_message, outcomes))

    async def RunScene(self, request: pb.RunSceneRequest, context: _Context) -> pb.RunSceneResponse:
        """Set the groups of a scene and wait for the outcomes."""
        principal = await principal_of(self._accounts, context)
        outcomes = await self._orders.run_scene(
            principal,
            request.scene,
            duration_s=request.duration_s,
            starts_at_s=request.starts_at_s,
            timeout_s=request.timeout_s,
        )
        return pb.RunSceneResponse(outcomes=map(mapping.outcome_to_message, outcomes))

    async def AnswerCall(
        self, request: pb.AnswerCallRequest, context: _Context
    ) -> pb.AnswerCallResponse:
        """Accept or end the emergency call of a pole."""
        principal = await principal_of(self._accounts, context)
        outcome = await self._orders.answer_call(principal, request.pole_code, reset=request.reset)
        return pb.AnswerCallResponse(
            outcome=mapping.outcome_to_message(PoleOutcome(request.pole_code, outcome))
        )
