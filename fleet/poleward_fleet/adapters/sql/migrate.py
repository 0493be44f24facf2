"""Brings the database to the schema of this version of the program.

Not the migrations themselves (poleward_fleet.migrations).
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

import poleward_fleet.migrations

# Any number that is ours: two fleet managers that start at once migrate one after the other.
_LOCK = 0x706F6C65


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Apply every migration up to a revision; none when it is there already."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_run, "upgrade", revision)


async def downgrade(engine: AsyncEngine, revision: str) -> None:
    """Take migrations back down to a revision; `base` takes all."""
    async with engine.begin() as connection:
        await connection.run_sync(_run, "downgrade", revision)


def _run(connection: Connection, direction: str, revision: str) -> None:
    config = Config()
    folder = Path(poleward_fleet.migrations.__file__).parent
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)
