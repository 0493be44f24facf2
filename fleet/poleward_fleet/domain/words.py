"""What the fleet says to people, as a key with values: pages translate it, the rest reads English.

Not the sentences; each part has a table of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poleward_fleet.domain.rollout_words import ROLLOUT_WORDS

WORDS: dict[str, str] = {**ROLLOUT_WORDS}


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence: a key of WORDS and its values, or text that came from a node as it is."""

    key: str = ""
    values: tuple[tuple[str, str | int], ...] = ()

    @classmethod
    def of(cls, key: str, **values: str | int) -> "Words":
        """Make a sentence of ours."""
        return cls(key, tuple(sorted(values.items())))

    @classmethod
    def told(cls, text: str) -> "Words":
        """Pass on what somebody else said."""
        return cls("", (("text", text),)) if text else cls()

    @classmethod
    def of_json(cls, read: Mapping[str, Any] | None) -> "Words":
        """Take what was read of `to_json`'s JSON; nothing is said when there is none."""
        return cls() if read is None else cls(read["key"], tuple(sorted(read["values"].items())))

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps({"key": self.key, "values": dict(self.values)}, ensure_ascii=False)

    def __str__(self) -> str:
        """Return it in English."""
        values = dict(self.values)
        return WORDS[self.key].format(**values) if self.key else str(values.get("text", ""))


NO_WORDS = Words()
