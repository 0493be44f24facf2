"""A gateway that answers technicians by its work order, with no uplink."""

import asyncio
import contextlib
import dataclasses
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from gateway_fakes.desired import keys_of
from gateway_fakes.fleet import GATEWAY_NAME, FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_commissioning.claim_code import claim_code_hash
from poleward_commissioning.proof import PROOF_HEADER, TECHNICIAN_HEADER, TIME_HEADER, proof
from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import (
    OrderKeys,
    OrderNode,
    OrderPole,
    WorkOrder,
    signed_part,
)
from poleward_gateway import bootstrap
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import LinkState, NodeNumber
from poleward_gateway.domain.updates import DesiredRelease

SECRET = b"\x07" * 32
CODE = "K7QH2M4X9TRD5BWN"
NUMBER = 9
MAC = f"{NUMBER:012x}"
VISIT = {
    "visit_id": "6e0c3c9a-3b1e-4f6b-9f1e-0f2f8c0d8a11", "mac": MAC, "claim_code": CODE,
    "pole_code": "P-9", "place": {"latitude_deg": 51.5, "longitude_deg": -2.6, "accuracy_m": 5},
}  # fmt: skip
Ask = Callable[..., Any]


def order_of(revision: int = 1, **changes: Any) -> WorkOrder:
    def keys(purpose: str) -> OrderKeys:
        made = keys_of(NUMBER, purpose)
        return OrderKeys(made.master_secret, made.master_salt, made.node_id)

    node = OrderNode(
        NUMBER, MAC, claim_code_hash(MAC, CODE), keys("bootstrap"), keys("operational")
    )
    fields: dict[str, Any] = {
        "gateway_name": GATEWAY_NAME,
        "revision": revision,
        "expires_at_ms": int(time.time() * 1000) + 3_600_000,
        "report_interval_s": 10,
        "page_origin": "http://fleet.example",
        "technicians": {"field": SECRET},
        "nodes": (node,),
        "poles": (
            OrderPole("P-9", 51.5, -2.6, ("lamp",), 60),
            OrderPole("P-8", 51.5, -2.6, ("lamp",), 60, "0000000000aa"),
        ),
    }
    return WorkOrder(**(fields | changes))


def message_of(order: WorkOrder, key: ec.EllipticCurvePrivateKey) -> pb.SignedWorkOrder:
    content = order.to_bytes()
    signature = key.sign(signed_part(content), ec.ECDSA(SHA256()))
    return pb.SignedWorkOrder(content=content, signature=signature)


@contextlib.asynccontextmanager
async def running_with_order(
    config: GatewayConfig, fleet: FakeFleet
) -> AsyncIterator[bootstrap.Gateway]:
    """Run a gateway that has an order and whose fleet is gone."""
    async with bootstrap.running(config) as gateway:
        await asyncio.wait_for(fleet.connected.wait(), 60)
        fleet.send(work_order=message_of(order_of(), fleet.authority.key))
        await until(lambda: gateway.visits.revision == 1, timeout_s=60)
        await fleet.stop()
        yield gateway


@pytest.fixture
async def site(config: GatewayConfig, fleet: FakeFleet) -> AsyncIterator[bootstrap.Gateway]:
    async with running_with_order(dataclasses.replace(config, site_port=0), fleet) as gateway:
        yield gateway


@pytest.fixture
def ask(site: bootstrap.Gateway) -> Ask:
    """Ask as a technician's device; returns the answer's status and content."""
    return lambda *arguments, **named: asyncio.to_thread(
        request, site.site_url, *arguments, **named
    )


def request(
    url: str, method: str, path: str, message: Any = None, *, secret: bytes = SECRET, at_ms: int = 0
) -> tuple[int, Any]:
    body = b"" if message is None else json.dumps(message).encode()
    at_ms = at_ms or int(time.time() * 1000)
    headers = {
        TECHNICIAN_HEADER: "field",
        TIME_HEADER: str(at_ms),
        PROOF_HEADER: proof(secret, method, path, at_ms, body),
    }
    asked = urllib.request.Request(url + path, data=body or None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def verdicts(answer: Any) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in answer["checks"]}


