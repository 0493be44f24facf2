"""Layouts of nodes' reports by id: the one copy that survives a restart.

Not what a layout means: adapters/node_link/report_layouts.py.
"""

from poleward_gateway.adapters.storage.database import Database


class SqliteLayouts:
    """Texts of layouts by id; none is ever changed or forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_now(self) -> dict[int, str]:
        """Return every layout, before the database's thread starts."""
        return self._database.read_now(
            lambda c: dict(c.execute("SELECT layout_id, paths FROM node_layout").fetchall())
        )

    async def add(self, layout_id: int, paths: str) -> None:
        """Keep a layout; returns after the commit.

        Raises:
            StorageError: It is not stored; the node will be asked again.
        """
        await self._database.run(
            lambda c: c.execute(
                "INSERT INTO node_layout (layout_id, paths) VALUES (?, ?)"
                " ON CONFLICT (layout_id) DO NOTHING",
                (layout_id, paths),
            )
        )
