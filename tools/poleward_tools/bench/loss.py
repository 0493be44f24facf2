"""The experiment `loss`: what nodes made is compared with what the database holds.

Not what goes wrong meanwhile: loss_profiles.py. Gateways and fleet are the real programs, with
OSCORE, mutual TLS and a durable PostgreSQL between them.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from poleward_fleet.adapters.sql.database import make_engine
from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.layouts import SqliteLayouts
from poleward_gateway.config import GatewayConfig
from poleward_tools.bench.bench_fleet import bench_database, fleet_on
from poleward_tools.bench.loss_node import LossNode
from poleward_tools.bench.loss_profiles import PROFILES, WHOLE_S, Profile, Site
from poleward_tools.bench.loss_programs import FleetProgram, GatewayProgram
from poleward_tools.bench.report_keys import LAYOUT, LAYOUT_ID, secret_and_salt
from poleward_tools.bench.tcp_relay import TcpRelay

NODES = 40
INTERVAL_S = 1.0
# A gateway that was cut off tries again after at most 60 s; a node's exchange takes up to 93 s.
_SETTLE_S = 150.0
_LOOK_S = 0.5
_STORED = text(
    "SELECT node_number, boot, sequence, measured_at_ms FROM report "
    "WHERE node_number = ANY (CAST(:numbers AS integer[]))"
)
_GAPS = text(
    "SELECT node_number, boot, detail FROM event WHERE kind = 'reports.gap' "
    "AND node_number = ANY (CAST(:numbers AS integer[]))"
)
Key = tuple[int, int, int]
"""Node, boot, sequence number."""


def run(
    *, seconds: float = WHOLE_S, profile: str | None = None, nodes: int = NODES
) -> dict[str, Any]:
    """Run every profile, or one; return for each what became of its reports.

    - `sent`: reports that nodes made.
    - `stored`: different ones in the database.
    - `lost`: neither stored nor declared as a gap.
    - `duplicates`: rows beyond the first of a report.
    - `misordered`: a report with an earlier time than the one before it of its node and boot.
    - `declared_gaps`: reports that are missing and that an event in the database says are missing.
    - `max_spool_mb`: the gateway's database at its largest.

    `passed` is True when nothing was lost and nothing is there twice, in any profile.

    Args:
        seconds: About how long the longest profiles take; most of them run at the same time.
        profile: Name of the only one to run.
        nodes: Behind each gateway.
    """
    chosen = [PROFILES[profile]] if profile else list(PROFILES.values())
    results = asyncio.run(_measure(chosen, seconds / WHOLE_S, nodes))
    passed = not any(result["lost"] or result["duplicates"] for result in results)
    return {"profiles": results, "passed": passed}


async def _measure(profiles: Sequence[Profile], scale: float, nodes: int) -> list[dict[str, Any]]:
    async with contextlib.AsyncExitStack() as stack:
        folder, postgres = await stack.enter_async_context(bench_database())
        async with fleet_on(folder, postgres) as bench:
            names = [profile.name for profile in profiles]
            folders = [await bench.enroll_gateway(name) for name in names]
            numbers = await bench.add_nodes(names, nodes, secret_and_salt)
        fleet = FleetProgram(folder / "fleet", postgres.url)
        stack.push_async_callback(fleet.stop)
        link = await fleet.launch()
        engine = make_engine(postgres.url)
        stack.push_async_callback(engine.dispose)
        trials = []
        for index, (profile, gateway_folder) in enumerate(zip(profiles, folders, strict=True)):
            uplink = await stack.enter_async_context(TcpRelay(link, seed=index).running())
            await _prepare(gateway_folder, uplink.address)
            own = numbers[index * nodes : (index + 1) * nodes]
            site = Site(
                nodes=[LossNode(number, INTERVAL_S) for number in own],
                gateway=GatewayProgram(gateway_folder, profile.gateway_module),
                uplink=uplink,
                fleet=fleet,
                postgres=postgres,
                scale=scale,
                chance=random.Random(profile.name),
            )
            trials.append(_Trial(profile, site, engine))
        together = [trial.run() for trial in trials if trial.profile.shares_fleet]
        results = list(await asyncio.gather(*together))
        for trial in trials:
            if not trial.profile.shares_fleet:
                trial.site.uplink.target = link
                results.append(await trial.run())
                link = trial.site.uplink.target
        return results


async def _prepare(folder: Path, link_address: str) -> None:
    """Send a gateway through the relay, and tell it how reports are laid out."""
    config = GatewayConfig(folder)
    box = open_box(config.key_source, config.key_file)
    known = identity.load(config.identity_dir, box)
    identity.save(config.identity_dir, replace(known, link_address=link_address), box)
    database = Database(config.database_path)
    database.start()
    try:
        await SqliteLayouts(database).add(LAYOUT_ID, LAYOUT)
    finally:
        database.close()


@dataclass
class _Trial:
    """One profile on one site."""

    profile: Profile
    site: Site
    engine: AsyncEngine
    max_spool_bytes: int = 0

    async def run(self) -> dict[str, Any]:
        """Let nodes report while things go wrong, then until all is settled; compare."""
        site = self.site
        await site.gateway.launch()
        try:
            async with self._watched():
                for node in site.nodes:
                    await node.start("127.0.0.1", site.gateway.port)
                ends_at = asyncio.get_running_loop().time() + self.profile.seconds * site.scale
                await self.profile.act(site)
                await asyncio.sleep(ends_at - asyncio.get_running_loop().time())
                site.restore()
                for node in site.nodes:
                    node.stop_making()
                return await self._settled()
        finally:
            for node in site.nodes:
                await node.close()
            await site.gateway.stop()

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Note how large the spool gets inside a block."""

        async def watch() -> None:
            while True:
                self.max_spool_bytes = max(self.max_spool_bytes, self.site.gateway.spool_bytes())
                await asyncio.sleep(_LOOK_S)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _settled(self) -> dict[str, Any]:
        """Wait until nothing is missing, or for as long as anything may be under way; compare."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _SETTLE_S
        while True:
            result: dict[str, Any] | None = None
            if not any(node.waiting for node in self.site.nodes) or loop.time() > ends_at:
                # The database may be on its way back.
                with contextlib.suppress(SQLAlchemyError, OSError):
                    result = await self._compare()
            if result is not None and (result["lost"] == 0 or loop.time() > ends_at):
                return result
            await asyncio.sleep(_LOOK_S)

    async def _compare(self) -> dict[str, Any]:
        made = {
            (report.node, report.boot, report.sequence)
            for node in self.site.nodes
            for report in node.made
        }
        numbers = {"numbers": [node.number for node in self.site.nodes]}
        async with self.engine.connect() as connection:
            rows = [tuple(row) for row in await connection.execute(_STORED, numbers)]
            gaps = (await connection.execute(_GAPS, numbers)).all()
        stored: set[Key] = {row[:3] for row in rows}
        declared: set[Key] = {
            (gap.node_number, gap.boot, sequence)
            for gap in gaps
            for sequence in range(int(gap.detail["first"]), int(gap.detail["last"]) + 1)
        }
        return {
            "name": self.profile.name,
            "sent": len(made),
            "stored": len(stored),
            "lost": len(made - stored - declared),
            "duplicates": len(rows) - len(stored),
            "misordered": _misordered(rows),
            "declared_gaps": len((made & declared) - stored),
            "max_spool_mb": round(self.max_spool_bytes / 1e6, 2),
        }


def _misordered(rows: Sequence[tuple[int, ...]]) -> int:
    """Count reports whose time is before that of the one before."""
    return sum(
        earlier[:2] == later[:2] and later[3] < earlier[3]
        for earlier, later in pairwise(sorted(rows))
    )
