"""The alarms' part of the port for people and programs.

Not who calls (callers.py).
"""

from typing import Any

import grpc

from poleward.v1 import alarm_service_pb2 as alarm_pb
from poleward.v1 import alarm_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.alarms import Alarm
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.alarms import AlarmService

_DEFAULT_LIMIT = 200
_Context = grpc.aio.ServicerContext[Any, Any]


class AlarmServicer(alarm_service_pb2_grpc.AlarmServiceServicer):
    """Alarms of the caller's area."""

    def __init__(self, accounts: AccountService, alarms: AlarmService) -> None:
        self._accounts = accounts
        self._alarms = alarms

    async def ListAlarms(
        self, request: alarm_pb.ListAlarmsRequest, context: _Context
    ) -> alarm_pb.ListAlarmsResponse:
        """List alarms, those that stand first, then the newest."""
        principal = await principal_of(self._accounts, context)
        found = await self._alarms.alarms(
            principal,
            is_open=None if request.with_ended else True,
            limit=request.limit or _DEFAULT_LIMIT,
        )
        return alarm_pb.ListAlarmsResponse(alarms=map(alarm_to_message, found))

    async def AcknowledgeAlarm(
        self, request: alarm_pb.AcknowledgeAlarmRequest, context: _Context
    ) -> alarm_pb.AcknowledgeAlarmResponse:
        """Note that the caller takes care."""
        principal = await principal_of(self._accounts, context)
        alarm = await self._alarms.acknowledge(principal, request.number)
        return alarm_pb.AcknowledgeAlarmResponse(alarm=alarm_to_message(alarm))

    async def ClearAlarm(
        self, request: alarm_pb.ClearAlarmRequest, context: _Context
    ) -> alarm_pb.ClearAlarmResponse:
        """End an emergency call."""
        principal = await principal_of(self._accounts, context)
        alarm = await self._alarms.clear(principal, request.number)
        return alarm_pb.ClearAlarmResponse(alarm=alarm_to_message(alarm))


def alarm_to_message(alarm: Alarm) -> alarm_pb.Alarm:
    """Pack an alarm."""
    return alarm_pb.Alarm(
        number=alarm.number,
        node_number=alarm.node_number,
        pole_code=alarm.pole_code,
        kind=alarm.kind.value,
        severity=alarm.severity.value,
        raised_at_ms=alarm.raised_at_ms,
        acknowledged_at_ms=alarm.acknowledged_at_ms,
        acknowledged_by=alarm.acknowledged_by,
        cleared_at_ms=alarm.cleared_at_ms,
        escalation=alarm.escalation,
        gateway_name=alarm.gateway_name,
    )
