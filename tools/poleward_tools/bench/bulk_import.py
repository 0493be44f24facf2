"""The benchmark `import`: a table of 50,000 poles into the fleet and out again, over the API.

Not the reading of files from a disk.
"""

import asyncio
import io
import json
import time
from collections.abc import Callable
from typing import Any

from poleward_tools.bench.bench_fleet import AREA_CODE, bench_fleet
from poleward_tools.client import FleetClient, FleetProfile
from poleward_tools.client.tables import ImportReport

POLES = 50_000


class TableError(Exception):
    """An import did something else than it had to."""


def run(*, poles: int = POLES) -> dict[str, Any]:
    """Import and export a table of poles; return how long each step took.

    - `rehearse_s`: with --dry-run; `import_s`: all rows new; `again_s`: all rows as they were.
    - `rehearse_bad_s`: with --dry-run, every row bad and told why.
    - `export_s`: the table as CSV; what comes back is imported once more and changes nothing.
    """
    return asyncio.run(_measure(poles))


async def _measure(poles: int) -> dict[str, Any]:
    async with bench_fleet() as bench:
        administrator = json.loads((bench.folder / "fleet" / "admin.json").read_text())
        profile = FleetProfile(bench.addresses.web, administrator["api_token"])
        # In a thread: the fleet that answers runs on this one.
        return await asyncio.to_thread(_steps, profile, poles)


def _steps(profile: FleetProfile, poles: int) -> dict[str, Any]:
    good, bad = _table(poles, AREA_CODE), _table(poles, "999999999999")
    with FleetClient(profile) as client:

        def bring(content: bytes, *, dry_run: bool = False) -> Callable[[], ImportReport]:
            return lambda: client.tables.import_table("poles", content, dry_run=dry_run)

        rehearse_s, rehearsed = _timed(bring(good, dry_run=True))
        rehearse_bad_s, refused = _timed(bring(bad, dry_run=True))
        import_s, imported = _timed(bring(good))
        again_s, again = _timed(bring(good))
        export_s, exported = _timed(lambda: b"".join(client.tables.export_table("poles")))
        _, returned = _timed(bring(exported))
    expected = (
        (rehearsed.created, rehearsed.stored),
        (len(refused.faults), refused.stored),
        (imported.created, imported.stored),
        (again.unchanged, again.stored),
        (returned.unchanged, returned.stored),
    )
    if expected != ((poles, False), (poles, False), (poles, True), (poles, False), (poles, False)):
        raise TableError(f"the imports of {poles} poles did {expected}")
    return {
        "poles": poles,
        "file_bytes": len(good),
        "rehearse_s": round(rehearse_s, 2),
        "rehearse_bad_s": round(rehearse_bad_s, 2),
        "import_s": round(import_s, 2),
        "again_s": round(again_s, 2),
        "export_s": round(export_s, 2),
    }


def _timed(step: Callable[[], Any]) -> tuple[float, Any]:
    began_at = time.perf_counter()
    result = step()
    return time.perf_counter() - began_at, result


def _table(poles: int, area_code: str) -> bytes:
    text = io.StringIO()
    text.write("code,area_code,latitude_deg,longitude_deg,lamp_nominal_w,equipment\n")
    for number in range(poles):
        text.write(
            f"B-{number:06d},{area_code},{51.4 + number * 1e-6:.6f},{-2.6 + number * 1e-6:.6f},"
            "100,lamp air sos\n"
        )
    return text.getvalue().encode()
