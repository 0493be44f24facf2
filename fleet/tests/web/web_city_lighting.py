"""The made-up city's lighting: programs, a group, a scene, a rule; orders that two lamps confirm.

Not the rules of lighting: the real service previews.
"""

import datetime
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.commands import CommandOutcome, CommandStatus, SetLamp
from poleward_fleet.domain.lighting import (
    Dim,
    EventTrigger,
    Group,
    LightingKind,
    LightingOverview,
    PoleOutcome,
    Program,
    ProgramView,
    Rule,
    Scene,
    ScenePart,
)
from poleward_fleet.domain.lighting_rules import Night, night_of, read_rules

EVENING = datetime.date(2026, 7, 1)


class FakeLighting:
    """Implements LightingEditor and LampOrders; remembers what was asked."""

    def __init__(self, *, is_empty: bool) -> None:
        street = Program("street", "Asia/Shanghai", "||S;22:00;R|100;50;0")
        self.found = LightingOverview((), (), (), ())
        if not is_empty:
            self.found = LightingOverview(
                (ProgramView(street, 12, 9),),
                (Group("harbour", ("QD-000001", "QD-000002", "QD-000003")),),
                (Scene("match-day", (ScenePart("harbour", 80, 500),)),),
                (Rule("call", EventTrigger("sos.pressed"), (Dim((), 80, 100, 600),)),),
            )
        self.asked: list[tuple[object, ...]] = []

    async def overview(self, principal: Principal) -> LightingOverview:
        return self.found

    async def preview(
        self, principal: Principal, program: Program, pole_code: str, at_s: int = 0
    ) -> Night:
        program.validate()
        return night_of(
            read_rules(program.rules),
            evening=EVENING,
            zone=ZoneInfo(program.time_zone),
            latitude_deg=36.07,
            longitude_deg=120.38,
        )

    async def put(self, principal: Principal, item: Program | Scene | Rule) -> None:
        item.validate()
        self.asked.append(("put", item))

    async def put_group(self, principal: Principal, group: Group, *, add: bool) -> None:
        self.asked.append(("put group", group))

    async def assign(
        self,
        principal: Principal,
        program: str,
        *,
        pole_codes: Sequence[str] = (),
        group: str = "",
        area_code: str = "",
    ) -> int:
        self.asked.append(("assign", program, area_code))
        return 3

    async def remove(self, principal: Principal, kind: LightingKind, name: str) -> None:
        self.asked.append(("remove", kind, name))

    async def dim_group(
        self, principal: Principal, group: str, wish: SetLamp, *, timeout_s: float = 10
    ) -> list[PoleOutcome]:
        self.asked.append(("dim", group, wish))
        return self._outcomes()

    async def run_scene(
        self,
        principal: Principal,
        name: str,
        *,
        duration_s: int = 0,
        starts_at_s: int = 0,
        timeout_s: float = 10,
    ) -> list[PoleOutcome]:
        self.asked.append(("run", name, duration_s))
        return self._outcomes()

    async def answer_call(
        self, principal: Principal, pole_code: str, *, reset: bool, timeout_s: float = 10
    ) -> CommandOutcome:
        self.asked.append(("answer", pole_code, reset))
        return CommandOutcome(CommandStatus.DONE, "", 120)

    def _outcomes(self) -> list[PoleOutcome]:
        done = CommandOutcome(CommandStatus.DONE, "", 120)
        silent = CommandOutcome(CommandStatus.UNREACHABLE, "node 3 did not answer within 10 s", 0)
        return [
            PoleOutcome("QD-000001", done),
            PoleOutcome("QD-000002", done),
            PoleOutcome("QD-000003", silent),
        ]
