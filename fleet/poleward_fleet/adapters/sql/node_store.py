"""Identities of nodes, what gateways should make of them and what they report, in PostgreSQL.

Not the keys' formats (domain/identity.py). Secrets are sealed before they reach the database.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.desired_releases import desired_release
from poleward_fleet.adapters.sql.directive_signing import signing_keys
from poleward_fleet.adapters.sql.rollout_progress import apply_progress
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, ForbiddenError
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.identity import (
    DesiredNode,
    DesiredState,
    ManufacturedNode,
    NodeTask,
    OscoreKeys,
    StationPermit,
    endpoint_name,
    operational_sender_id,
)
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.ports.nodes import AppliedStates

_KNOWN = text(
    "SELECT number, mac, claim_code_hash, bootstrap_secret_sealed, bootstrap_salt FROM node "
    "WHERE mac = ANY (CAST(:macs AS text[]))"
)
_STATION = text(
    "INSERT INTO factory_station (key, name) VALUES (:key, :name) "
    "ON CONFLICT (key) DO UPDATE SET name = excluded.name RETURNING nodes"
)
_COUNT = text("UPDATE factory_station SET nodes = nodes + :fresh WHERE key = :key")
_IMPORT = text(
    "INSERT INTO node (mac, board_profile, life_state, claim_code_hash, bootstrap_secret_sealed, "
    "bootstrap_salt) SELECT mac, profile, 'manufactured', claim, secret, salt FROM unnest("
    "CAST(:mac AS text[]), CAST(:profile AS text[]), CAST(:claim AS text[]), "
    "CAST(:secret AS bytea[]), CAST(:salt AS bytea[])) "
    "WITH ORDINALITY AS r (mac, profile, claim, secret, salt, i) ORDER BY i RETURNING number, mac"
)
# The first word from a commissioned node puts it in service.
_APPLY = text(
    """
UPDATE node SET link_state = r.link_state,
    heard_at_ms = greatest(node.heard_at_ms, r.heard_at_ms),
    bundle_version = coalesce(r.bundle_version, node.bundle_version),
    release_sequence = coalesce(r.release_sequence, node.release_sequence),
    boot = coalesce(r.boot, node.boot),
    device = node.device || CAST(r.device AS jsonb),
    life_state = CASE WHEN node.life_state = 'commissioned' AND r.link_state = 'online'
        THEN 'in_service' ELSE node.life_state END,
    life_since_ms = CASE WHEN node.life_state = 'commissioned' AND r.link_state = 'online'
        THEN :now_ms ELSE node.life_since_ms END
FROM unnest(CAST(:number AS integer[]), CAST(:link_state AS text[]),
    CAST(:heard_at_ms AS bigint[]), CAST(:bundle_version AS text[]),
    CAST(:release_sequence AS bigint[]), CAST(:boot AS integer[]), CAST(:device AS text[]))
    AS r (number, link_state, heard_at_ms, bundle_version, release_sequence, boot, device)
