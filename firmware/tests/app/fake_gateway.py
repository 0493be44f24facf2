"""A gateway for one node, made of aiocoap: what the node is held against in these tests.

Not the gateway: it forgets everything, and answers wrongly when a test says so.
"""

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import aiocoap
import cbor2
from aiocoap import oscore, resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

_DEADLINE_S = 60
SENML = 112
LABELS = {"bn": -2, "bt": -3, "n": 0, "v": 2, "vs": 3, "vb": 4, "t": 6, "vd": 8}

READINGS = (
    "/3416/0/3", "/3418/0/1", "/3418/0/2", "/3418/0/4", "/3418/0/5", "/3418/0/6", "/3303/0/5700",
    "/3304/0/5700", "/3428/0/3", "/3301/0/5700",
)  # fmt: skip


class MemoryContext(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """An OSCORE context without a file."""

    alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
    hashfun = oscore.hashfunctions["sha256"]
    id_context = None

    def __init__(self, secret: bytes, salt: bytes, recipient_id: bytes) -> None:
        self.sender_id = b"\x00"
        self.recipient_id = recipient_id
        self.derive_keys(salt, secret)
        self.sender_sequence_number = 0
        self.echo_recovery = secrets.token_bytes(8)
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        """Nothing to keep."""


class Root(resource.Resource):
    """Every path; calls `answer(request)`."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        super().__init__()
        self._answer = answer

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        return await self._answer(request)


def senml(records: dict[str, object]) -> bytes:
    """Encode {path: value} as a pack."""
    pack = []
    for path, value in records.items():
        kind = {bool: "vb", str: "vs", bytes: "vd"}.get(type(value), "v")
        entry: dict[object, object] = {LABELS["n"]: path}
        if value is not None:
            entry["vlo" if isinstance(value, Link) else LABELS[kind]] = value
        pack.append(entry)
    return cbor2.dumps(pack)


class Link(str):
    """An object link."""


def read_senml(payload: bytes) -> dict[str, Any]:
    """Decode a pack into {path: value}; the base time is under "bt"."""
    found: dict[str, Any] = {}
    base = ""
    for record in cbor2.loads(payload):
        base = record.get(LABELS["bn"], base)
        if LABELS["bt"] in record:
            found["bt"] = record[LABELS["bt"]]
        values = [
            record[label]
            for label in (LABELS["v"], LABELS["vs"], LABELS["vb"], LABELS["vd"], "vlo")
            if label in record
        ]
        found[base + record.get(LABELS["n"], "")] = values[0]
    return found


class FakeGateway:
    """Serves one node and speaks to it.

    Attributes:
        registrations: Query and links of each registration.
        reports, events: Decoded packs that were acknowledged.
        received: Decoded packs as they came, acknowledged or not.
        dp_codes: Codes to answer the next Sends with instead of 2.04; None for silence.
        does_refuse_updates: Registration updates are answered 4.04.
    """

    def __init__(self, mac: bytes, bs_secret: bytes, bs_salt: bytes, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            self.port: int = probe.getsockname()[1]
        self._host = host
        self.uri = f"coap://[{host}]:{self.port}" if ":" in host else f"coap://{host}:{self.port}"
        self.mac = mac
        self._bs_context = MemoryContext(bs_secret, bs_salt, mac)
        self.context: MemoryContext | None = None
        self.registrations: list[tuple[tuple[str, ...], str]] = []
        self.bootstraps = 0
        self.reports: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.updates = 0
        self.deregistrations = 0
        self.dp_codes: list[aiocoap.Code | None] = []
        self.does_refuse_updates = False
        self.does_write_after_registration = True
        self.files: dict[tuple[str, ...], bytes] = {}
        self.address: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        self._credentials = CredentialsMap()
        self._credentials[":bs"] = self._bs_context
        if self.context is not None:
            self._credentials[":op"] = self.context
        self._coap = await aiocoap.Context.create_server_context(
            OscoreSiteWrapper(Root(self._answer), self._credentials),
            bind=(self._host, self.port), transports=["oscore", "udp6"],
        )  # fmt: skip

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What arrived in the last moment is taken, so that no coroutine is left unstarted.
        await asyncio.sleep(0)
        await self._coap.shutdown()

    def forget_context(self) -> None:
        """Lose the operational keys."""
        self._credentials.pop(":op", None)
        self.context = None

    async def until(self, condition: Callable[[], object], timeout_s: float = _DEADLINE_S) -> None:
        """Wait for something that the node does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._changed.clear()
            left = deadline - time.monotonic()
            assert left > 0, "the node did not do it in time"
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 0.2))
            except TimeoutError:
                pass

    async def call(
        self, code: aiocoap.Code, path: str, payload: bytes = b"", **options: Any
    ) -> aiocoap.Message:
        """Send a request to the node where it was heard last."""
        request = aiocoap.Message(code=code, payload=payload, **options)
        request.opt.uri_path = tuple(segment for segment in path.split("/") if segment)
        request.remote = self.address
        return await asyncio.wait_for(self._coap.request(request).response, _DEADLINE_S)

    async def read(self, path: str) -> dict[str, Any]:
        response = await self.call(aiocoap.GET, path, accept=SENML)
        assert response.code == aiocoap.CONTENT, response
        return read_senml(response.payload)

    async def write(self, records: dict[str, object]) -> aiocoap.Code:
        response = await self.call(aiocoap.iPATCH, "/", senml(records), content_format=SENML)
        return response.code

    async def execute(self, path: str) -> aiocoap.Code:
        return (await self.call(aiocoap.POST, path)).code

    def observe(self, path: str) -> Any:
        request = aiocoap.Message(code=aiocoap.GET, observe=0, accept=SENML)
        request.opt.uri_path = tuple(segment for segment in path.split("/") if segment)
        request.remote = self.address
        return self._coap.request(request)

    async def _answer(self, request: aiocoap.Message) -> aiocoap.Message:
        answers = {"bs": self._bootstrap, "rd": self._registration, "dp": self._send}
        return await answers.get(request.opt.uri_path[0], self._file)(request)

    async def _bootstrap(self, request: aiocoap.Message) -> aiocoap.Message:
        assert f"ep=urn:dev:mac:{self.mac.hex()}" in request.opt.uri_query
        self.address = request.remote
        self._start(self._write_account())
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def _write_account(self) -> None:
        secret, salt = secrets.token_bytes(16), secrets.token_bytes(8)
        for path in ("/0", "/1", "/21"):
            await self.call(aiocoap.DELETE, path)
        for path, records in (
            (
                "/0/1",
                {
                    "0": self.uri, "1": False, "2": 0, "10": 101, "17": Link("21:1"),
                },
            ),
            ("/1/1", {"0": 101, "1": 300, "6": False, "7": "U"}),
            ("/21/1", {"0": secret, "1": b"\x07", "2": b"\x00", "5": salt}),
        ):  # fmt: skip
            pack = senml({f"{path}/{name}": value for name, value in records.items()})
            response = await self.call(aiocoap.PUT, path, pack, content_format=SENML)
            assert response.code == aiocoap.CHANGED, response
        self.context = MemoryContext(secret, salt, b"\x07")
        self._credentials[":op"] = self.context
        response = await self.call(aiocoap.POST, "/bs")
        assert response.code == aiocoap.CHANGED, response
        self.bootstraps += 1
        self._changed.set()

    async def _registration(self, request: aiocoap.Message) -> aiocoap.Message:
        if request.code == aiocoap.DELETE:
            self.deregistrations += 1
            return aiocoap.Message(code=aiocoap.DELETED)
        self.address = request.remote
        if len(request.opt.uri_path) > 1:
            self.updates += 1
            self._changed.set()
            refuses, self.does_refuse_updates = self.does_refuse_updates, False
            return aiocoap.Message(code=aiocoap.NOT_FOUND if refuses else aiocoap.CHANGED)
        self.registrations.append((request.opt.uri_query, request.payload.decode()))
        self._changed.set()
        if self.does_write_after_registration:
            self._start(self._settle())
        response = aiocoap.Message(code=aiocoap.CREATED)
        response.opt.location_path = ("rd", str(len(self.registrations)))
        return response

    async def _settle(self) -> None:
        """What the gateway writes after each registration."""
        code = await self.write(
            {"/1/0/23": False, "/3/0/13": int(time.time()), "/26241/0/3": 1, "/3416/0/36": 60}
        )
        assert code == aiocoap.CHANGED

    async def _send(self, request: aiocoap.Message) -> aiocoap.Message:
        assert request.opt.content_format == SENML
        pack = read_senml(request.payload)
        pack["bytes"] = len(request.payload)
        if "/26241/0/4" in pack:
            pack["layout id"], *values = cbor2.loads(pack["/26241/0/4"])
            pack.update(zip(READINGS, values, strict=True))
        self.received.append(pack)
        self._changed.set()
        code = self.dp_codes.pop(0) if self.dp_codes else aiocoap.CHANGED
        if code is None:
            await asyncio.sleep(3600)
        if code == aiocoap.CHANGED:
            (self.events if "/26242/0/0" in pack else self.reports).append(pack)
        return aiocoap.Message(code=code)

    async def _file(self, request: aiocoap.Message) -> aiocoap.Message:
        contents = self.files.get(request.opt.uri_path)
        if contents is None:
            return aiocoap.Message(code=aiocoap.NOT_FOUND)
        return aiocoap.Message(code=aiocoap.CONTENT, payload=contents)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_float32(value: float) -> bool:
    """Tell whether a value survives single precision."""
    return bool(struct.unpack(">f", struct.pack(">f", value))[0] == value)
