"""Areas, poles and their nodes in PostgreSQL.

Not identities and keys of nodes (node_store.py).
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError

from poleward_fleet.adapters.sql.database import Database, broken_constraint
from poleward_fleet.adapters.sql.grouping import Grouping
from poleward_fleet.adapters.sql.node_store import by_name
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.identity import endpoint_name, node_named
from poleward_fleet.domain.inventory import (
    Area,
    Gateway,
    LifeState,
    LinkState,
    Node,
    Pole,
    PoleMarker,
    PoleView,
    Stay,
    pole_status,
)
from poleward_fleet.ports.areas import AllowedAreas

# A node that its gateway calls online and that was not heard for three intervals is silent: its
# gateway is away or behind. The slack covers the way through spool and stream.
_SLACK_MS = 30_000
# Streams of gateways go on while the markers of a big city are made.
_ROWS_AT_ONCE = 5_000

# In one statement, so that an area may come before its parent.
_PUT_AREAS = text(
    "INSERT INTO area (code, name, parent_code) "
    "SELECT code, name, NULLIF(parent_code, '') FROM unnest(CAST(:code AS text[]), "
    "CAST(:name AS text[]), CAST(:parent_code AS text[])) AS r (code, name, parent_code) "
    "ON CONFLICT (code) DO UPDATE SET name = excluded.name, parent_code = excluded.parent_code"
)
_AREAS = text("SELECT code, name, coalesce(parent_code, '') AS parent_code FROM area ORDER BY code")
_PUT_POLES = text(
    "INSERT INTO pole (code, area_code, latitude_deg, longitude_deg, equipment, lamp_nominal_w) "
    "SELECT code, area_code, lat, lon, string_to_array(equipment, chr(10)), nominal_w "
    "FROM unnest(CAST(:code AS text[]), CAST(:area_code AS text[]), CAST(:lat AS float8[]), "
    "CAST(:lon AS float8[]), CAST(:equipment AS text[]), CAST(:nominal_w AS integer[])) "
    "AS r (code, area_code, lat, lon, equipment, nominal_w) "
    "ON CONFLICT (code) DO UPDATE SET area_code = excluded.area_code, "
    "latitude_deg = excluded.latitude_deg, longitude_deg = excluded.longitude_deg, "
    "equipment = excluded.equipment, lamp_nominal_w = excluded.lamp_nominal_w "
    "RETURNING old.code IS NULL AS created"
)
_NODE_COLUMNS = """
    n.number, n.mac, n.life_state, n.bundle_version, n.release_sequence, n.gateway_name, n.boot,
    n.pole_code, n.device, greatest(n.heard_at_ms, l.measured_at_ms) AS heard_at_ms,
    CASE WHEN n.link_state = 'online' AND greatest(n.heard_at_ms, l.measured_at_ms)
        + 3000 * n.report_interval_s + :slack_ms < :now_ms THEN 'silent' ELSE n.link_state END
        AS link_state
"""
_HEARD = """
LEFT JOIN LATERAL (
    SELECT max(measured_at_ms) AS measured_at_ms FROM latest WHERE node_number = n.number
) l ON true
"""
_VIEW = (
    "SELECT p.code, p.area_code, p.latitude_deg, p.longitude_deg, p.equipment, "
    "p.lamp_nominal_w, "
    + _NODE_COLUMNS
    + "FROM pole p LEFT JOIN node n ON n.pole_code = p.code"
    + _HEARD
)
_NODES = text(
    f"SELECT {_NODE_COLUMNS} FROM node n "  # noqa: S608 — constant
    f"LEFT JOIN pole p ON p.code = n.pole_code {_HEARD} WHERE n.number > :after "
    "AND (CAST(:allowed AS text[]) IS NULL OR p.area_code = ANY (CAST(:allowed AS text[]))) "
    "ORDER BY n.number LIMIT :limit"
)
_POLES = text(
    _VIEW + "WHERE p.code > :after "
    "AND (CAST(:allowed AS text[]) IS NULL OR p.area_code = ANY (CAST(:allowed AS text[]))) "
    "AND (:containing = '' OR strpos(upper(p.code), upper(:containing)) > 0) "
    "ORDER BY p.code LIMIT :limit"
)
_POLES_NAMED = text("SELECT * FROM pole WHERE code = ANY (CAST(:codes AS text[]))")
_POLES_OR_NODES = text(
    _VIEW + "WHERE p.code IN (SELECT unnest(CAST(:codes AS text[])) UNION ALL "  # noqa: S608
    "SELECT pole_code FROM node WHERE number = ANY (CAST(:numbers AS integer[])) "
    "OR mac = ANY (CAST(:macs AS text[])))"
)
# Positions of the wanted series are looked up once per layout, not once per node. The newest row
# of each node comes through the index whatever the planner knows of the tables' sizes.
_MARKERS = text(
    """
