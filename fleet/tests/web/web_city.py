"""A city of its own behind the web services: for tests of the pages and to look at them.

Not the fleet's services. `python fleet/tests/web/web_city.py --poles 200` serves it with values
that move; sign in as "operator" with the password "lamplight".
"""

import argparse
import asyncio
import math
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from web_city_alarms import FakeAlarms
from web_city_lighting import FakeLighting
from web_city_rollouts import FakeRollouts
from web_city_streets import positions_from, street_positions
from web_city_visits import NoVisits

from poleward_fleet.adapters.web.app import close_streams, create_app
from poleward_fleet.adapters.web.pages import unix_ms
from poleward_fleet.domain.accounts import Permission, Principal, Role, Session
from poleward_fleet.domain.audit import (
    GENESIS,
    AuditEntry,
    AuditFilter,
    AuditRecord,
    chain_digest,
)
from poleward_fleet.domain.commands import CommandOutcome, CommandStatus
from poleward_fleet.domain.errors import (
    ConflictError,
    NotFoundError,
    TooManyAttemptsError,
    UnauthenticatedError,
)
from poleward_fleet.domain.inventory import (
    Area,
    Gateway,
    LifeState,
    LinkState,
    Node,
    Pole,
    PoleMarker,
    PoleStatus,
    PoleView,
)
from poleward_fleet.domain.telemetry import LatestValue, NodeEvent, Series, SeriesKey, Severity
from poleward_fleet.services.web_services import Changed, PoleDetail, WebServices

PASSWORDS = {
    "operator": ("lamplight", Role.ADMINISTRATOR),
    "viewer": ("lookonly", Role.VIEWER),
}
AREAS = (
    Area("370200000000", "Qingdao 青岛市"),
    Area("370202000000", "Shinan 市南区", "370200000000"),
    Area("370203000000", "Shibei 市北区", "370200000000"),
    Area("370212000000", "Laoshan 崂山区", "370200000000"),
)
NOMINAL_W = 100
ALARMS = ""  # stands among the codes of what changed
# Shares of the statuses in a city with a few troubles.
STATUS_SHARES = (
    (PoleStatus.LIT, 930),
    (PoleStatus.DARK, 40),
    (PoleStatus.FAULT, 8),
    (PoleStatus.SILENT, 10),
    (PoleStatus.OFFLINE, 4),
    (PoleStatus.WAITING, 4),
    (PoleStatus.NO_NODE, 4),
)
LINKS = {
    PoleStatus.SILENT: LinkState.SILENT,
    PoleStatus.OFFLINE: LinkState.OFFLINE,
    PoleStatus.WAITING: LinkState.BOOTSTRAPPED,
}


