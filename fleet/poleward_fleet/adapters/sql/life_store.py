"""The lives of nodes in PostgreSQL: state, pole, gateway and keys change together or not at all.

Not which steps are possible (domain/life_cycle.py), nor what gateways read of it (node_store.py).
"""

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database, broken_constraint
from poleward_fleet.adapters.sql.grouping import Grouping
from poleward_fleet.adapters.sql.node_store import NEXT_REVISION, by_name, operational_purpose
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, NotFoundError
from poleward_fleet.domain.identity import FreshKeys, NodeIdentity, node_named
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.life_cycle import Keys, Transition
from poleward_fleet.ports.life import Claim

_IDENTITIES = text(
    "SELECT n.number, n.mac, n.claim_code_hash, n.life_state, n.life_since_ms, n.life_reason, "
    "n.board_profile, coalesce(n.pole_code, '') AS pole_code, "
    "coalesce(p.area_code, '') AS area_code, coalesce(n.gateway_name, '') AS gateway_name "
    "FROM node n LEFT JOIN pole p ON p.code = n.pole_code "
    "WHERE n.mac = ANY (CAST(:macs AS text[])) OR n.number = ANY (CAST(:numbers AS integer[]))"
)
# One round trip: the gateways' revisions, the nodes, what the gateways owe them. Gateways are
# locked in one order everywhere; of two claims of one node only the first is carried out.
_CLAIM = text(
    """
WITH asked AS (
    SELECT DISTINCT ON (number) * FROM unnest(CAST(:number AS integer[]),
        CAST(:before AS text[]), CAST(:after AS text[]), CAST(:pole_code AS text[]),
        CAST(:gateway_name AS text[]), CAST(:interval_s AS integer[]), CAST(:secret AS bytea[]),
        CAST(:salt AS bytea[])) WITH ORDINALITY
        AS a (number, before, after, pole_code, gateway_name, interval_s, secret, salt, position)
    ORDER BY number, position
), locked AS (
    SELECT name FROM gateway WHERE name = ANY (CAST(:gateway_name AS text[]))
    AND revoked_at_ms = 0 ORDER BY name FOR UPDATE
), serving AS (
    UPDATE gateway SET desired_revision = desired_revision + 1 FROM locked
    WHERE gateway.name = locked.name RETURNING gateway.name, desired_revision
), assigned AS (
    UPDATE node SET life_state = a.after, life_since_ms = :now_ms, life_reason = '',
        pole_code = a.pole_code, gateway_name = a.gateway_name, link_state = 'unknown',
        heard_at_ms = 0, report_interval_s = a.interval_s
    FROM asked a JOIN serving ON serving.name = a.gateway_name
    WHERE node.number = a.number AND node.life_state = a.before RETURNING a.*
), owed AS (
    INSERT INTO desired_node (gateway_name, node_number, revision, operational_secret_sealed,
        operational_salt)
    SELECT gateway_name, number, desired_revision, secret, salt
    FROM assigned JOIN serving ON serving.name = gateway_name
    ON CONFLICT (gateway_name, node_number) DO UPDATE SET revision = excluded.revision,
        removed = false, task = 'serve', release_digest = NULL,
        operational_secret_sealed = excluded.operational_secret_sealed,
        operational_salt = excluded.operational_salt
)
SELECT position FROM assigned
"""
)
_SERVES = text("SELECT name FROM gateway WHERE name = :gateway_name AND revoked_at_ms = 0")
_CHANGE = text(
    "UPDATE node SET life_state = :after, "
    "life_since_ms = CASE WHEN :after = :before THEN life_since_ms ELSE :now_ms END, "
    "life_reason = :reason, "
    "pole_code = CASE WHEN :leaves THEN NULL ELSE pole_code END, "
    "gateway_name = CASE WHEN :leaves THEN NULL WHEN :gateway_name = '' THEN gateway_name "
    "ELSE :gateway_name END, "
    "link_state = CASE WHEN :keys = 'kept' THEN link_state WHEN :keys = 'fresh' THEN 'unknown' "
    "ELSE 'offline' END "
    "WHERE number = :number AND life_state = :before RETURNING gateway_name"
)
# What it measured while it stood there stays with the pole.
_LEAVE = text(
    "INSERT INTO past_stay (pole_code, node_number, from_ms, until_ms) "
    "SELECT n.pole_code, n.number, coalesce(max(s.until_ms), 0), :now_ms FROM node n "
    "LEFT JOIN past_stay s ON s.node_number = n.number "
    "WHERE n.number = :number AND n.pole_code IS NOT NULL GROUP BY n.number "
    "ON CONFLICT ON CONSTRAINT past_stay_pkey DO NOTHING"
)
_OWING = text(
    "SELECT gateway_name FROM desired_node WHERE node_number = :number AND NOT removed "
    "ORDER BY gateway_name FOR UPDATE"
)
_OWE = text(
    "UPDATE desired_node SET removed = :removed, task = :task, release_digest = NULL, "
    "revision = :revision WHERE gateway_name = :gateway_name AND node_number = :number"
)
_GIVE_KEYS = text(
    "INSERT INTO desired_node (gateway_name, node_number, revision, task, "
    "operational_secret_sealed, operational_salt) "
    "VALUES (:gateway_name, :number, :revision, :task, :secret, :salt) "
    "ON CONFLICT (gateway_name, node_number) DO UPDATE SET revision = excluded.revision, "
    "removed = false, task = excluded.task, "
    "operational_secret_sealed = excluded.operational_secret_sealed, "
    "operational_salt = excluded.operational_salt"
)
_GATEWAY_FOR = text(
    "SELECT g.name FROM unnest(CAST(:areas AS text[])) WITH ORDINALITY AS a (code, distance) "
    "JOIN gateway g ON g.area_code = a.code AND g.revoked_at_ms = 0 "
    "ORDER BY a.distance, g.name <> ALL (CAST(:connected AS text[])), "
    "(SELECT count(*) FROM node n WHERE n.gateway_name = g.name), g.name LIMIT 1"
)
_COUNT_STEPS = text(
    "SELECT count(*) AS steps FROM audit "
    "WHERE actor = :actor AND action = :action AND at_ms >= :since_ms"
)