WHERE node.number = r.number AND node.gateway_name = :gateway_name
RETURNING node.number, old.life_state <> new.life_state AS began_service
"""
)
_FOREIGN = text(
    "SELECT n FROM unnest(CAST(:numbers AS integer[])) AS r (n) WHERE NOT EXISTS (SELECT FROM "
    "desired_node d WHERE d.gateway_name = :gateway_name AND d.node_number = r.n) LIMIT 1"
)
NEXT_REVISION = text(
    "UPDATE gateway SET desired_revision = desired_revision + 1 WHERE name = :gateway_name "
    "RETURNING desired_revision"
)
_HANDED_OVER = text(
    "SELECT gateway_name, array_agg(node_number) AS numbers FROM desired_node "
    "WHERE node_number = ANY (CAST(:numbers AS integer[])) AND gateway_name <> :gateway_name "
    "AND task = 'hand_over' AND NOT removed GROUP BY gateway_name ORDER BY gateway_name"
)
_FORGET = text(
    "UPDATE desired_node SET removed = true, task = 'serve', release_digest = NULL, "
    "revision = :revision WHERE gateway_name = :gateway_name "
    "AND node_number = ANY (CAST(:numbers AS integer[])) AND task = :task AND NOT removed"
)
# What a rollout offered and nobody tries yet is not asked for any more once the rollout is over:
# its order to stop works at once, and its rows follow. The node's row is looked up where it counts:
# joined, a rollout's nodes were read whole for each gateway.
_DESIRED = text(
    "SELECT d.*, n.mac, n.bootstrap_secret_sealed, n.bootstrap_salt, n.report_interval_s, "
    "'node:' || n.mac AS subject, n.release_sequence = o.sequence AS runs_it, "
    "o.is_over AND EXISTS (SELECT FROM rollout_node rn WHERE rn.node_number = d.node_number "
    "AND rn.rollout_number = d.rollout_number "
    "AND rn.stage IN ('offered', 'downloading', 'downloaded')) AS is_stopped, "
    "o.name AS rollout_name, o.policy_with_windows, "
    "coalesce(p.lamp_nominal_w, 0) AS lamp_nominal_w, coalesce(g.coap_uri, '') AS gateway_uri "
    "FROM desired_node d JOIN node n ON n.number = d.node_number "
    "LEFT JOIN pole p ON p.code = n.pole_code LEFT JOIN gateway g ON g.name = n.gateway_name "
    "LEFT JOIN rollout_origin o ON o.number = d.rollout_number "
    "WHERE d.gateway_name = :gateway_name AND d.revision > :after "
    "AND NOT (d.removed AND :complete) ORDER BY d.node_number"
)
_DESIRED_OWN = text(
    "SELECT g.desired_revision, g.desired_release AS release_digest, g.directed_at_ms, "
    "'gateway:' || g.name AS subject, g.release_sequence = o.sequence AS runs_it, "
    "o.is_over AND rn.stage IN ('offered', 'downloading', 'downloaded') AS is_stopped, "
    "o.name AS rollout_name, o.policy_with_windows "
    "FROM gateway g "
    "LEFT JOIN rollout_origin o ON o.number = g.desired_rollout LEFT JOIN rollout_node rn "
    "ON rn.node_number = g.number AND rn.rollout_number = g.desired_rollout "
    "WHERE g.name = :gateway_name"
)
_KEYS = text(
    "SELECT public_key FROM release_key WHERE revoked_at_ms IS NULL "
    "ORDER BY trusted_at_ms, public_key"
)
_DOCUMENTS = text("SELECT digest, release_threshold FROM trust_document ORDER BY version")


class SqlNodeStore:
    """NodeStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def import_nodes(
        self,
        nodes: Sequence[ManufacturedNode],
        audit: AuditEntry,
        permit: StationPermit | None = None,
    ) -> list[int]:
        """Register nodes, all or none; return their numbers in order."""
        seal = self._database.box.seal
        by_mac = {node.mac: node for node in nodes}
        try:
            async with self._database.begin() as connection:
                if permit is not None:
                    # Locks the station's row: its imports are counted one after the other.
                    station = {"key": permit.station_key, "name": permit.station_name}
                    made_before = (await connection.execute(_STATION, station)).scalar_one()
                known = await connection.execute(_KNOWN, {"macs": list(by_mac)})
                numbers = {row.mac: row.number for row in known if self._same(row, by_mac[row.mac])}
                fresh = [node for mac, node in by_mac.items() if mac not in numbers]
                if permit is not None and fresh:
                    permit.check_count(made_before + len(fresh))
                    counted = {"key": permit.station_key, "fresh": len(fresh)}
                    await connection.execute(_COUNT, counted)
                made = await connection.execute(
                    _IMPORT,
                    {
                        "mac": [node.mac for node in fresh],
                        "profile": [node.board_profile for node in fresh],
                        "claim": [node.claim_code_hash for node in fresh],
                        "secret": [
                            seal(n.bootstrap_secret, bootstrap_purpose(n.mac)) for n in fresh
                        ],
                        "salt": [node.bootstrap_salt for node in fresh],
                    },
                )
                numbers |= {row.mac: row.number for row in made}
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise ConflictError(
                "somebody else imported one of these nodes at the same moment; try again"
            ) from error
        return [numbers[node.mac] for node in nodes]

    def _same(self, row: Row[Any], node: ManufacturedNode) -> bool:
        secret = self._database.box.open(
            bytes(row.bootstrap_secret_sealed), bootstrap_purpose(row.mac)
        )
        if (secret, bytes(row.bootstrap_salt), row.claim_code_hash) != (
            node.bootstrap_secret,
            node.bootstrap_salt,
            node.claim_code_hash,
        ):
            raise ConflictError(
                f"node {row.mac} is known with another secret or claim code; two boards with one "
                "MAC, or a board that was flashed again: remove the old record first"
            )
        return True

    async def desired_state(self, gateway_name: str, after_revision: int) -> DesiredState:
        """Return what changed after a revision; everything for 0 or a revision never given out."""
        now_ms = self._database.clock.now_ms()
        async with self._database.begin() as connection:
            named = {"gateway_name": gateway_name}
            own = (await connection.execute(_DESIRED_OWN, named)).one()
            revision = own.desired_revision
            complete = after_revision == 0 or after_revision > revision
            rows = await connection.execute(
                _DESIRED,
                {
                    "gateway_name": gateway_name,
                    "after": 0 if complete else after_revision,
                    "complete": complete,
                },
            )
            directors = await signing_keys(connection, self._database.box)
            nodes = tuple(self._desired(row, directors, now_ms) for row in rows)
            keys = tuple(bytes(row.public_key) for row in await connection.execute(_KEYS))
            documents = list(await connection.execute(_DOCUMENTS))
        return DesiredState(
            revision,
            complete,
            nodes,
            release_keys=keys,
            release_threshold=documents[-1].release_threshold if documents else 1,
            trust_documents=tuple(bytes(row.digest) for row in documents),
            gateway_release=desired_release(own, directors, now_ms),
        )

    def _desired(
        self, row: Row[Any], directors: Sequence[Ed25519PrivateKey], now_ms: int
    ) -> DesiredNode:
        task = NodeTask.FORGET if row.removed else NodeTask(row.task)
        bootstrap = operational = None
        if task in (NodeTask.SERVE, NodeTask.HAND_OVER):
            bootstrap = OscoreKeys(
                master_secret=self._database.box.open(
                    bytes(row.bootstrap_secret_sealed), bootstrap_purpose(row.mac)
                ),
                master_salt=bytes(row.bootstrap_salt),
                node_id=bytes.fromhex(row.mac),
            )
        if task is not NodeTask.FORGET:
            operational = OscoreKeys(
                master_secret=self._database.box.open(
                    bytes(row.operational_secret_sealed), operational_purpose(row.node_number)
                ),
                master_salt=bytes(row.operational_salt),
                node_id=operational_sender_id(row.node_number),
            )
        return DesiredNode(
            node_number=row.node_number,
            endpoint_name=endpoint_name(row.mac),
            bootstrap=bootstrap,
            operational=operational,
            report_interval_s=row.report_interval_s,
            release=desired_release(row, directors, now_ms),
            lamp_nominal_w=row.lamp_nominal_w,
            task=task,
            gateway_uri=row.gateway_uri if task is NodeTask.HAND_OVER else "",
        )

    async def wiped(self, gateway_name: str, node_numbers: Collection[int]) -> None:
        """Take nodes off a gateway that says it wiped them, where it was to."""
        async with self._database.begin() as connection:
            await _forget(connection, gateway_name, node_numbers, task="wipe")

    async def apply_states(self, gateway_name: str, states: Sequence[NodeState]) -> AppliedStates:
        """Store reported states and rollout progress; tell what else that changed."""
        async with self._database.begin() as connection:
            await refuse_foreign(connection, gateway_name, [s.node_number for s in states])
            applied = await connection.execute(
                _APPLY,
                {
                    "gateway_name": gateway_name,
                    "now_ms": self._database.clock.now_ms(),
                    "number": [state.node_number for state in states],
                    "link_state": [state.link_state.value for state in states],
                    "heard_at_ms": [state.heard_at_ms for state in states],
                    "bundle_version": [state.bundle_version for state in states],
                    "release_sequence": [state.release_sequence for state in states],
                    "boot": [state.boot for state in states],
                    "device": [json.dumps(dict(state.device)) for state in states],
                },
            )
            own = applied.all()
            online = {s.node_number for s in states if s.link_state is LinkState.ONLINE}
            gateways = await self._end_hand_over(
                connection, gateway_name, [row.number for row in own if row.number in online]
            )
            now_ms = self._database.clock.now_ms()
            moved, told = await apply_progress(connection, states, now_ms)
            if began := sorted(row.number for row in own if row.began_service):
                subject = f"node {began[0]}" if len(began) == 1 else f"{len(began)} nodes"
                await self._database.audit(
                    connection, AuditEntry(gateway_name, "node.serve", subject)
                )
            return AppliedStates(moved, gateways | told)

    async def _end_hand_over(
        self, connection: AsyncConnection, gateway_name: str, numbers: Sequence[int]
    ) -> frozenset[str]:
        """Have the gateways that handed these nodes over forget them; return their names."""
        if not numbers:
            return frozenset()
        named = {"gateway_name": gateway_name, "numbers": list(numbers)}
        before = (await connection.execute(_HANDED_OVER, named)).all()
        for row in before:
            await _forget(connection, row.gateway_name, row.numbers, task="hand_over")
        return frozenset(row.gateway_name for row in before)