class FakeFleet:
    """All web services in memory; tests change it through its methods."""

    def __init__(
        self, poles: int = 24, *, seed: int = 7, positions: list[tuple[float, float]] | None = None
    ) -> None:
        self.began_ms = unix_ms()
        self.chance = random.Random(seed)
        self.markers_by_code: dict[str, PoleMarker] = {}
        self.node_numbers: dict[str, int] = {}
        self.gateway_list = [
            Gateway(
                "gw-harbour",
                AREAS[1].code,
                True,
                unix_ms() - 2_000,
                "0.1.0",
                poles // 2 + poles % 2,
                unix_ms() + 30 * 86_400_000,
            ),
            Gateway(
                "gw-hill",
                AREAS[2].code,
                True,
                unix_ms() - 4_000,
                "0.1.0",
                poles // 2,
                unix_ms() + 21 * 86_400_000,
            ),
            Gateway(
                "gw-depot",
                AREAS[3].code,
                False,
                unix_ms() - 5_400_000,
                "0.1.0",
                0,
                unix_ms() + 3 * 86_400_000,
            ),
        ]
        self.audit_list: list[AuditRecord] = []
        self.rollouts = FakeRollouts(
            self.nodes_in_service, self._record, self.chance, published=poles > 0
        )
        self.alarm_list = FakeAlarms(lambda: self._tell(ALARMS))
        self.lighting = FakeLighting(is_empty=poles == 0)
        # Events by pole code, besides those that its status brings.
        self.happened: dict[str, list[NodeEvent]] = {}
        self.sessions: dict[str, Principal] = {}
        self.failures = 0
        self.database_answers = True
        self.lamp_status = CommandStatus.DONE
        self.lamp_delay_s = 0.0
        self.subscribers: list[tuple[set[str], asyncio.Event]] = []
        for index, place in enumerate(positions or street_positions(poles, self.chance)):
            self._add(index, place)

    def _add(self, index: int, place: tuple[float, float]) -> None:
        code = f"QD-{index + 1:06d}"
        statuses, weights = zip(*STATUS_SHARES, strict=True)
        status = self.chance.choices(statuses, weights)[0]
        if index < len(statuses):
            status = statuses[index]  # even a small city shows each of them
        level = float(self.chance.choice((60, 80, 80, 100))) if status is PoleStatus.LIT else 0.0
        if status is PoleStatus.FAULT:
            level = 80.0
        power_w = 0.4 if status is PoleStatus.FAULT else round(NOMINAL_W * level / 100 * 0.97, 1)
        never = status in (PoleStatus.WAITING, PoleStatus.NO_NODE)
        quiet_s = {PoleStatus.SILENT: 1_900, PoleStatus.OFFLINE: 180_000}.get(status, 20)
        district = AREAS[1 + (place[1] > 120.40) + (place[0] > 36.1 and place[1] > 120.42)]
        self.markers_by_code[code] = PoleMarker(
            code,
            district.code,
            *place,
            status,
            None if never else level,
            None if never else power_w,
            0 if never else unix_ms() - self.chance.randrange(1000, quiet_s * 1000),
        )
        self.node_numbers[code] = index + 1

    def nodes_in_service(self) -> list[tuple[int, str]]:
        """Return number and pole code of each node that was ever heard."""
        return [
            (self.node_numbers[code], code)
            for code, marker in self.markers_by_code.items()
            if marker.heard_at_ms
        ]

    def services(self) -> WebServices:
        """Return the bundle that create_app wants."""
        return WebServices(
            inventory=self,
            history=self,
            alarms=self.alarm_list,
            lamps=self,
            lighting=self.lighting,
            lamp_orders=self.lighting,
            releases=self.rollouts,
            trust=self.rollouts,
            rollouts=self.rollouts,
            sessions=self,
            changes=self,
            audit=self,
            visits=NoVisits(),
            work_orders=NoVisits(),
            readiness=self,
            discovery={"api": "127.0.0.1:7443", "link": "127.0.0.1:7444", "ca_pem": "-"},
        )

    async def is_ready(self) -> bool:
        return self.database_answers

    def change(self, code: str, **fields: object) -> None:
        """Change a pole's marker and tell the subscribers."""
        marker = self.markers_by_code[code]
        self.markers_by_code[code] = replace(marker, **{"heard_at_ms": unix_ms(), **fields})  # type: ignore[arg-type]
        self._tell(code)

    def _tell(self, code: str) -> None:
        for codes, woken in self.subscribers:
            codes.add(code)
            woken.set()

    # Inventory ------------------------------------------------------------------------------

    async def markers(
        self,
        principal: Principal,
        *,
        area_code: str = "",
        codes: Collection[str] | None = None,
    ) -> list[PoleMarker]:
        if codes is None:
            return list(self.markers_by_code.values())
        return [self.markers_by_code[code] for code in codes if code in self.markers_by_code]

    async def pole_detail(self, principal: Principal, code: str) -> PoleDetail:
        marker = self.markers_by_code.get(code)
        if marker is None:
            raise NotFoundError(f"there is no pole {code} in your area")
        events = (*self.happened.get(code, ()), *self._events(marker))
        return PoleDetail(self._view(marker), marker, self._latest(marker), events)

    def _view(self, marker: PoleMarker) -> PoleView:
        number = self.node_numbers[marker.code]
        pole = Pole(
            marker.code,
            marker.area_code,
            marker.latitude_deg,
            marker.longitude_deg,
            ("lamp", "air"),
            NOMINAL_W,
        )
        if marker.status is PoleStatus.NO_NODE:
            return PoleView(pole, None)
        node = Node(
            number,
            f"urn:dev:mac:0200000{number:05x}",
            LifeState.IN_SERVICE,
            LINKS.get(marker.status, LinkState.ONLINE),
            marker.heard_at_ms,
            "1.0.0",
            1,
            marker.code,
            "gw-harbour",
            3,
            (("manufacturer", "Poleward"), ("model", "pole-basic")),
        )
        return PoleView(pole, node)

    def _latest(self, marker: PoleMarker) -> tuple[LatestValue, ...]:
        if not marker.heard_at_ms:
            return ()
        power = marker.power_w or 0.0
        values = {
            "lamp.level_percent": marker.level_percent or 0.0,
            "supply.active_power_w": power,
            "supply.voltage_v": 229.6,
            "supply.current_a": power / 229.6 / 0.95,
            "supply.power_factor": 0.95 if power > 1 else math.nan,
            "supply.energy_wh": 184_223.0,
            "air.temperature_c": 8.4,
            "air.humidity_percent": 63.0,
            "air.pm25_ug_m3": 41.0,
        }
        return tuple(
            LatestValue(SeriesKey(name), value, marker.heard_at_ms)
            for name, value in values.items()
        )

    def _events(self, marker: PoleMarker) -> tuple[NodeEvent, ...]:
        number = self.node_numbers[marker.code]
        events = [
            NodeEvent(
                number,
                3,
                0,
                self.began_ms - 7_200_000,
                "node.rebooted",
                Severity.INFO,
                (("reason", "power on"),),
            ),
        ]
        if marker.status is PoleStatus.FAULT:
            events.insert(
                0,
                NodeEvent(
                    number,
                    3,
                    1,
                    self.began_ms - 600_000,
                    "lamp.failed",
                    Severity.WARNING,
                    (("power_w", "0.4"), ("expected_w", "80")),
                ),
            )
        return tuple(events) if marker.heard_at_ms else ()

    async def search_poles(
        self, principal: Principal, text: str, *, limit: int = 20
    ) -> list[PoleView]:
        found = (m for code, m in self.markers_by_code.items() if text.lower() in code.lower())
        return [self._view(marker) for marker, _ in zip(found, range(limit), strict=False)]

    async def areas(self, principal: Principal) -> list[Area]:
        return list(AREAS)

    async def gateways(self, principal: Principal) -> list[Gateway]:
        return [
            replace(g, heard_at_ms=unix_ms() - 2000) if g.connected else g
            for g in self.gateway_list
        ]

    # History and audit ----------------------------------------------------------------------

    async def series(
        self,
        principal: Principal,
        pole: str,
        key: SeriesKey,
        *,
        from_ms: int,
        to_ms: int,
        max_points: int = 2000,
    ) -> Series:
        step = max(60_000, (to_ms - from_ms) // max_points)
        times = tuple(range(from_ms + step, to_ms, step))
        swing = {"lamp.level_percent": (80, 20), "supply.voltage_v": (230, 3)}.get(
            key.metric, (60, 30)
        )
        noise = random.Random(pole)
        values = tuple(
            swing[0] + swing[1] * math.sin(at / 7_000_000) + noise.gauss(0, swing[1] / 25)
            for at in times
        )
        return Series(key, times, values)

    async def events(self, principal: Principal, *, limit: int = 100) -> list[NodeEvent]:
        return []

    async def records(
        self,
        principal: Principal,
        *,
        wanted: AuditFilter = AuditFilter(),  # noqa: B008 — a value
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRecord]:
        newest = (one for one in reversed(self.audit_list) if _is_wanted(one, wanted))
        return [record for record in newest if before is None or record.number < before][:limit]

    async def export(
        self, principal: Principal, *, wanted: AuditFilter
    ) -> AsyncIterator[list[AuditRecord]]:
        yield [record for record in self.audit_list if _is_wanted(record, wanted)]

    def _record(self, principal: Principal, action: str, subject: str, **detail: object) -> None:
        entry = AuditEntry(
            principal.name,
            action,
            subject,
            tuple((key, str(value)) for key, value in detail.items()),
        )
        previous = self.audit_list[-1].digest if self.audit_list else GENESIS
        at_ms = unix_ms()
        self.audit_list.append(
            AuditRecord(
                len(self.audit_list) + 1, at_ms, entry, chain_digest(previous, at_ms, entry)
            )
        )

    # Lamp -----------------------------------------------------------------------------------

    async def set_lamp(
        self,
        principal: Principal,
        pole_code: str,
        *,
        level_percent: int,
        instance: int = 0,
        duration_s: int = 0,
        timeout_s: float = 10,
    ) -> CommandOutcome:
        principal.require(Permission.COMMAND)
        detail = await self.pole_detail(principal, pole_code)
        if detail.view.node is None:
            raise ConflictError(f"pole {pole_code} has no node")
        await asyncio.sleep(self.lamp_delay_s)
        self._record(
            principal,
            "lamp.set",
            pole_code,
            level_percent=level_percent,
            status=self.lamp_status.value,
        )
        if self.lamp_status is CommandStatus.DONE:
            status = PoleStatus.LIT if level_percent else PoleStatus.DARK
            self.change(
                pole_code,
                status=status,
                level_percent=float(level_percent),
                power_w=level_percent * 0.97,
            )
        return CommandOutcome(self.lamp_status, "", 40 + int(self.lamp_delay_s * 1000))

    # Sessions and changes ---------------------------------------------------------------------

    async def login(self, name: str, password: str, *, remote: str, agent: str = "") -> Session:
        if self.failures >= 5:
            raise TooManyAttemptsError("too many failed attempts", 30)
        known, role = PASSWORDS.get(name, ("", Role.VIEWER))
        if not known or password != known:
            self.failures += 1
            raise UnauthenticatedError("wrong name or password")
        token = f"session-{len(self.sessions)}-{self.chance.randbytes(12).hex()}"
        self.sessions[token] = Principal(name, frozenset({role}))
        return Session(token, self.sessions[token], unix_ms() + 8 * 3_600_000)

    async def principal_of(self, token: str) -> Principal | None:
        return self.sessions.get(token)

    async def logout(self, principal: Principal, token: str) -> None:
        self.sessions.pop(token, None)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Changed]]:
        codes: set[str] = set()
        woken = asyncio.Event()
        self.subscribers.append((codes, woken))

        async def changes() -> AsyncIterator[Changed]:
            while True:
                await woken.wait()
                woken.clear()
                changed = frozenset(codes)
                codes.clear()
                yield Changed(pole_codes=changed - {ALARMS}, alarms=ALARMS in changed)

        try:
            yield changes()
        finally:
            self.subscribers.remove((codes, woken))

    async def live(self, changes_per_s: int) -> None:
        """Move values until cancelled."""
        codes = list(self.markers_by_code)
        while codes:
            await asyncio.sleep(1)
            for code in self.chance.sample(codes, min(len(codes), changes_per_s)):
                marker = self.markers_by_code[code]
                if marker.status is PoleStatus.LIT and marker.level_percent:
                    self.change(
                        code,
                        power_w=round(marker.level_percent * 0.97 + self.chance.gauss(0, 0.6), 1),
                    )
            self.rollouts.advance_rollouts()


def _is_wanted(record: AuditRecord, wanted: AuditFilter) -> bool:
    entry = record.entry
    return (
        wanted.actor in ("", entry.actor)
        and entry.action.startswith(wanted.action)
        and wanted.subject in entry.subject
    )


async def main() -> None:
    """Serve a city until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the web pages of a made-up city.")
    parser.add_argument("--poles", type=int, default=200)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--positions", type=Path, help="CSV file with longitude,latitude")
    parser.add_argument("--changes", type=int, default=40, help="poles that change each second")
    parser.add_argument("--lamp-delay", type=float, default=0.4, help="seconds a command takes")
    options = parser.parse_args()
    chance = random.Random(1)
    places = positions_from(options.positions, options.poles, chance) if options.positions else None
    city = FakeFleet(options.poles, positions=places)
    city.alarm_list.raise_some(list(city.markers_by_code))
    city.lamp_delay_s = options.lamp_delay
    app = create_app(city.services())
    server = uvicorn.Server(uvicorn.Config(app, port=options.port, log_level="warning"))
    moving = asyncio.create_task(city.live(options.changes))
    try:
        await server.serve()
    finally:
        close_streams(app)
        moving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
