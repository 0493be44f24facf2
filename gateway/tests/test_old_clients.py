"""LwM2M 1.0 clients without OSCORE: TLV, plain text, single writes, both splittings of names."""

import contextlib
import struct
from typing import Any

import cbor2
import pytest
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import NON
from gateway_fakes.desired import desired_node, keys_of
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, until
from hypothesis import given
from hypothesis import strategies as st

from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link import tlv
from poleward_gateway.adapters.node_link.lwm2m_client import Lwm2mClient
from poleward_gateway.adapters.node_link.senml import ObjectLink
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import NodeNumber

TLV, TEXT = 11542, 0


class OldClient(FakeNode):
    """A client of LwM2M 1.0: no SenML, no composite operations, objects 3 and 5 only."""

    def __init__(self, gateway: tuple[str, int]) -> None:
        super().__init__(f"urn:dev:mac:{1:012x}", keys_of(1, "bootstrap"), gateway)
        self.insecure = True
        self.resources = {
            "/3/0/0": b"Old Lamps", "/3/0/1": b"L-1", "/3/0/3": b"0.9", "/3/0/13": b"\x00",
            "/5/0/3": b"\x00", "/5/0/5": b"\x00",
        }  # fmt: skip
        self.tokens: dict[str, bytes] = {}

    def _act(self, request: Any) -> Any:
        path = "/" + "/".join(request.opt.uri_path)
        if request.code == codes.GET:
            if request.opt.accept not in (None, TLV):
                return Message(code=codes.NOT_ACCEPTABLE)
            found = {name: v for name, v in self.resources.items() if f"{name}/".startswith(path)}
            if not found:
                return Message(code=codes.NOT_FOUND)
            if path in found:
                # A single resource, which 1.0 clients answer in text whatever they are asked.
                payload, content_format = str(found[path][0]).encode(), TEXT
            else:
                payload, content_format = encode(found), TLV
            answer = Message(code=codes.CONTENT, payload=payload, content_format=content_format)
            if request.opt.observe == 0:
                self.tokens[path] = request.token
                answer.opt.observe = 0
            return answer
        if request.code == codes.PUT and path in self.resources:
            if request.opt.content_format != TEXT:
                return Message(code=codes.UNSUPPORTED_CONTENT_FORMAT)
            self.writes.append((path, request.payload))
            return Message(code=codes.CHANGED)
        if request.code == codes.POST:
            return super()._act(request)
        return Message(code=codes.METHOD_NOT_ALLOWED)

    def notify(self, path: str, value: Any) -> None:
        self._mid = (self._mid + 1) & 0xFFFF
        message = Message(code=codes.CONTENT, payload=str(value).encode(), content_format=TEXT)
        message.opt.observe = 1
        message.mid, message.mtype, message.token = self._mid, NON, self.tokens[path]
        self._transport.sendto(message.encode())


def encode(resources: dict[str, bytes]) -> bytes:
    """Encode the resources of an instance."""
    encoded = b""
    for path, value in resources.items():
        identifier = int(path.rsplit("/", 1)[1])
        if len(value) < 8:
            encoded += bytes((0xC0 | len(value), identifier)) + value
        else:
            encoded += bytes((0xC8, identifier, len(value))) + value
    return encoded