class SqlLifeStore:
    """LifeStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._identities = Grouping(self._find_identities)
        self._claims = Grouping(self._carry_out_claims)

    async def identity(self, name: str) -> NodeIdentity | None:
        """Return a node by MAC, endpoint name or number."""
        return await self._identities.ask(name)

    async def _find_identities(self, names: Sequence[str]) -> list[NodeIdentity | None]:
        wanted = [node_named(name) for name in names]
        found: dict[str | int, NodeIdentity] = {}
        for row in await self._database.rows(_IDENTITIES, by_name(wanted)):
            fields = dict(row._mapping)
            node = NodeIdentity(**fields | {"life_state": LifeState(fields["life_state"])})
            found |= {node.mac: node, node.number: node}
        return [found.get(name) for name in wanted]

    async def claim(self, claim: Claim) -> None:
        """Put a node into a pole behind a gateway, all of it or nothing."""
        try:
            await self._claims.ask(claim)
        except IntegrityError as error:
            pole_code = claim.pole_code
            if broken_constraint(error) == "node_pole_fkey":
                raise NotFoundError(f"pole {pole_code} does not exist; import it first") from error
            if broken_constraint(error) == "node_pole_key":
                raise ConflictError.of("pole_just_taken", pole=pole_code) from error
            raise

    async def _carry_out_claims(self, claims: Sequence[Claim]) -> list[None]:
        async with self._database.begin() as connection:
            for claim in claims:
                if claim.swapped is not None:
                    await self._carry_out(connection, *claim.swapped, reason="")
            sealed = [self._sealed(claim.node_number, claim.keys) for claim in claims]
            made = await connection.execute(
                _CLAIM,
                {
                    "number": [claim.node_number for claim in claims],
                    "before": [claim.before.value for claim in claims],
                    "after": [claim.after.value for claim in claims],
                    "now_ms": self._database.clock.now_ms(),
                    "pole_code": [claim.pole_code for claim in claims],
                    "gateway_name": [claim.gateway_name for claim in claims],
                    "interval_s": [claim.report_interval_s for claim in claims],
                    "secret": [keys["secret"] for keys in sealed],
                    "salt": [keys["salt"] for keys in sealed],
                },
            )
            done = {row.position for row in made}
            for position, claim in enumerate(claims, 1):
                if position not in done:
                    await _require_gateway(connection, claim.gateway_name)
                    raise _changed_meanwhile(claim.node_number)
            await self._database.audit(connection, *(claim.audit for claim in claims))
        return [None] * len(claims)

    async def change(
        self,
        node_number: int,
        transition: Transition,
        *,
        reason: str,
        gateway_name: str = "",
        keys: FreshKeys | None = None,
        audit: AuditEntry,
    ) -> frozenset[str]:
        """Carry out a step, all of it or nothing; return the gateways whose state changed."""
        async with self._database.begin() as connection:
            changed = await self._carry_out(
                connection,
                node_number,
                transition,
                reason=reason,
                gateway_name=gateway_name,
                keys=keys,
            )
            await self._database.audit(connection, audit)
        return changed

    async def gateway_for(
        self, area_codes: Sequence[str], connected: Collection[str]
    ) -> str | None:
        """Return a gateway in the first of these areas that has one, best a connected one."""
        parameters = {"areas": list(area_codes), "connected": list(connected)}
        rows = await self._database.rows(_GATEWAY_FOR, parameters)
        return rows[0].name if rows else None

    async def count_steps(self, actor: str, action: str, since_ms: int) -> int:
        """Count how often somebody did something since a moment, from the audit record."""
        parameters = {"actor": actor, "action": action, "since_ms": since_ms}
        return int((await self._database.rows(_COUNT_STEPS, parameters))[0].steps)

    async def _carry_out(
        self,
        connection: AsyncConnection,
        node_number: int,
        transition: Transition,
        *,
        reason: str,
        gateway_name: str = "",
        keys: FreshKeys | None = None,
    ) -> frozenset[str]:
        if gateway_name:
            await _require_gateway(connection, gateway_name)
        named = {"number": node_number}
        now = {"now_ms": self._database.clock.now_ms()}
        if transition.leaves_pole:
            await connection.execute(_LEAVE, named | now)
        done = await connection.execute(
            _CHANGE,
            named
            | now
            | {
                "before": transition.before.value,
                "after": transition.after.value,
                "reason": reason,
                "leaves": transition.leaves_pole,
                "gateway_name": gateway_name,
                "keys": transition.keys.value,
            },
        )
        row = done.one_or_none()
        if row is None:
            raise _changed_meanwhile(node_number)
        if transition.keys is Keys.KEPT:
            return frozenset()
        owing = (await connection.execute(_OWING, named)).scalars().all()
        if transition.keys is Keys.FRESH and keys is not None:
            return await self._give_keys(
                connection, node_number, keys, serving=row.gateway_name, owing=owing
            )
        is_wiped = transition.keys is Keys.WIPED
        for name in owing:
            gateway = {"gateway_name": name}
            revision = (await connection.execute(NEXT_REVISION, gateway)).scalar_one()
            duty = {"removed": not is_wiped, "task": "wipe" if is_wiped else "serve"}
            await connection.execute(_OWE, named | gateway | duty | {"revision": revision})
        return frozenset(owing)

    async def _give_keys(
        self,
        connection: AsyncConnection,
        node_number: int,
        keys: FreshKeys,
        *,
        serving: str,
        owing: Sequence[str],
    ) -> frozenset[str]:
        """Give the serving gateway a node's keys, and the others what to hand it over with."""
        gateways = frozenset((serving, *owing))
        # In one order everywhere: two moves at once must not wait for each other.
        for name in sorted(gateways):
            gateway = {"gateway_name": name}
            revision = (await connection.execute(NEXT_REVISION, gateway)).scalar_one()
            task = "serve" if name == serving else "hand_over"
            await connection.execute(
                _GIVE_KEYS,
                {
                    "number": node_number,
                    "revision": revision,
                    "task": task,
                    **gateway,
                    **self._sealed(node_number, keys),
                },
            )
        return gateways

    def _sealed(self, node_number: int, keys: FreshKeys) -> dict[str, bytes]:
        purpose = operational_purpose(node_number)
        return {"secret": self._database.box.seal(keys.secret, purpose), "salt": keys.salt}


async def _require_gateway(connection: AsyncConnection, gateway_name: str) -> None:
    known = await connection.execute(_SERVES, {"gateway_name": gateway_name})
    if known.one_or_none() is None:
        raise NotFoundError.of("no_gateway", gateway=gateway_name)


def _changed_meanwhile(node_number: int) -> ConflictError:
    return ConflictError.of("changed_meanwhile", node=node_number)