WITH place AS MATERIALIZED (
    SELECT id, array_position(series, 'lamp.level_percent/0') AS level_at,
        array_position(series, 'supply.active_power_w/0') AS power_at,
        array_position(series, 'lamp.failed/0') AS failed_at
    FROM layout WHERE 'lamp.level_percent/0' = ANY (series)
)
SELECT p.code, p.area_code, p.latitude_deg, p.longitude_deg, p.lamp_nominal_w, n.link_state,
    n.report_interval_s, greatest(n.heard_at_ms, s.measured_at_ms) AS heard_at_ms,
    s.level_percent, s.power_w, s.failed
FROM pole p LEFT JOIN node n ON n.pole_code = p.code
LEFT JOIN LATERAL (
    SELECT l.measured_at_ms, l."values"[level_at] AS level_percent,
        l."values"[power_at] AS power_w, l."values"[failed_at] AS failed
    FROM latest l JOIN place ON place.id = l.layout_id
    WHERE l.node_number = n.number ORDER BY l.measured_at_ms DESC LIMIT 1
) s ON true
WHERE CAST(:codes AS text[]) IS NULL OR p.code = ANY (CAST(:codes AS text[]))
ORDER BY p.code
"""
)
_POLE_CODES = text(
    "SELECT number, pole_code FROM node "
    "WHERE number = ANY (CAST(:numbers AS integer[])) AND pole_code IS NOT NULL"
)
# A node's present stay begins where its last one ended.
_STAYS = text(
    "SELECT node_number, from_ms, until_ms FROM past_stay WHERE pole_code = :code UNION ALL "
    "SELECT n.number, (SELECT coalesce(max(s.until_ms), 0) FROM past_stay s "
    "WHERE s.node_number = n.number), CAST(:for_ever AS bigint) FROM node n "
    "WHERE n.pole_code = :code ORDER BY until_ms"
)
_FOR_EVER = 2**63 - 1
_GATEWAYS = text(
    "SELECT g.*, (SELECT count(*) FROM node n WHERE n.gateway_name = g.name) AS node_count "
    "FROM gateway g ORDER BY g.name"
)
_CONSTRAINTS = {
    "area_code_is_12_digits": "an area code must have 12 digits",
    "area_parent_fkey": "the parent of an area does not exist; send it, too",
    "area_is_not_its_own_parent": "an area cannot be its own parent",
    "pole_area_fkey": "the area of a pole does not exist; create it first",
    "pole_code_is_printable": "a pole code must have 1 to 64 printable characters without spaces",
    "pole_latitude_range": "a latitude must be between -90 and 90 degrees",
    "pole_longitude_range": "a longitude must be between -180 and 180 degrees",
    "pole_nominal_w_range": "a nominal wattage must be between 0 and 10,000 W",
}


class SqlInventoryStore:
    """InventoryStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._views = Grouping(self._find_views)

    async def put_areas(self, areas: Sequence[Area], audit: AuditEntry) -> None:
        """Add or update areas, in any order."""
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    _PUT_AREAS,
                    {
                        "code": [area.code for area in areas],
                        "name": [area.name for area in areas],
                        "parent_code": [area.parent_code for area in areas],
                    },
                )
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise _invalid(error) from error

    async def areas(self) -> list[Area]:
        """Return all areas by code."""
        rows = await self._database.rows(_AREAS)
        return [Area(row.code, row.name, row.parent_code) for row in rows]

    async def put_poles(self, poles: Sequence[Pole], audit: AuditEntry) -> tuple[int, int]:
        """Add or update poles, all or none; return how many are new and how many were there."""
        parameters = {
            "code": [pole.code for pole in poles],
            "area_code": [pole.area_code for pole in poles],
            "lat": [pole.latitude_deg for pole in poles],
            "lon": [pole.longitude_deg for pole in poles],
            # unnest would flatten a list of lists
            "equipment": ["\n".join(pole.equipment) for pole in poles],
            "nominal_w": [pole.lamp_nominal_w for pole in poles],
        }
        try:
            async with self._database.begin() as connection:
                rows = (await connection.execute(_PUT_POLES, parameters)).all()
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise _invalid(error) from error
        created = sum(row.created for row in rows)
        return created, len(rows) - created

    async def poles_named(self, codes: Collection[str]) -> dict[str, Pole]:
        """Return those of the poles that are there, wherever they stand."""
        rows = await self._database.rows(_POLES_NAMED, {"codes": list(codes)})
        return {row.code: _pole(row) for row in rows}

    async def poles(
        self, allowed: AllowedAreas, *, after: str, limit: int, containing: str = ""
    ) -> list[PoleView]:
        """Return poles with code > after, by code."""
        rows = await self._database.rows(
            _POLES,
            {
                "after": after,
                "limit": limit,
                "containing": containing,
                "allowed": None if allowed is None else list(allowed),
                **self._now(),
            },
        )
        return [_view(row) for row in rows]

    async def nodes(self, allowed: AllowedAreas, *, after: int, limit: int) -> list[Node]:
        """Return nodes with number > after, by number; those in no pole only for all areas."""
        parameters = {
            "after": after,
            "limit": limit,
            "allowed": None if allowed is None else list(allowed),
        }
        rows = await self._database.rows(_NODES, parameters | self._now())
        return [_node(row) for row in rows]

    async def pole(self, name: str) -> PoleView | None:
        """Return a pole by its code, the number of its node or its node's endpoint name."""
        return await self._views.ask(name)

    async def _find_views(self, names: Sequence[str]) -> list[PoleView | None]:
        nodes = [node_named(name) for name in names]
        rows = await self._database.rows(
            _POLES_OR_NODES, {"codes": list(names), **by_name(nodes), **self._now()}
        )
        of_node = {key: row for row in rows for key in (row.mac, row.number)}
        of_code = {row.code: row for row in rows}
        found = map(of_code.get, names, map(of_node.get, nodes))
        return [row and _view(row) for row in found]

    async def markers(self, codes: Collection[str] | None) -> list[PoleMarker]:
        """Return what a map needs of the named poles, or of all, by code."""
        rows = await self._database.rows(
            _MARKERS, {"codes": None if codes is None else list(codes)}
        )
        markers: list[PoleMarker] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            markers += [_marker(row) for row in rows[start : start + _ROWS_AT_ONCE]]
            await asyncio.sleep(0)
        return markers

    async def pole_codes(self, node_numbers: Collection[int]) -> dict[int, str]:
        """Return the poles that nodes stand in; nodes in none are left out."""
        rows = await self._database.rows(_POLE_CODES, {"numbers": list(node_numbers)})
        return {row.number: row.pole_code for row in rows}

    async def stays(self, pole_code: str) -> list[Stay]:
        """Return which nodes stood in a pole when, the oldest first."""
        rows = await self._database.rows(_STAYS, {"code": pole_code, "for_ever": _FOR_EVER})
        return [Stay(row.node_number, row.from_ms, row.until_ms) for row in rows]

    async def gateways(self, connected: Collection[str]) -> list[Gateway]:
        """Return all gateways by name."""
        rows = await self._database.rows(_GATEWAYS)
        return [
            Gateway(
                name=row.name,
                area_code=row.area_code,
                connected=row.name in connected,
                heard_at_ms=row.heard_at_ms,
                software_version=row.software_version,
                node_count=row.node_count,
                certificate_expires_at_ms=row.certificate_expires_at_ms,
            )
            for row in rows
        ]

    def _now(self) -> dict[str, int]:
        return {"now_ms": self._database.clock.now_ms(), "slack_ms": _SLACK_MS}


