"""Alarms of the made-up city.

Not the rules of alarms: domain/alarms.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from poleward_fleet.adapters.web.pages import unix_ms
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.alarms import Alarm, AlarmKind, severity_of
from poleward_fleet.domain.errors import ConflictError, NotFoundError


class FakeAlarms:
    """Alarms in memory; `tell` is called when one changes."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.by_number: dict[int, Alarm] = {}
        self._tell = tell

    def raise_some(self, codes: Sequence[str]) -> None:
        """Raise one alarm of each kind, as long as there are poles."""
        for kind, code in zip(AlarmKind, codes, strict=False):
            self.raise_one(kind, code)

    def raise_one(self, kind: AlarmKind, code: str) -> Alarm:
        """Raise an alarm."""
        number = len(self.by_number) + 1
        at_ms = unix_ms() - 60_000 * (number - 1)
        alarm = Alarm(number, number, code, kind, severity_of(kind), at_ms, at_ms)
        self.by_number[number] = alarm
        self._tell()
        return alarm

    async def alarms(
        self, principal: Principal, *, is_open: bool | None = True, limit: int = 200
    ) -> list[Alarm]:
        found = [
            alarm
            for alarm in self.by_number.values()
            if is_open is None or is_open is not bool(alarm.cleared_at_ms)
        ]
        return sorted(found, key=lambda a: (a.cleared_at_ms, -a.raised_at_ms))[:limit]

    async def acknowledge(self, principal: Principal, number: int) -> Alarm:
        return self._change(
            principal, number, acknowledged_at_ms=unix_ms(), acknowledged_by=principal.name
        )

    async def clear(self, principal: Principal, number: int) -> Alarm:
        if self.by_number[number].kind is not AlarmKind.SOS:
            raise ConflictError(f"alarm {number} ends by itself")
        return self._change(principal, number, cleared_at_ms=unix_ms())

    def _change(self, principal: Principal, number: int, **fields: object) -> Alarm:
        principal.require(Permission.COMMAND)
        if number not in self.by_number:
            raise NotFoundError(f"there is no alarm {number}")
        self.by_number[number] = replace(self.by_number[number], **fields)  # type: ignore[arg-type]
        self._tell()
        return self.by_number[number]
