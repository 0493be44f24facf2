"""Keeps the lighting program of this pole in flash and tells its level now.

Not what the rules mean (`node.lighting.evaluation`, loaded for a moment at each switching point)
and not the lamp.
"""

import os
from binascii import crc32

from micropython import const

from node.passing import drop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RULES_MAX_BYTES = const(1024)
# The first line of the file: version, CRC-32 of the rest.
_HEAD = "1 %08x\n"


class Program:
    """Rules, the place they are for, and the offset of its clock from UTC.

    The file is replaced as a whole: after a power cut there is the old program or the new one.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.name = ""
        self.rules = ""
        self.latitude_mdeg = 0
        self.longitude_mdeg = 0
        self.utc_offset_s = 0
        self.next_offset_at = 0
        self.next_offset_s = 0
        self._level: int | None = None
        self._holds_from = 0
        self._holds_until = 0
        try:
            self._load()
        except (OSError, ValueError) as error:
            if error.args[0] != 2:  # ENOENT: this pole never had one
                print("program not readable:", repr(error))

    def replace(
        self, name: str, rules: str, place_mdeg: "tuple[int, int]", clock: "tuple[int, int, int]"
    ) -> None:
        """Take another program; without rules there is none.

        Args:
            name: Tells this content from any other.
            rules: As `node.lighting.evaluation` has them.
            place_mdeg: Latitude and longitude in thousandths of a degree.
            clock: Offset from UTC, Unix time of its next change (0 for none), offset after that.

        Raises:
            ValueError: The rules are not understood; the old program stays.
            OSError: The file system is full; the old program stays.
        """
        if len(rules) > _RULES_MAX_BYTES or "\n" in name:
            raise ValueError("rules: at most %d bytes" % _RULES_MAX_BYTES)
        if rules:
            _with_evaluation(lambda evaluation: evaluation.check(rules))
        numbers = " ".join([str(number) for number in place_mdeg + clock])
        text = "%s\n%s\n%s" % (name, numbers, rules)
        with open(self._path + ".new", "w") as file:
            file.write(_HEAD % crc32(text.encode()) + text)
        os.rename(self._path + ".new", self._path)
        self._use(text)

    def level(self, now: int) -> "int | None":
        """Give the level at a Unix time in percent; None when there is none to go by."""
        if not self.rules or not now:
            return None
        # Also when the clock was set back.
        if not self._holds_from <= now < self._holds_until:
            found = _with_evaluation(lambda evaluation: evaluation.level_and_end(self, now))
            self._level, self._holds_until = found
            self._holds_from = now
        return self._level

    def offset_s(self, now: int) -> int:
        """Give the local clock's offset from UTC."""
        is_changed = self.next_offset_at and now >= self.next_offset_at
        return self.next_offset_s if is_changed else self.utc_offset_s

    def _load(self) -> None:
        with open(self._path) as file:
            head = file.readline()
            text = file.read()
        if head != _HEAD % crc32(text.encode()):
            raise ValueError("damaged")
        self._use(text)

    def _use(self, text: str) -> None:
        self.name, numbers, self.rules = text.split("\n", 2)
        (
            self.latitude_mdeg,
            self.longitude_mdeg,
            self.utc_offset_s,
            self.next_offset_at,
            self.next_offset_s,
        ) = [int(number) for number in numbers.split()]
        self._holds_until = 0


def _with_evaluation(work: "Any") -> "Any":
    """Load the evaluation, use it, and give its heap back."""
    from node.lighting import evaluation

    try:
        return work(evaluation)
    finally:
        del evaluation
        drop("node.lighting", ("evaluation", "sun"))