async def report(node: FakeNode, sequence: int, level: int, power_w: float) -> None:
    now_s = int(time.time())
    pack: list[dict[int, Any]] = [
        {-3: now_s, 0: "/26241/0/0", 2: 1},
        {0: "/26241/0/1", 2: sequence},
        {0: "/3416/0/3", 2: level},
        {0: "/3418/0/4", 2: power_w},
        {0: "/3418/0/1", 2: 230.0},
    ]
    await node.send(cbor2.dumps(pack))


async def test_a_whole_visit_without_an_uplink_and_what_the_fleet_is_told(
    site: bootstrap.Gateway, ask: Ask, make_node: MakeNode, fleet: FakeFleet
) -> None:
    status, answer = await ask("POST", "/data/visits", VISIT)
    assert (status, answer["is_told"]) == (200, False)
    assert verdicts(answer)["link"] == "waiting"
    node = await make_node(site.endpoint.port, NUMBER)
    await node.bootstrap()
    await node.register()
    await until(lambda: site.registry.state(NodeNumber(NUMBER)).device is not None)  # type: ignore[union-attr]
    path = f"/data/visits/{VISIT['visit_id']}"
    sequence = iter(range(100))

    def follow(name: str, value: Any) -> None:
        if name == "/3416/0/1":
            watts = {100: 60.0, 20: 12.0}[value]
            reporting.append(
                asyncio.get_running_loop().create_task(report(node, next(sequence), value, watts))
            )

    reporting: list[asyncio.Task[None]] = []
    node.on_write = follow
    status, answer = await ask("POST", f"{path}/blink")
    assert status == 200
    await asyncio.gather(*reporting)
    assert verdicts(answer)["lamp"] == "passed", answer
    status, answer = await ask("GET", path)
    assert verdicts(answer)["link"] == "passed"
    note = {"note": "no voltmeter here"}
    status, answer = await ask("POST", f"{path}/sign-off", note)
    assert status == 200
    signed_at_ms = answer["signed_at_ms"]
    assert signed_at_ms
    assert (await ask("POST", f"{path}/sign-off", note))[1]["signed_at_ms"] == signed_at_ms

    before = len(fleet.visits)
    await fleet.start(fleet.link_port)
    await until(lambda: len(fleet.visits) > before, timeout_s=60)
    told = SiteVisit.from_bytes(fleet.visits[-1].content)
    assert (told.mac, told.pole_code, told.signed_at_ms) == (MAC, "P-9", signed_at_ms)
    assert told.blink_w == (60.0, 12.0)
    fleet.settle(fleet.visits[-1])
    await until(lambda: not site.visits.untold(), timeout_s=60)
    assert (await ask("GET", path))[1]["is_told"] is True


