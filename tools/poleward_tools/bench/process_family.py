"""Processes that belong together, and how much of the processors they have used (proc(5)).

Not how they are started (bench_process.py).
"""

import os
from pathlib import Path


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(_fields(stat)[1]), []).append(int(stat.parent.name))
        except OSError:
            continue  # it ended meanwhile
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """Return the time of a process so far, of all its threads and of its children that ended."""
    ticks = _fields(Path(f"/proc/{pid}/stat"))[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _fields(stat: Path) -> list[str]:
    # The name in parentheses may hold anything; state and parent follow it.
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