def by_name(nodes: Collection[str | int]) -> dict[str, list[Any]]:
    """Return the parameters of a statement that finds nodes by MAC or number."""
    return {
        "macs": [name for name in nodes if isinstance(name, str)],
        "numbers": [name for name in nodes if isinstance(name, int)],
    }


async def _forget(
    connection: AsyncConnection, gateway_name: str, numbers: Collection[int], *, task: str
) -> None:
    """Have a gateway forget nodes for which it had a task."""
    named = {"gateway_name": gateway_name}
    revision = (await connection.execute(NEXT_REVISION, named)).scalar_one()
    await connection.execute(
        _FORGET, named | {"numbers": sorted(numbers), "task": task, "revision": revision}
    )


async def refuse_foreign(
    connection: AsyncConnection, gateway_name: str, node_numbers: Sequence[int]
) -> None:
    """Insist that a gateway speaks only of nodes that are or were its own.

    Raises:
        ForbiddenError: Names the first foreign node.
    """
    foreign = (
        await connection.execute(
            _FOREIGN, {"gateway_name": gateway_name, "numbers": sorted(set(node_numbers))}
        )
    ).scalar_one_or_none()
    if foreign is not None:
        raise ForbiddenError(
            f"gateway {gateway_name} spoke of node {foreign}, which was never assigned to it"
        )


def bootstrap_purpose(mac: str) -> str:
    """Name what bootstrap keys are for, as the box wants it."""
    return f"bootstrap:{mac}"


def operational_purpose(number: int) -> str:
    """Name what operational keys are for, as the box wants it."""
    return f"operational:{number}"
