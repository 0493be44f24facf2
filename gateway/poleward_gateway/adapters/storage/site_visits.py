"""The gateway's work order and the visits that it allowed, on disk.

Not the nodes that it serves by them (nodes.py). The order is sealed: it holds keys.
"""

import json
import sqlite3
from dataclasses import asdict

from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import OrderPole, WorkOrder
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.site_visits import KeptVisit
from poleward_gateway.ports.stores import SecretBox

_PURPOSE = "work order"


class SqliteSiteStore:
    """Implements the port SiteStore; reads are answered from memory."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box
        self._order = database.read_now(lambda connection: _load_order(connection, box))
        self._visits = database.read_now(_load_visits)

    def order(self) -> WorkOrder | None:
        """Return the order that is held."""
        return self._order

    async def save_order(self, order: WorkOrder, *, forget_before_ms: int) -> None:
        """Hold another order, and forget visits of long ago that the fleet knows."""
        sealed = self._box.seal(order.to_bytes(), _PURPOSE).hex()
        old = [
            visit_id
            for visit_id, kept in self._visits.items()
            if kept.is_told and kept.visit.began_at_ms < forget_before_ms
        ]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES ('work_order', ?)", (sealed,)
            )
            connection.executemany(
                "DELETE FROM site_visit WHERE visit_id = ?", [(visit_id,) for visit_id in old]
            )

        await self._database.run(write)
        self._order = order
        for visit_id in old:
            self._visits.pop(visit_id, None)

    def visits(self) -> dict[str, KeptVisit]:
        """Return every visit by id."""
        return self._visits

    async def keep(self, kept: KeptVisit) -> None:
        """Keep a visit as it is now."""
        row = (
            kept.visit.visit_id,
            kept.visit.to_bytes(),
            kept.node,
            json.dumps(asdict(kept.pole)),
            kept.is_told,
            kept.conflict,
        )
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO site_visit"
                " (visit_id, content, node, pole, is_told, conflict) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        )
        self._visits[kept.visit.visit_id] = kept


def _load_order(connection: sqlite3.Connection, box: SecretBox) -> WorkOrder | None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'work_order'").fetchone()
    return WorkOrder.from_bytes(box.open(bytes.fromhex(row[0]), _PURPOSE)) if row else None


def _load_visits(connection: sqlite3.Connection) -> dict[str, KeptVisit]:
    rows = connection.execute(
        "SELECT visit_id, content, node, pole, is_told, conflict FROM site_visit"
    )
    return {
        visit_id: KeptVisit(
            SiteVisit.from_bytes(content), NodeNumber(node), _pole(pole), bool(is_told), conflict
        )
        for visit_id, content, node, pole, is_told, conflict in rows
    }


def _pole(text: str) -> OrderPole:
    values = json.loads(text)
    return OrderPole(**values | {"equipment": tuple(values["equipment"])})
