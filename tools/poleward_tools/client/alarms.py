"""The fleet's alarms as typed calls on plain values.

It prints nothing and retries nothing; each call has a deadline.
"""

from dataclasses import dataclass

import grpc

from poleward.v1 import alarm_service_pb2 as alarms
from poleward.v1.alarm_service_pb2_grpc import AlarmServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; times are 0 for what has not happened, node_number may be that of a gateway."""

    number: int
    node_number: int
    pole_code: str
    kind: str
    severity: str
    raised_at_ms: int
    acknowledged_at_ms: int
    acknowledged_by: str
    cleared_at_ms: int
    escalation: int
    gateway_name: str


class AlarmCalls:
    """Calls about alarms on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = AlarmServiceStub(channel)

    def list_alarms(self, *, with_ended: bool = False, limit: int = 0) -> list[Alarm]:
        """List alarms, those that stand first, then the newest."""
        request = alarms.ListAlarmsRequest(with_ended=with_ended, limit=limit)
        with translated("list alarms", self._address):
            answer = self._stub.ListAlarms(request, timeout=_TIMEOUT_S)
        return [_view(alarm) for alarm in answer.alarms]

    def acknowledge(self, number: int) -> Alarm:
        """Take care of an alarm; the first who does stays."""
        request = alarms.AcknowledgeAlarmRequest(number=number)
        with translated(f"acknowledge alarm {number}", self._address):
            return _view(self._stub.AcknowledgeAlarm(request, timeout=_TIMEOUT_S).alarm)

    def clear(self, number: int) -> Alarm:
        """End an emergency call that was acknowledged."""
        request = alarms.ClearAlarmRequest(number=number)
        with translated(f"end alarm {number}", self._address):
            return _view(self._stub.ClearAlarm(request, timeout=_TIMEOUT_S).alarm)


def _view(alarm: alarms.Alarm) -> Alarm:
    """Convert an alarm."""
    return Alarm(
        number=alarm.number,
        node_number=alarm.node_number,
        pole_code=alarm.pole_code,
        kind=alarm.kind,
        severity=alarm.severity,
        raised_at_ms=alarm.raised_at_ms,
        acknowledged_at_ms=alarm.acknowledged_at_ms,
        acknowledged_by=alarm.acknowledged_by,
        cleared_at_ms=alarm.cleared_at_ms,
        escalation=alarm.escalation,
        gateway_name=alarm.gateway_name,
    )
