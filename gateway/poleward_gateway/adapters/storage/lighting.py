"""What the gateway remembers of lighting: programs, places, groups, scenes, rules.

Not desired nodes (nodes.py): lighting comes as a whole and is replaced as a whole.
"""

import json
import sqlite3
from dataclasses import asdict
from typing import Any

from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.domain.lighting import (
    Dim,
    EventTrigger,
    Group,
    Lighting,
    Place,
    Program,
    ReadingTrigger,
    Rule,
    Scene,
    ScenePart,
    Tell,
)


class SqliteLightingStore:
    """Implements the port LightingStore; reads are answered from memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lighting = database.read_now(_load)

    def lighting(self) -> Lighting:
        """Return what is stored."""
        return self._lighting

    async def save(self, lighting: Lighting) -> None:
        """Store other lighting; returns after the commit.

        Raises:
            StorageError: It is not stored; nothing changed.
        """
        text = lighting_to_text(lighting)
        await self._database.run(
            lambda c: c.execute(
                "INSERT INTO meta (name, value) VALUES ('lighting', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (text,),
            )
        )
        self._lighting = lighting


def _load(connection: sqlite3.Connection) -> Lighting:
    row = connection.execute("SELECT value FROM meta WHERE name = 'lighting'").fetchone()
    return lighting_from_text(row[0]) if row else Lighting()


def lighting_to_text(lighting: Lighting) -> str:
    """Encode lighting as JSON; the inverse of `lighting_from_text`."""
    return json.dumps(asdict(lighting) | {"digest": lighting.digest.hex()})


def lighting_from_text(text: str) -> Lighting:
    """Decode lighting from JSON; the inverse of `lighting_to_text`."""
    fields: dict[str, Any] = json.loads(text)
    return Lighting(
        digest=bytes.fromhex(fields["digest"]),
        programs=tuple(Program(**program) for program in fields["programs"]),
        places=tuple(Place(**place) for place in fields["places"]),
        groups=tuple(Group(group["name"], tuple(group["nodes"])) for group in fields["groups"]),
        scenes=tuple(
            Scene(scene["name"], tuple(ScenePart(**part) for part in scene["parts"]))
            for scene in fields["scenes"]
        ),
        rules=tuple(_rule(rule) for rule in fields["rules"]),
    )


def _rule(fields: dict[str, Any]) -> Rule:
    trigger = fields["trigger"]
    return Rule(
        fields["name"],
        EventTrigger(**trigger) if "kind" in trigger else ReadingTrigger(**trigger),
        tuple(
            Tell(**action)
            if "kind" in action
            else Dim(**action | {"groups": tuple(action["groups"])})
            for action in fields["actions"]
        ),
    )
