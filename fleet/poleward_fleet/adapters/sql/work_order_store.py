"""Work orders in PostgreSQL, sealed: they hold keys of nodes and secrets of technicians.

Not the visits that were made by them (visit_store.py).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError

from poleward_commissioning.work_order import WorkOrder
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.node_store import bootstrap_purpose, operational_purpose
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.work_orders import SignedOrder, StockNode, StoredOrder

_STOCK = text(
    "SELECT number, mac, life_state, claim_code_hash, bootstrap_secret_sealed, bootstrap_salt "
    "FROM node WHERE mac = ANY (CAST(:macs AS text[])) ORDER BY number"
)
_PUT = text(
    "INSERT INTO work_order (gateway_name, revision, made_at_ms, content_sealed, signature) "
    "VALUES (:gateway_name, :revision, :made_at_ms, :content, :signature)"
)
# Not to be sent: it lets the gateway speak of the node, which is nobody's until it is claimed.
_PREPARE = text(
    "INSERT INTO desired_node (gateway_name, node_number, revision, removed, "
    "operational_secret_sealed, operational_salt) "
    "VALUES (:gateway_name, :number, 0, true, :secret, :salt) ON CONFLICT DO NOTHING"
)
_ORDER = text(
    "SELECT * FROM work_order WHERE gateway_name = :gateway_name AND revision = :revision"
)
_NEWEST = text(
    "SELECT DISTINCT ON (gateway_name) * FROM work_order "
    "WHERE :gateway_name IN ('', gateway_name) ORDER BY gateway_name, revision DESC"
)
_SITE_URLS = text("SELECT name, site_url FROM gateway WHERE site_url <> '' AND revoked_at_ms = 0")


class SqlWorkOrderStore:
    """WorkOrderStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stock(self, macs: Sequence[str]) -> list[StockNode]:
        """Return the nodes with these MACs, as far as there are any."""
        unseal = self._database.box.open
        return [
            StockNode(
                number=row.number,
                mac=row.mac,
                life_state=LifeState(row.life_state),
                claim_code_hash=row.claim_code_hash,
                bootstrap_secret=unseal(
                    bytes(row.bootstrap_secret_sealed), bootstrap_purpose(row.mac)
                ),
                bootstrap_salt=bytes(row.bootstrap_salt),
            )
            for row in await self._database.rows(_STOCK, {"macs": list(macs)})
        ]

    async def put(
        self, order: WorkOrder, signed: SignedOrder, *, made_at_ms: int, audit: AuditEntry
    ) -> None:
        """Keep an order; its gateway may speak of its nodes from now on."""
        seal = self._database.box.seal
        named = {"gateway_name": order.gateway_name}
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    _PUT,
                    named
                    | {
                        "revision": order.revision,
                        "made_at_ms": made_at_ms,
                        "content": seal(signed.content, _purpose(order.gateway_name)),
                        "signature": signed.signature,
                    },
                )
                for node in order.nodes:
                    keys = node.operational
                    await connection.execute(
                        _PREPARE,
                        named
                        | {
                            "number": node.number,
                            "secret": seal(keys.master_secret, operational_purpose(node.number)),
                            "salt": keys.master_salt,
                        },
                    )
                await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise ConflictError(
                f"somebody else made a work order for gateway {order.gateway_name} at the same "
                "moment; look at it first"
            ) from error

    async def order(self, gateway_name: str, revision: int) -> StoredOrder | None:
        """Return an order of a gateway."""
        named = {"gateway_name": gateway_name, "revision": revision}
        rows = await self._database.rows(_ORDER, named)
        return self._stored(rows[0]) if rows else None

    async def newest(self) -> list[StoredOrder]:
        """Return the newest order of each gateway, by gateway."""
        rows = await self._database.rows(_NEWEST, {"gateway_name": ""})
        return [self._stored(row) for row in rows]

    async def newest_of(self, gateway_name: str) -> StoredOrder | None:
        """Return the newest order of a gateway."""
        rows = await self._database.rows(_NEWEST, {"gateway_name": gateway_name})
        return self._stored(rows[0]) if rows else None

    async def signed_after(self, gateway_name: str, revision: int) -> SignedOrder | None:
        """Return the newest order of a gateway, if it is newer than a revision."""
        rows = await self._database.rows(_NEWEST, {"gateway_name": gateway_name})
        if not rows or rows[0].revision <= revision:
            return None
        return SignedOrder(self._content(rows[0]), bytes(rows[0].signature))

    async def site_urls(self) -> dict[str, str]:
        """Return where technicians' devices find gateways, by name."""
        return {row.name: row.site_url for row in await self._database.rows(_SITE_URLS, {})}

    def _stored(self, row: Row[Any]) -> StoredOrder:
        return StoredOrder(WorkOrder.from_bytes(self._content(row)), row.made_at_ms)

    def _content(self, row: Row[Any]) -> bytes:
        return self._database.box.open(bytes(row.content_sealed), _purpose(row.gateway_name))


def _purpose(gateway_name: str) -> str:
    return f"work order of {gateway_name}"
