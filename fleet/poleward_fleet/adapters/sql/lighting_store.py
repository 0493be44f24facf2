"""Lighting programs, groups, scenes and local rules in PostgreSQL.

Not what they mean (domain/lighting.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, NotFoundError
from poleward_fleet.domain.lighting import (
    Dim,
    EventTrigger,
    GatewayLighting,
    Group,
    LampPlace,
    LightingKind,
    LightingOverview,
    Place,
    Program,
    ProgramView,
    ReadingTrigger,
    Rule,
    Scene,
    ScenePart,
    Tell,
)
from poleward_fleet.ports.areas import AllowedAreas

_PUT_PROGRAM = text(
    "INSERT INTO lighting_program (name, time_zone, rules) VALUES (:name, :time_zone, :rules) "
    "ON CONFLICT (name) DO UPDATE SET time_zone = excluded.time_zone, rules = excluded.rules"
)
_PUT_SCENE = text(
    "INSERT INTO lighting_scene (name, parts) VALUES (:name, CAST(:parts AS jsonb)) "
    "ON CONFLICT (name) DO UPDATE SET parts = excluded.parts"
)
_PUT_RULE = text(
    "INSERT INTO local_rule (name, trigger, actions) "
    "VALUES (:name, CAST(:trigger AS jsonb), CAST(:actions AS jsonb)) "
    "ON CONFLICT (name) DO UPDATE SET trigger = excluded.trigger, actions = excluded.actions"
)
_PUT_GROUP = text("INSERT INTO lamp_group (name) VALUES (:name) ON CONFLICT (name) DO NOTHING")
_EMPTY_GROUP = text("DELETE FROM lamp_group_pole WHERE group_name = :name")
_FILL_GROUP = text(
    "INSERT INTO lamp_group_pole (group_name, pole_code) "
    "SELECT :name, code FROM unnest(CAST(:codes AS text[])) AS r (code) ON CONFLICT DO NOTHING"
)
_REMOVE = {
    LightingKind.PROGRAM: text("DELETE FROM lighting_program WHERE name = :name"),
    LightingKind.GROUP: text("DELETE FROM lamp_group WHERE name = :name"),
    LightingKind.SCENE: text("DELETE FROM lighting_scene WHERE name = :name"),
    LightingKind.RULE: text("DELETE FROM local_rule WHERE name = :name"),
}
_UNASSIGN = text("DELETE FROM pole_program WHERE pole_code = ANY (CAST(:codes AS text[]))")
_ASSIGN = text(
    "INSERT INTO pole_program (pole_code, program_name) "
    "SELECT code, :program FROM unnest(CAST(:codes AS text[])) AS r (code) "
    "ON CONFLICT (pole_code) DO UPDATE SET program_name = excluded.program_name"
)
_PROGRAMS = text("SELECT name, time_zone, rules FROM lighting_program ORDER BY name")
_FOLLOWERS = text(
    "SELECT pp.program_name, p.latitude_deg, p.longitude_deg, "
    "coalesce(n.device ->> 'lighting_program', '') AS digest "
    "FROM pole_program pp JOIN pole p ON p.code = pp.pole_code "
    "LEFT JOIN node n ON n.pole_code = p.code "
    "WHERE CAST(:areas AS text[]) IS NULL OR p.area_code = ANY (CAST(:areas AS text[]))"
)
_GROUPS = text(
    "SELECT g.name, coalesce(array_agg(p.code ORDER BY p.code) FILTER (WHERE p.code IS NOT NULL), "
    "'{}') AS codes FROM lamp_group g LEFT JOIN lamp_group_pole gp ON gp.group_name = g.name "
    "LEFT JOIN pole p ON p.code = gp.pole_code "
    "AND (CAST(:areas AS text[]) IS NULL OR p.area_code = ANY (CAST(:areas AS text[]))) "
    "GROUP BY g.name ORDER BY g.name"
)
_SCENES = text("SELECT name, parts FROM lighting_scene ORDER BY name")
_RULES = text("SELECT name, trigger, actions FROM local_rule ORDER BY name")
_LAMP = (
    "SELECT p.code AS pole_code, p.area_code, coalesce(n.number, 0) AS node_number, "
    "coalesce(n.gateway_name, '') AS gateway_name "
    "FROM pole p LEFT JOIN node n ON n.pole_code = p.code "
)
_LAMPS_OF_GROUP = text(
    _LAMP + "JOIN lamp_group_pole gp ON gp.pole_code = p.code "
    "WHERE gp.group_name = :name ORDER BY p.code"
)
_LAMPS_OF_AREA = text(_LAMP + "WHERE p.area_code = ANY (CAST(:areas AS text[])) ORDER BY p.code")
_LAMPS = text(_LAMP + "WHERE p.code = ANY (CAST(:codes AS text[])) ORDER BY p.code")
_PLACES = text(
    "SELECT n.number AS node_number, p.code AS pole_code, p.latitude_deg, p.longitude_deg, "
    "coalesce(pp.program_name, '') AS program FROM node n JOIN pole p ON p.code = n.pole_code "
    "LEFT JOIN pole_program pp ON pp.pole_code = p.code "
    "WHERE n.gateway_name = :gateway_name ORDER BY n.number"
)
_GROUPS_OF_GATEWAY = text(
    "SELECT gp.group_name AS name, array_agg(gp.pole_code ORDER BY gp.pole_code) AS codes "
    "FROM lamp_group_pole gp JOIN node n ON n.pole_code = gp.pole_code "
    "WHERE n.gateway_name = :gateway_name GROUP BY gp.group_name ORDER BY gp.group_name"
)
_HAS_LIGHTING = text(
    "SELECT EXISTS (SELECT FROM lighting_program) OR EXISTS (SELECT FROM lamp_group) "
    "OR EXISTS (SELECT FROM local_rule)"
)


class SqlLightingStore:
    """LightingStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, item: Program | Scene | Rule, audit: AuditEntry) -> None:
        """Add something or change what has its name."""
        async with self._database.begin() as connection:
            if isinstance(item, Program):
                await connection.execute(_PUT_PROGRAM, asdict(item))
            elif isinstance(item, Scene):
                parts = json.dumps([asdict(part) for part in item.parts])
                await connection.execute(_PUT_SCENE, {"name": item.name, "parts": parts})
            else:
                await connection.execute(
                    _PUT_RULE,
                    {
                        "name": item.name,
                        "trigger": json.dumps(asdict(item.trigger)),
                        "actions": json.dumps([asdict(action) for action in item.actions]),
                    },
                )
            await self._database.audit(connection, audit)

    async def put_group(self, group: Group, *, add: bool, audit: AuditEntry) -> None:
        """Add a group, or change the one of its name."""
        try:
            async with self._database.begin() as connection:
                await connection.execute(_PUT_GROUP, {"name": group.name})
                if not add:
                    await connection.execute(_EMPTY_GROUP, {"name": group.name})
                await connection.execute(
                    _FILL_GROUP, {"name": group.name, "codes": list(group.pole_codes)}
                )
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise NotFoundError("one of these poles does not exist; import it first") from error

    async def remove(self, kind: LightingKind, name: str, audit: AuditEntry) -> None:
        """Remove something."""
        try:
            async with self._database.begin() as connection:
                done = await connection.execute(_REMOVE[kind], {"name": name})
                if not done.rowcount:
                    raise NotFoundError(f"{kind.value} {name} does not exist")
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise ConflictError(
                f"poles follow program {name}; assign them another one, or none, first"
            ) from error

    async def assign(self, program: str, pole_codes: Sequence[str], audit: AuditEntry) -> None:
        """Give poles a program; an empty name takes theirs away."""
        codes = list(pole_codes)
        try:
            async with self._database.begin() as connection:
                if program:
                    await connection.execute(_ASSIGN, {"program": program, "codes": codes})
                else:
                    await connection.execute(_UNASSIGN, {"codes": codes})
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise NotFoundError(f"program {program} or a pole does not exist") from error

    async def overview(self, allowed: AllowedAreas) -> LightingOverview:
        """Return everything; of groups and counts only the poles in the allowed areas."""
        areas = {"areas": None if allowed is None else sorted(allowed)}
        async with self._database.begin() as connection:
            programs = [_program(row) for row in await connection.execute(_PROGRAMS)]
            by_name = {program.name: program for program in programs}
            assigned = dict.fromkeys(by_name, 0)
            followed = dict.fromkeys(by_name, 0)
            for row in await connection.execute(_FOLLOWERS, areas):
                program = by_name[row.program_name]
                assigned[program.name] += 1
                wanted = program.digest_at(row.latitude_deg, row.longitude_deg)
                followed[program.name] += row.digest == wanted
            groups = tuple(_group(row) for row in await connection.execute(_GROUPS, areas))
            scenes, rules = await _scenes_and_rules(connection)
        views = (ProgramView(p, assigned[p.name], followed[p.name]) for p in programs)
        return LightingOverview(tuple(views), groups, scenes, rules)

    async def program(self, name: str) -> Program | None:
        """Return a program."""
        rows = await self._database.rows(_PROGRAMS)
        return next((_program(row) for row in rows if row.name == name), None)

    async def scene(self, name: str) -> Scene | None:
        """Return a scene."""
        rows = await self._database.rows(_SCENES)
        return next((_scene(row) for row in rows if row.name == name), None)

    async def lamps_of_group(self, name: str) -> list[LampPlace] | None:
        """Return the poles of a group, by code; None when there is no such group."""
        rows = await self._database.rows(_LAMPS_OF_GROUP, {"name": name})
        if rows:
            return [LampPlace(**row._mapping) for row in rows]
        known = await self._database.rows(_GROUPS, {"areas": None})
        return [] if any(row.name == name for row in known) else None

    async def lamps_of_area(self, area_codes: Sequence[str]) -> list[LampPlace]:
        """Return the poles of areas, by code."""
        rows = await self._database.rows(_LAMPS_OF_AREA, {"areas": list(area_codes)})
        return [LampPlace(**row._mapping) for row in rows]

    async def lamps(self, pole_codes: Sequence[str]) -> list[LampPlace]:
        """Return the poles that exist among these, by code."""
        rows = await self._database.rows(_LAMPS, {"codes": list(pole_codes)})
        return [LampPlace(**row._mapping) for row in rows]

    async def gateway_lighting(self, gateway_name: str) -> GatewayLighting:
        """Return what a gateway needs to run its lamps by itself; nothing while nobody uses it."""
        named = {"gateway_name": gateway_name}
        async with self._database.begin() as connection:
            if not (await connection.execute(_HAS_LIGHTING)).scalar_one():
                return GatewayLighting()
            places = [Place(**row._mapping) for row in await connection.execute(_PLACES, named)]
            used = {place.program for place in places}
            programs = [_program(row) for row in await connection.execute(_PROGRAMS)]
            groups = [_group(row) for row in await connection.execute(_GROUPS_OF_GATEWAY, named)]
            scenes, rules = await _scenes_and_rules(connection)
        return GatewayLighting(
            programs=tuple(program for program in programs if program.name in used),
            places=tuple(places),
            groups=tuple(groups),
            scenes=scenes,
            rules=rules,
        )


async def _scenes_and_rules(
    connection: AsyncConnection,
) -> tuple[tuple[Scene, ...], tuple[Rule, ...]]:
    scenes = tuple(_scene(row) for row in await connection.execute(_SCENES))
    return scenes, tuple(_rule(row) for row in await connection.execute(_RULES))


def _program(row: Row[Any]) -> Program:
    return Program(row.name, row.time_zone, row.rules)


def _group(row: Row[Any]) -> Group:
    return Group(row.name, tuple(row.codes))


def _scene(row: Row[Any]) -> Scene:
    return Scene(row.name, tuple(ScenePart(**part) for part in row.parts))


def _rule(row: Row[Any]) -> Rule:
    trigger = row.trigger
    return Rule(
        row.name,
        EventTrigger(**trigger) if "kind" in trigger else ReadingTrigger(**trigger),
        tuple(
            Tell(**action)
            if "kind" in action
            else Dim(**action | {"groups": tuple(action["groups"])})
            for action in row.actions
        ),
    )