def _pole(row: Row[Any]) -> Pole:
    return Pole(
        code=row.code,
        area_code=row.area_code,
        latitude_deg=row.latitude_deg,
        longitude_deg=row.longitude_deg,
        equipment=tuple(row.equipment),
        lamp_nominal_w=row.lamp_nominal_w,
    )


def _view(row: Row[Any]) -> PoleView:
    return PoleView(_pole(row), None if row.number is None else _node(row))


def _node(row: Row[Any]) -> Node:
    return Node(
        number=row.number,
        endpoint_name=endpoint_name(row.mac),
        life_state=LifeState(row.life_state),
        link_state=LinkState(row.link_state),
        heard_at_ms=row.heard_at_ms,
        bundle_version=row.bundle_version,
        release_sequence=row.release_sequence,
        pole_code=row.pole_code or "",
        gateway_name=row.gateway_name or "",
        boot=row.boot,
        device=tuple(sorted(row.device.items())),
    )


def _marker(row: Row[Any]) -> PoleMarker:
    heard_at_ms = row.heard_at_ms or 0
    link_state = None if row.link_state is None else LinkState(row.link_state)
    silent_from_ms = 0
    if link_state is LinkState.ONLINE and heard_at_ms:
        silent_from_ms = heard_at_ms + 3000 * row.report_interval_s + _SLACK_MS
    level_percent, power_w = _number(row.level_percent), _number(row.power_w)
    return PoleMarker(
        code=row.code,
        area_code=row.area_code,
        latitude_deg=row.latitude_deg,
        longitude_deg=row.longitude_deg,
        status=pole_status(
            link_state,
            heard_at_ms=heard_at_ms,
            level_percent=level_percent,
            power_w=power_w,
            nominal_w=row.lamp_nominal_w,
            lamp_failed=bool(_number(row.failed)),
        ),
        level_percent=level_percent,
        power_w=power_w,
        heard_at_ms=heard_at_ms,
        silent_from_ms=silent_from_ms,
    )


def _number(value: float | None) -> float | None:
    """Turn the stored NaN of a missing value into None."""
    return None if value is None or value != value else value


def _invalid(error: IntegrityError) -> InvalidError:
    name = broken_constraint(error)
    detail = getattr(error.orig.__cause__, "detail", None) if error.orig else None
    return InvalidError(f"{_CONSTRAINTS.get(name, name)} ({detail or error.orig})")
