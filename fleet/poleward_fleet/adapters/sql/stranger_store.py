"""Strangers at gateways in PostgreSQL.

Not whom the fleet takes them for: domain/strangers.py.
"""

from collections.abc import Sequence

from sqlalchemy import text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.strangers import SIGHTINGS_MAX, Sighting, Stranger, kind_of
from poleward_fleet.ports.areas import AllowedAreas

_GATEWAY = text("SELECT number FROM gateway WHERE name = :gateway_name")
_KEEP = text(
    "INSERT INTO stranger (gateway_name, is_wrong_key, key_id, peer, first_seen_at_ms, "
    "last_seen_at_ms, attempts) SELECT :gateway_name, w, k, p, f, l, a "
    "FROM unnest(CAST(:is_wrong_key AS boolean[]), CAST(:key_id AS bytea[]), "
    "CAST(:peer AS text[]), CAST(:first_seen_at_ms AS bigint[]), "
    "CAST(:last_seen_at_ms AS bigint[]), CAST(:attempts AS bigint[])) AS s (w, k, p, f, l, a) "
    "ON CONFLICT ON CONSTRAINT stranger_pkey DO UPDATE SET peer = excluded.peer, "
    "first_seen_at_ms = least(stranger.first_seen_at_ms, excluded.first_seen_at_ms), "
    "last_seen_at_ms = excluded.last_seen_at_ms, attempts = excluded.attempts"
)
_FORGET_OLDEST = text(
    "DELETE FROM stranger WHERE gateway_name = :gateway_name AND (is_wrong_key, key_id) IN ("
    "SELECT is_wrong_key, key_id FROM stranger WHERE gateway_name = :gateway_name "
    "ORDER BY last_seen_at_ms DESC, key_id OFFSET :kept)"
)
# A key id is the MAC in bootstrap and the node's number, most significant byte first, otherwise.
_STRANGERS = text(
    "SELECT s.*, coalesce(n.number, 0) AS node_number FROM stranger s "
    "JOIN gateway g ON g.name = s.gateway_name LEFT JOIN LATERAL ("
    "SELECT number FROM node WHERE octet_length(s.key_id) = 6 AND mac = encode(s.key_id, 'hex') "
    "UNION ALL SELECT number FROM node WHERE octet_length(s.key_id) BETWEEN 1 AND 4 "
    "AND number = CAST(CAST('x' || lpad(encode(s.key_id, 'hex'), 8, '0') AS bit(32)) AS integer)"
    ") n ON true "
    "WHERE (CAST(:allowed AS text[]) IS NULL OR g.area_code = ANY (CAST(:allowed AS text[]))) "
    "ORDER BY s.last_seen_at_ms DESC, s.gateway_name, s.key_id LIMIT :limit"
)


class SqlStrangerStore:
    """StrangerStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, gateway_name: str, sightings: Sequence[Sighting]) -> int:
        """Store what a gateway saw; return the gateway's number."""
        gateway = {"gateway_name": gateway_name}
        async with self._database.begin() as connection:
            if sightings:
                await connection.execute(
                    _KEEP,
                    gateway
                    | {
                        "is_wrong_key": [seen.is_wrong_key for seen in sightings],
                        "key_id": [seen.key_id for seen in sightings],
                        "peer": [seen.peer for seen in sightings],
                        "first_seen_at_ms": [seen.first_seen_at_ms for seen in sightings],
                        "last_seen_at_ms": [seen.last_seen_at_ms for seen in sightings],
                        "attempts": [seen.attempts for seen in sightings],
                    },
                )
                await connection.execute(_FORGET_OLDEST, gateway | {"kept": SIGHTINGS_MAX})
            return int((await connection.execute(_GATEWAY, gateway)).scalar_one())

    async def strangers(self, allowed: AllowedAreas, *, limit: int) -> list[Stranger]:
        """Return strangers at gateways of these areas, the newest first."""
        wanted = {"allowed": None if allowed is None else list(allowed), "limit": limit}
        found = []
        for row in await self._database.rows(_STRANGERS, wanted):
            sighting = Sighting(
                row.is_wrong_key,
                bytes(row.key_id),
                row.peer,
                row.first_seen_at_ms,
                row.last_seen_at_ms,
                row.attempts,
            )
            kind = kind_of(sighting, row.node_number)
            found.append(Stranger(row.gateway_name, kind, sighting, row.node_number))
        return found
