"""The benchmark `rollout`: plan an update of a city, offer it node by node, stop it.

Not what nodes do with it (`ota-fleet`) and not the wire: the gateways' ends of the links are in
this process and confirm what they are asked for at once. Database and durability are real.
"""

import asyncio
import resource
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from poleward_fleet.domain.gateway_link import Hello, NodeState, NodeUpdate
from poleward_fleet.domain.identity import DesiredState
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.rollout_policy import Policy, Target, Wave
from poleward_manifest.signatures import public_bytes
from poleward_manifest.trust import NEVER_S, Role, TrustDocument, sign
from poleward_tools.bench.bench_fleet import BENCHMARKER, BenchFleet, bench_fleet

SECONDS = 10.0
NODES = 100_000
_NODES_PER_GATEWAY = 500
_CONCURRENCY = 5_000
_CANARIES = 20
_SEQUENCE = 2
_VERSION = "2.0.0"
_DIGEST = bytes(range(32))
_WATCH_AFTER_STOP_S = 2.0
_RELEASE = text(
    "INSERT INTO release (digest, version, sequence, board_profile, bundle_digest, bundle_bytes, "
    "notes, published_at_ms) "
    "VALUES (:digest, :version, :sequence, 'pole-basic', :digest, 60000, '', 1)"
)


@dataclass(slots=True)
class _Offers:
    """What the gateways were asked for: nodes in total and when the last of them.

    Args:
        gateways_away: those that were not yet told everything about their nodes.
    """

    gateways_away: int
    nodes: int = 0
    last_at_s: float = 0.0
    some: asyncio.Event = field(default_factory=asyncio.Event)
    connected: asyncio.Event = field(default_factory=asyncio.Event)


def run(*, seconds: float = SECONDS, nodes: int = NODES) -> dict[str, Any]:
    """Roll out for `seconds`, then abort; return the figures.

    - `plan_s`: creating the rollout, with its list of nodes, until the answer.
    - `dispatch_per_s`: nodes whose gateway was told, with a directive, from creation until the
      stop.
    - `stop_reaction_ms`: from the order to abort until it is confirmed and the last node offered.
    - `rss_mb`: most memory that this process, which is the fleet, ever had.
    """
    return asyncio.run(_measure(seconds, nodes))


async def _measure(seconds: float, nodes: int) -> dict[str, Any]:
    async with bench_fleet() as bench:
        per_gateway = min(nodes, _NODES_PER_GATEWAY)
        names = [f"gw-{i + 1}" for i in range(nodes // per_gateway)]
        await bench.add_gateways(names)
        await bench.add_nodes(names, per_gateway)
        async with bench.engine.begin() as connection:
            await connection.execute(
                _RELEASE, {"digest": _DIGEST, "version": _VERSION, "sequence": _SEQUENCE}
            )
            await connection.execute(text("ANALYZE"))  # as autovacuum has done in a city
        await _ask_for_directives(bench)
        offers = _Offers(gateways_away=len(names))
        gateways = [asyncio.create_task(_gateway(bench, name, offers)) for name in names]
        try:
            await offers.connected.wait()
            return await _roll_out(bench, offers, seconds, nodes)
        finally:
            for gateway in gateways:
                gateway.cancel()
            await asyncio.gather(*gateways, return_exceptions=True)


async def _ask_for_directives(bench: BenchFleet) -> None:
    """Publish a trust document, so that the fleet signs a directive for each offer."""
    trust = bench.fleet.trust
    await trust.make_first_directive_key()
    (director,) = (await trust.trust(BENCHMARKER)).directive_keys
    key = Ed25519PrivateKey.generate()
    role = Role((public_bytes(key),), 1)
    await trust.trust_key(BENCHMARKER, public_bytes(key), "bench")
    directors = Role((director.public_key,), 1)
    document = TrustDocument(1, NEVER_S, role, role, directors)
    await trust.publish(BENCHMARKER, sign(document, [key]))


async def _roll_out(
    bench: BenchFleet, offers: _Offers, seconds: float, nodes: int
) -> dict[str, Any]:
    rollouts = bench.fleet.rollouts
    began_at_s = time.perf_counter()
    policy = Policy(
        waves=(Wave(nodes=_CANARIES, success_percent=90), Wave()),
        concurrency=max(1, min(_CONCURRENCY, nodes // 2)),
        gateway_concurrency=_NODES_PER_GATEWAY,
    )
    rollout = await rollouts.create(BENCHMARKER, _DIGEST, Target(), policy)
    planned_at_s = time.perf_counter()
    while offers.nodes < nodes and (left_s := planned_at_s + seconds - time.perf_counter()) > 0:
        offers.some.clear()
        try:
            async with asyncio.timeout(left_s):
                await offers.some.wait()
        except TimeoutError:
            break
    dispatched, stop_at_s = offers.nodes, time.perf_counter()
    if dispatched == nodes:
        stop_at_s = offers.last_at_s  # it was quicker than `seconds`
    stop_reaction_ms = 0.0
    if dispatched < nodes:
        await rollouts.abort(BENCHMARKER, rollout.number)
        stopped_at_s = time.perf_counter()
        await asyncio.sleep(_WATCH_AFTER_STOP_S)
        stop_reaction_ms = (max(stopped_at_s, offers.last_at_s) - stop_at_s) * 1000
    return {
        "plan_s": round(planned_at_s - began_at_s, 3),
        "dispatch_per_s": round(dispatched / (stop_at_s - planned_at_s)),
        "stop_reaction_ms": round(stop_reaction_ms, 1),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


async def _gateway(bench: BenchFleet, name: str, offers: _Offers) -> None:
    """Be a gateway whose nodes all install at once."""
    links = bench.fleet.links
    link, _ = await links.open(name, Hello("bench", "bench", 0, "coap://127.0.0.1:5683"))
    try:
        async for message in links.messages(link):
            if not isinstance(message, DesiredState):
                continue
            if message.complete:
                offers.gateways_away -= 1
                if not offers.gateways_away:
                    offers.connected.set()
                continue
            wanted = [n.node_number for n in message.nodes if n.release.directive]
            if not wanted:
                continue
            offers.nodes += len(wanted)
            offers.last_at_s = time.perf_counter()
            offers.some.set()
            await bench.fleet.ingest.states(link, [_confirmed(number) for number in wanted])
    finally:
        links.close(link)


def _confirmed(number: int) -> NodeState:
    return NodeState(
        node_number=number,
        link_state=LinkState.ONLINE,
        heard_at_ms=int(time.time() * 1000),
        bundle_version=_VERSION,
        release_sequence=_SEQUENCE,
        update=NodeUpdate(_DIGEST, NodeStage.CONFIRMED, ""),
    )