async def test_order_and_visits_survive_a_restart_and_are_sealed(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    served = dataclasses.replace(config, site_port=0)
    own_release = DesiredRelease(b"g" * 32)
    async with running_with_order(served, fleet) as before:
        upkeep = before.upkeep
        await upkeep.apply(dataclasses.replace(upkeep._own_change(), own_release=own_release))
        first = await asyncio.to_thread(request, before.site_url, "POST", "/data/visits", VISIT)
        assert upkeep._store.own_release() == own_release
    assert first[0] == 200
    stored = b"".join(path.read_bytes() for path in config.data_dir.glob("gateway.db*"))
    assert b"is_adopted" in stored
    assert SECRET.hex().encode() not in stored
    assert keys_of(NUMBER, "bootstrap").master_secret.hex().encode() not in stored
    async with bootstrap.running(served) as after:
        assert after.visits.revision == 1
        assert after.registry.desired(NodeNumber(NUMBER)) is not None
        path = f"/data/visits/{VISIT['visit_id']}"
        assert await asyncio.to_thread(request, after.site_url, "GET", path) == first


async def test_a_conflict_takes_the_node_away_again_and_is_shown(
    site: bootstrap.Gateway, ask: Ask, fleet: FakeFleet
) -> None:
    assert (await ask("POST", "/data/visits", VISIT))[0] == 200
    assert site.registry.state(NodeNumber(NUMBER)).link_state is LinkState.BOOTSTRAPPED  # type: ignore[union-attr]
    await fleet.start(fleet.link_port)
    # A whole desired state without the node leaves what the order allowed.
    fleet.desire([], revision=5)
    await until(lambda: bool(fleet.visits), timeout_s=60)
    await until(lambda: site.uplink.desired_revision == 5, timeout_s=60)
    assert site.registry.desired(NodeNumber(NUMBER)) is not None
    fleet.settle(fleet.visits[-1], "node stands in pole P-3")
    await until(lambda: site.registry.desired(NodeNumber(NUMBER)) is None, timeout_s=60)
    status, answer = await ask("GET", f"/data/visits/{VISIT['visit_id']}")
    assert (status, answer["error"]) == (409, "node stands in pole P-3")
    assert not site.visits.untold()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"claim_code": "K7QH2M4X9TRD5BWX"}, 403, "claim code"),
        ({"mac": "0000000000ff"}, 403, "not in the work order"),
        ({"mac": "?"}, 400, "not a MAC"),
        ({"visit_id": "1"}, 400, "UUID"),
        ({"pole_code": "P-1"}, 409, "not in the work order"),
        ({"pole_code": "P-8"}, 409, "say that it is swapped"),
        ({"new_pole": {"area_code": "1"}}, 400, "needs the fleet"),
        ({"place": {"latitude_deg": 51.6, "longitude_deg": -2.6, "accuracy_m": 5}}, 409, "away"),
        ({"place": {"latitude_deg": 91, "longitude_deg": 0, "accuracy_m": 5}}, 400, "no sense"),
    ],
)
async def test_what_the_order_does_not_allow_is_refused(
    ask: Ask, change: dict[str, Any], status: int, words: str
) -> None:
    got, answer = await ask("POST", "/data/visits", VISIT | change)
    assert (got, words in answer["error"]) == (status, True), answer


async def test_who_cannot_prove_it_gets_nothing(site: bootstrap.Gateway, ask: Ask) -> None:
    path = "/data/visits"
    assert (await ask("POST", path, VISIT, secret=b"\x08" * 32))[0] == 401
    assert (await ask("POST", path, VISIT, at_ms=1))[0] == 401
    assert (await ask("GET", f"{path}/1"))[0] == 404
    assert (await ask("DELETE", f"{path}/1"))[0] == 404
    assert (await ask("POST", path, ["x" * 20_000]))[0] == 400
    assert not site.visits.untold()


async def test_an_order_that_the_fleet_did_not_sign_or_that_is_older_is_left(
    site: bootstrap.Gateway, ask: Ask, fleet: FakeFleet
) -> None:
    fleet.connected.clear()
    await fleet.start(fleet.link_port)
    await asyncio.wait_for(fleet.connected.wait(), 60)
    key = fleet.authority.key
    stranger = ec.generate_private_key(ec.SECP256R1())
    fleet.send(work_order=message_of(order_of(7), stranger))
    fleet.send(work_order=message_of(order_of(8, gateway_name="gw-other"), key))
    fleet.send(work_order=message_of(order_of(1, technicians={}), key))
    # Revoked: the next of this gateway allows nothing.
    fleet.send(work_order=message_of(order_of(2, technicians={}, nodes=(), poles=()), key))
    await until(lambda: site.visits.revision == 2, timeout_s=60)
    assert (await ask("POST", "/data/visits", VISIT))[0] == 401
