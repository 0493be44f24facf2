"""Which nodes a rollout is for, in which wave and order: planned, tried, joined later.

Not the rollout's way after that (rollout_store.py, rollout_steps.py).
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.rollout_lock import lock_alone
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout_policy import Policy, Target, wave_ends
from poleward_fleet.domain.rollout_views import DryRun, LinkLoad, estimated_duration_s
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas

# Nodes or gateways that the target names, whatever they run; the release fits those with an older
# one, and those with a newer one from which it permits to go back.
_TARGETS = """
    SELECT n.number, n.gateway_name, n.release_sequence, n.link_state, n.hardware_version,
        n.code, coalesce(p.area_code, n.area_code) AS area, n.release_sequence < :sequence
        OR n.release_sequence > :sequence
            AND CAST(:permission AS text) IN (n.subject, :in_rollout) AS fits
    FROM rollout_subject n LEFT JOIN pole p ON p.code = n.pole_code
    WHERE n.is_in_service AND n.board_profile = :board_profile
    AND (CAST(:areas AS text[]) IS NULL
        OR coalesce(p.area_code, n.area_code) = ANY (CAST(:areas AS text[])))
    AND (CAST(:codes AS text[]) = '{}' OR n.code = ANY (CAST(:codes AS text[])))
    AND coalesce(p.labels, '{}') @> CAST(:labels AS text[])
