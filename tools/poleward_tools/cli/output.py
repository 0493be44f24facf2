"""Prints results: one JSON line for programs, tables and short lines for people.

Progress and errors go to standard error, so that standard output holds the result only.
"""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table

# In a pipe nothing is cut to a terminal's width.
results = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 400)
progress = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON value on one line; dataclasses become objects, bytes hexadecimal."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns whose heading ends in a unit or '#' are aligned right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        numeric = heading.endswith(("#", " W", " %", "bytes", " ms"))
        justify: JustifyMethod = "right" if numeric else "left"
        table.add_column(heading.rstrip("#").strip(), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    results.print(table)


def age_text(at_ms: int, now_s: float | None = None) -> str:
    """Say how long ago something was, e.g. "12 s"; "never" for 0."""
    if not at_ms:
        return "never"
    age_s = max(0, int((time.time() if now_s is None else now_s) - at_ms / 1000))
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if age_s < limit:
            return f"{age_s // unit_s} {unit}"
    return f"{age_s // 86_400} d"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")