async def test_a_client_of_lwm2m_1_0_registers_and_is_read_written_observed_and_updated(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    insecure = GatewayConfig(config.data_dir, coap_port=0, insecure_nosec=True)
    async with bootstrap.running(insecure) as gateway:
        await until(lambda: len(gateway.table) == 2)
        client = OldClient(("127.0.0.1", gateway.endpoint.port))
        await client.open()
        try:
            await client.register()
            await until(lambda: 1 in fleet.states and fleet.states[1].bundle_version == "0.9")
            state = gateway.registry.state(NodeNumber(1))
            assert state is not None
            assert state.device is not None
            assert state.device.manufacturer == "Old Lamps"
            # The clock was set, as text; what the client does not have was left alone.
            assert [path for path, _ in client.writes] == ["/3/0/13"]
            assert int(client.writes[0][1]) > 1_700_000_000
            link = Lwm2mClient(gateway.endpoint, gateway.table, gateway.registry)
            changes: list[None] = []
            await link.watch_update(NodeNumber(1), lambda: changes.append(None))
            client.notify("/5/0/3", 1)
            await until(lambda: len(changes) == 1)
            location = tuple(client.location.split("/"))
            response = await client.request(None, codes.POST, location, query=("lt=60",))
            assert response.code == codes.CHANGED
            # At an address that nobody registered from, as after the gateway's restart.
            await client.move()
            response = await client.request(None, codes.POST, location, query=("lt=60",))
            assert response.code == codes.NOT_FOUND
            await client.register()
            response = await client.request(None, codes.DELETE, location)
            assert response.code == codes.DELETED
            assert not gateway.registry.is_registered(NodeNumber(1))
        finally:
            client.close()


@pytest.mark.parametrize(
    ("base", "names"),
    [
        ("/3418/0/", ("1", "4")),
        ("/3418/0", ("/1", "/4")),
        ("", ("/3418/0/1", "/3418/0/4")),
        ("/", ("3418/0/1", "3418/0/4")),
    ],
)
async def test_names_are_read_however_they_are_split(
    config: GatewayConfig, fleet: FakeFleet, base: str, names: tuple[str, str]
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    insecure = GatewayConfig(config.data_dir, coap_port=0, insecure_nosec=True)
    async with bootstrap.running(insecure) as gateway:
        await until(lambda: len(gateway.table) == 2)
        client = OldClient(("127.0.0.1", gateway.endpoint.port))
        await client.open()
        try:
            await client.register()
            pack = [
                {-2: "/26241/0/", -3: 1_790_000_000, 0: "0", 2: 1},
                {0: "1", 2: 0},
                {-2: base, 0: names[0], 2: 230},
                {0: names[1], 2: 42.5},
            ]
            assert (await client.send(cbor2.dumps(pack))).code == codes.CHANGED
            await until(lambda: (1, 1, 0) in fleet.reports)
            assert tuple(fleet.reports[(1, 1, 0)].values) == (230.0, 42.5)
        finally:
            client.close()


def test_tlv_is_read_by_the_types_of_the_objects() -> None:
    # The first is the example of OMA LwM2M TS Core 1.1, 7.4.3.1: a read of /3/0.
    device = encode({"/3/0/0": b"Open Mobile Alliance", "/3/0/13": bytes.fromhex("5182428f")})
    assert tlv.decode(device, "/3/0") == {
        "/3/0/0": "Open Mobile Alliance",
        "/3/0/13": 0x5182428F,
    }
    instance = b"\x08\x00" + bytes([len(device)]) + device
    assert tlv.decode(instance, "/3") == tlv.decode(device, "/3/0")
    power = b"\xc4\x01" + struct.pack(">f", 230.5)
    assert tlv.decode(power, "/3418/0") == {"/3418/0/1": 230.5}
    multiple = b"\x86\x06\x41\x00\x01\x41\x01\x05"
    assert tlv.decode(multiple, "/3/0") == {"/3/0/6/0": b"\x01", "/3/0/6/1": b"\x05"}
    assert tlv.from_text(b"0:1", "/0/0/17") == ObjectLink("0:1")
    assert tlv.from_text(b"1", "/1/0/23") is True
    with pytest.raises(tlv.TlvError, match="no value"):
        tlv.from_text(b"x", "/3/0/13")


@given(st.binary(max_size=60), st.sampled_from(["/3", "/3/0", "/3/0/13", "/99/0"]))
def test_whatever_comes_as_tlv_is_read_or_refused(payload: bytes, path: str) -> None:
    with contextlib.suppress(tlv.TlvError):
        tlv.decode(payload, path)