"""
# The first of each kind of board in each area come first, then the second of each, and so on; in
# every round those that are online. Chance decides among equals, another for each release.
_ORDERED = f"""
    SELECT number, gateway_name, code, row_number() OVER (
        ORDER BY link_state <> 'online', turn, hashint8(number # :sequence), number) - 1 AS position
    FROM (
        SELECT *, row_number() OVER (
            PARTITION BY area, hardware_version, link_state <> 'online'
            ORDER BY hashint8(number # :sequence), number) AS turn
        FROM ({_TARGETS}) AS target WHERE fits
    ) AS turns
"""  # noqa: S608 — constants
_SIZES = text(
    "SELECT count(*) FILTER (WHERE fits) AS fitting, "  # noqa: S608
    "count(*) FILTER (WHERE release_sequence = :sequence) AS same, "
    "count(*) FILTER (WHERE release_sequence > :sequence AND NOT fits) AS newer "
    f"FROM ({_TARGETS}) AS target"
)
# Rows come by node number, as the primary key wants them.
_FILL = text(
    "INSERT INTO rollout_node (rollout_number, node_number, gateway_name, wave, position, stage, "  # noqa: S608
    "since_ms, delay_ms) SELECT :number, number, gateway_name, "
    "width_bucket(position, CAST(:ends AS bigint[])), position, 'queued', :now_ms, "
    f"floor(random() * :jitter_ms) FROM ({_ORDERED}) AS ordered ORDER BY number"
)
_FILL_RUNNING = text(
    "INSERT INTO rollout_node (rollout_number, node_number, gateway_name, wave, position, stage, "  # noqa: S608
    "reason, since_ms, delay_ms) SELECT :number, number, gateway_name, :last_wave, 0, 'confirmed', "
    f"CAST(:reason AS jsonb), :now_ms, 0 FROM ({_TARGETS}) AS target "
    "WHERE release_sequence = :sequence"
)
_WAVES = text(
    "INSERT INTO rollout_wave (rollout_number, wave) "
    "SELECT :number, wave FROM generate_series(0, :last_wave) AS wave"
)
_OPEN_STAGES = "('queued', 'offered', 'downloading', 'downloaded', 'trial')"
_JOIN = text(
    "INSERT INTO rollout_node (rollout_number, node_number, gateway_name, wave, position, stage, "  # noqa: S608
    "since_ms, delay_ms) SELECT :number, number, gateway_name, :last_wave, 2147483647, 'queued', "
    f":now_ms, 0 FROM ({_TARGETS}) AS target WHERE fits "
    "AND NOT EXISTS (SELECT FROM rollout_node rn WHERE rn.node_number = target.number "
    f"AND (rn.rollout_number = :number OR rn.stage IN {_OPEN_STAGES}))"
)
_JOIN_UPDATED = text(
    "INSERT INTO rollout_node (rollout_number, node_number, gateway_name, wave, position, stage, "
    "since_ms, delay_ms) SELECT :number, n.number, n.gateway_name, 0, 0, 'queued', :now_ms, 0 "
    "FROM rollout_node rn JOIN rollout_subject n ON n.number = rn.node_number "
    "JOIN rollout o ON o.number = rn.rollout_number JOIN release r ON r.digest = o.release_digest "
    "WHERE rn.rollout_number = :returned AND n.release_sequence = r.sequence "
    "AND n.gateway_name IS NOT NULL "
    "AND rn.stage NOT IN ('offered', 'downloading', 'downloaded', 'trial') "
    "ON CONFLICT DO NOTHING"
)
# Most rollouts meet no other that is not over; then nothing has to be compared. What is still under
# way in one that is over comes to its end, and is offered nothing else until then.
_OTHERS = text(
    "SELECT DISTINCT t.rollout_number FROM rollout_tally t "  # noqa: S608
    "JOIN rollout o ON o.number = t.rollout_number "
    f"WHERE t.stage IN {_OPEN_STAGES} AND t.nodes > 0 AND t.rollout_number <> :number "
    "AND o.state IN ('proposed', 'running', 'paused') ORDER BY t.rollout_number"
)
_CLASH = text(
    "SELECT rn.rollout_number, coalesce(n.code, n.subject) AS code, r.sequence "  # noqa: S608
    "FROM rollout_node rn JOIN rollout_subject n ON n.number = rn.node_number "
    "JOIN rollout_node mine ON mine.node_number = rn.node_number AND mine.rollout_number = :number "
    "JOIN rollout o ON o.number = rn.rollout_number JOIN release r ON r.digest = o.release_digest "
    "WHERE rn.rollout_number = ANY (CAST(:others AS bigint[])) "
    f"AND rn.stage IN {_OPEN_STAGES} ORDER BY r.sequence DESC, rn.node_number LIMIT 1"
)
_SUPERSEDE = text(
    "UPDATE rollout_node rn SET stage = 'superseded', reason = CAST(:reason AS jsonb), "
    "since_ms = :now_ms FROM rollout_node mine WHERE mine.node_number = rn.node_number "
    "AND mine.rollout_number = :number AND rn.rollout_number = ANY (CAST(:others AS bigint[])) "
    "AND rn.stage IN ('queued', 'offered', 'downloading', 'downloaded') "
    "RETURNING rn.node_number, old.stage AS was"
)
_TAKEN = text(
    f"SELECT count(*) FROM rollout_node rn JOIN ({_TARGETS}) AS target "  # noqa: S608
    "ON target.number = rn.node_number WHERE target.fits "
    f"AND rn.rollout_number = ANY (CAST(:others AS bigint[])) AND rn.stage IN {_OPEN_STAGES}"
)
_LINKS = text(
    f"SELECT gateway_name, count(*) AS nodes FROM ({_TARGETS}) AS target "  # noqa: S608
    "WHERE fits GROUP BY gateway_name ORDER BY gateway_name"
)
_CANARIES = text(
    f"SELECT code FROM ({_ORDERED}) AS ordered WHERE position < :many ORDER BY position"  # noqa: S608
)
_CANARIES_SHOWN = 50


def target_parameters(
    target: Target, release: Release, areas: AllowedAreas, rollout_name: str
) -> dict[str, Any]:
    """Return what the statements of this module need to find nodes.

    Args:
        target: Which nodes.
        release: For its board and sequence number.
        areas: The target's area with all below it, as far as they are allowed; None for all.
        rollout_name: For the release's downgrade permission.
    """
    return {
        "board_profile": release.board_profile,
        "sequence": release.sequence,
        "areas": None if areas is None else list(areas),
        "codes": list(target.pole_codes),
        "labels": list(target.labels),
        "permission": release.downgrade,
        "in_rollout": f"rollout:{rollout_name}",
    }


async def fill(
    connection: AsyncConnection,
    number: int,
    policy: Policy,
    release: Release,
    parameters: dict[str, Any],
    now_ms: int,
) -> None:
    """Put the nodes into a new rollout, in order and in waves.

    Raises:
        InvalidError: There is no node that could take the release.
    """
    sizes = (await connection.execute(_SIZES, parameters)).one()
    if sizes.fitting + sizes.same == 0:
        if release.is_for_gateways:
            raise InvalidError.of("no_gateways")
        raise InvalidError.of("no_nodes", profile=release.board_profile)
    last_wave = len(policy.waves) - 1
    here = {"number": number, "now_ms": now_ms, "last_wave": last_wave}
    await connection.execute(_WAVES, {"number": number, "last_wave": last_wave})
    # width_bucket counts the ends that are at or below a position: 0 before the first.
    ends = list(wave_ends(sizes.fitting, policy.waves))[:-1]
    await connection.execute(
        _FILL, parameters | here | {"ends": ends, "jitter_ms": policy.jitter_s * 1000}
    )
    if sizes.same:
        reason = Words.of("ran_already").to_json()
        await connection.execute(_FILL_RUNNING, parameters | here | {"reason": reason})


async def supersede(
    connection: AsyncConnection, number: int, release: Release, now_ms: int, *, allowed: bool
) -> list[int]:
    """Take nodes of a new rollout out of older ones; return those that were offered the release.

    Nodes on trial in another rollout stay there; they are offered this one after that.

    Raises:
        ConflictError: It is not allowed, or the other rollout brings the same or a newer release.
    """
    others = list((await connection.execute(_OTHERS, {"number": number})).scalars())
    if not others:
        return []
    for other in others:
        await lock_alone(connection, other)
    named = {"number": number, "others": others}
    clash = (await connection.execute(_CLASH, named)).one_or_none()
    if clash is None:
        return []
    if not allowed or clash.sequence >= release.sequence:
        raise ConflictError.of("taken", code=clash.code, rollout=clash.rollout_number)
    reason = Words.of("newer", rollout=number).to_json()
    rows = await connection.execute(_SUPERSEDE, named | {"reason": reason, "now_ms": now_ms})
    return [row.node_number for row in rows if row.was != "queued"]


async def join(connection: AsyncConnection, number: int, parameters: dict[str, Any]) -> None:
    """Take in nodes that match by now and are in no rollout that is not over."""
    await connection.execute(_JOIN, parameters | {"number": number})


async def join_updated(
    connection: AsyncConnection, number: int, *, returned: int, now_ms: int
) -> int:
    """Take in nodes that run the release of a rollout whose nodes are returned; say how many."""
    named = {"number": number, "returned": returned, "now_ms": now_ms}
    return (await connection.execute(_JOIN_UPDATED, named)).rowcount


async def dry_run(
    connection: AsyncConnection, policy: Policy, release: Release, parameters: dict[str, Any]
) -> DryRun:
    """Tell what a rollout would do, from the same statements that plan one."""
    sizes = (await connection.execute(_SIZES, parameters)).one()
    ends = wave_ends(sizes.fitting, policy.waves)
    wave_nodes = tuple(end - start for start, end in zip((0, *ends), ends, strict=False))
    others = list((await connection.execute(_OTHERS, {"number": 0})).scalars())
    taken = 0
    if others:
        taken = (await connection.execute(_TAKEN, parameters | {"others": others})).scalar_one()
    canaries = await connection.execute(
        _CANARIES, parameters | {"many": min(_CANARIES_SHOWN, wave_nodes[0])}
    )
    size = release.size_bytes
    last_link = 0 if release.is_for_gateways else size
    links = tuple(
        LinkLoad(row.gateway_name, row.nodes, size, row.nodes * last_link)
        for row in await connection.execute(_LINKS, parameters)
    )
    return DryRun(
        wave_nodes=wave_nodes,
        run_already=sizes.same,
        run_newer=sizes.newer,
        taken=taken,
        canaries=tuple(canaries.scalars()),
        links=links,
        duration_s=estimated_duration_s(policy, wave_nodes, len(links)),
    )
