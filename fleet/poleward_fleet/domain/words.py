"""What the fleet says to people, as a key with values: pages translate it, the rest reads English.

Not the sentences; each part has a table of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poleward_fleet.domain.people_words import PEOPLE_WORDS
from poleward_fleet.domain.pole_words import POLE_WORDS
from poleward_fleet.domain.rollout_words import ROLLOUT_WORDS
from poleward_fleet.domain.table_words import TABLE_WORDS

WORDS: dict[str, str] = {**PEOPLE_WORDS, **POLE_WORDS, **ROLLOUT_WORDS, **TABLE_WORDS}


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence: a key of WORDS and its values, or text that came from a node as it is.

    A value may be a sentence itself.
    """

    key: str = ""
    values: tuple[tuple[str, "Value"], ...] = ()

    @classmethod
    def of(cls, key: str, /, **values: "Value") -> "Words":
        """Make a sentence of ours."""
        return cls(key, tuple(sorted(values.items())))

    @classmethod
    def told(cls, text: str) -> "Words":
        """Pass on what somebody else said."""
        return cls("", (("text", text),)) if text else cls()

    @classmethod
    def of_json(cls, read: Mapping[str, Any] | None) -> "Words":
        """Take what was read of `to_json`'s JSON; nothing is said when there is none."""
        if read is None:
            return cls()
        values = (
            (name, cls.of_json(value) if isinstance(value, dict) else value)
            for name, value in sorted(read["values"].items())
        )
        return cls(read["key"], tuple(values))

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self._plain(), ensure_ascii=False)

    def says(self, key: str) -> bool:
        """Tell whether it, or a sentence in it, has this key."""
        inner = (value for _, value in self.values if isinstance(value, Words))
        return self.key == key or any(words.says(key) for words in inner)

    def _plain(self) -> dict[str, Any]:
        values = {
            name: value._plain() if isinstance(value, Words) else value
            for name, value in self.values
        }
        return {"key": self.key, "values": values}

    def __str__(self) -> str:
        """Return it in English."""
        values = dict(self.values)
        return WORDS[self.key].format(**values) if self.key else str(values.get("text", ""))


Value = str | int | Words
NO_WORDS = Words()
