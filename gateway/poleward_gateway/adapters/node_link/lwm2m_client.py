"""Asks nodes for things: LwM2M device management (OMA LwM2M TS Core 1.1, 6.3); port NodeLink.

Not bootstrap (bootstrap_server.py) and not what nodes ask for (resources.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiocoap.message import Message
from aiocoap.numbers import codes

from nodelink import firmware_update
from nodelink.release_format import PATH_RELEASES
from poleward_gateway.adapters.node_link import senml, tlv
from poleward_gateway.adapters.node_link.endpoint import (
    ANSWER_TIMEOUT_S,
    NodeEndpoint,
    Observation,
)
from poleward_gateway.adapters.node_link.security import Context, SecurityTable
from poleward_gateway.adapters.node_link.senml import SENML_CBOR, Value
from poleward_gateway.domain.errors import NodeRefusedError, NodeUnreachableError
from poleward_gateway.domain.lighting import NodeProgram
from poleward_gateway.domain.nodes import DeviceFacts, NodeNumber
from poleward_gateway.domain.updates import PackageResult, PackageState, UpdateReadout
from poleward_gateway.services.registry import Registry

_PARTING_TIMEOUT_S = 3.0
"""A node that does not answer bootstraps by itself once its keys are refused."""
_NOT_FOUND = "4.04"
_ABSENT = {_NOT_FOUND, "4.05"}
_CANNOT_SENML = {"4.06", "4.15"}

_PACKAGE_URI = f"coap:///{PATH_RELEASES}/"
_PACKAGE_STATES = {
    firmware_update.STATE_IDLE: PackageState.IDLE,
    firmware_update.STATE_DOWNLOADING: PackageState.DOWNLOADING,
    firmware_update.STATE_DOWNLOADED: PackageState.DOWNLOADED,
    firmware_update.STATE_UPDATING: PackageState.UPDATING,
}
_PACKAGE_RESULTS = {
    firmware_update.RESULT_INITIAL: PackageResult.NONE,
    firmware_update.RESULT_SUCCESS: PackageResult.SUCCESS,
    firmware_update.RESULT_NO_FLASH: PackageResult.NO_ROOM,
    firmware_update.RESULT_NO_RAM: PackageResult.NO_ROOM,
    firmware_update.RESULT_LINK_LOST: PackageResult.LINK_LOST,
    firmware_update.RESULT_INTEGRITY: PackageResult.REFUSED,
    firmware_update.RESULT_UNSUPPORTED_PACKAGE: PackageResult.REFUSED,
    firmware_update.RESULT_DEFERRED: PackageResult.STALE,
}


class Lwm2mClient:
    """Implements the port NodeLink over the node's operational context.

    A request to a node in queue mode is held until the node is heard.
    """

    def __init__(self, endpoint: NodeEndpoint, table: SecurityTable, registry: Registry) -> None:
        self._endpoint = endpoint
        self._table = table
        self._registry = registry
        self._watches: dict[NodeNumber, list[Observation]] = {}

    async def settle(
        self, node: NodeNumber, *, report_interval_s: int, lamp_nominal_w: int, now_s: int
    ) -> DeviceFacts:
        """Make a node that just registered ready and read what it is."""
        for watch in self._watches.pop(node, []):
            watch.stop()
        context = await self._context(node)
        # Mute Send first: absent or true, it keeps the node from reporting.
        await self._write(context, "/1/0/23", False, absent_is_fine=True)
        await self._write(context, "/3/0/13", now_s, absent_is_fine=True)
        await self._write(context, "/26241/0/3", report_interval_s, absent_is_fine=True)
        if lamp_nominal_w:
            await self._write(context, "/3416/0/36", lamp_nominal_w, absent_is_fine=True)
        device = await self._read(context, "/3/0")
        release = await self._read(context, "/26243/0", absent_is_fine=True)
        return DeviceFacts(
            manufacturer=_text(device.get("/3/0/0")),
            model=_text(device.get("/3/0/1")),
            hardware_version=_text(device.get("/3/0/18")),
            bundle_version=_text(device.get("/3/0/3")),
            release_sequence=_integer(release.get("/26243/0/0")),
            on_trial=release.get("/26243/0/2") is True,
            last_failure=_text(release.get("/26243/0/3")),
            trust_version=(_integer(release["/26243/0/4"]) if "/26243/0/4" in release else None),
        )

    async def ask_to_register(self, node: NodeNumber) -> None:
        """Execute Registration Update Trigger."""
        await self._execute(await self._context(node), ("1", "0", "8"))

    async def ask_to_bootstrap(self, node: NodeNumber) -> None:
        """Execute Bootstrap-Request Trigger."""
        context = await self._context(node)
        await self._execute(context, ("1", "0", "9"), timeout_s=_PARTING_TIMEOUT_S)

    async def wipe(self, node: NodeNumber) -> None:
        """Execute Factory Reset, the one thing that a farewell context is for."""
        context = self._table.farewell(node)
        if context is None:
            raise NodeUnreachableError(f"the gateway has no keys for node {node}")
        await self._execute(context, ("3", "0", "5"))

    async def write_time(self, node: NodeNumber, now_s: int) -> None:
        """Set the node's clock."""
        await self._write(await self._context(node), "/3/0/13", now_s)

    async def set_lamp(
        self,
        node: NodeNumber,
        *,
        instance: int,
        level_percent: int,
        override_until_s: int,
        starts_at_s: int,
        fade_ms: int,
        deadline_s: int,
        give_up_after_s: float,
    ) -> None:
        """Override a lamp in one composite write that carries its own deadline."""
        lamp = f"/3416/{instance}"
        records: list[tuple[str, Value]] = [("/26244/0/0", deadline_s)]
        if starts_at_s:
            records.append((f"{lamp}/50", starts_at_s))
        records.append((f"{lamp}/51", override_until_s))
        if fade_ms:
            records.append((f"{lamp}/52", fade_ms / 1000))
        records.append((f"{lamp}/1", level_percent))
        await self._composite(
            await self._context(node, hold_s=give_up_after_s), records, timeout_s=give_up_after_s
        )

    async def answer_call(self, node: NodeNumber, *, reset: bool, give_up_after_s: float) -> None:
        """Execute Accept or Reset of object 26246."""
        path = ("26246", "0", "4" if reset else "3")
        context = await self._context(node, hold_s=give_up_after_s)
        await self._execute(context, path, timeout_s=give_up_after_s)

    async def read_program_name(self, node: NodeNumber) -> str:
        """Read the name in object 26245; empty for none."""
        path = "/26245/0/0"
        return _text((await self._read(await self._context(node), path)).get(path))

    async def write_program(self, node: NodeNumber, program: NodeProgram) -> None:
        """Replace object 26245 in one composite write."""
        values: tuple[Value, ...] = (
            program.name,
            program.rules,
            program.latitude_deg,
            program.longitude_deg,
            program.utc_offset_s,
            program.next_offset_at_s,
            program.next_offset_s,
        )
        records = [(f"/26245/0/{resource}", value) for resource, value in enumerate(values)]
        await self._composite(await self._context(node), records)

    async def reboot(self, node: NodeNumber, *, deadline_s: int, give_up_after_s: float) -> None:
        """Restart a node; the deadline is kept by giving up."""
        context = await self._context(node, hold_s=give_up_after_s)
        await self._execute(context, ("3", "0", "4"), timeout_s=give_up_after_s)

    async def read_update(self, node: NodeNumber) -> UpdateReadout:
        """Read objects 5 and 26243."""
        context = await self._context(node)
        package = await self._read(context, "/5/0")
        release = await self._read(context, "/26243/0", absent_is_fine=True)
        return UpdateReadout(
            package_state=_PACKAGE_STATES.get(_integer(package.get("/5/0/3")), PackageState.IDLE),
            package_result=_PACKAGE_RESULTS.get(
                _integer(package.get("/5/0/5")), PackageResult.FAILED
            ),
            sequence=_integer(release.get("/26243/0/0")),
            on_trial=release.get("/26243/0/2") is True,
            explanation=_text(release.get("/26243/0/3")),
            package=_package(package.get("/5/0/1")),
        )

    async def read_layout(self, node: NodeNumber) -> str:
        """Read how the node's reports are laid out (resource 5 of object 26241).

        Raises:
            NodeError: The node cannot be reached or does not say.
        """
        path = "/26241/0/5"
        return _text((await self._read(await self._context(node), path)).get(path))

    async def announce_trust(self, node: NodeNumber, version: int) -> None:
        """Write the number of the newest trust document."""
        await self._write(await self._context(node), "/26243/0/4", version)

    async def offer_release(self, node: NodeNumber, envelope_digest: bytes) -> None:
        """Write the package's URI; without an authority it is this gateway."""
        uri = _PACKAGE_URI + envelope_digest.hex()
        await self._write(await self._context(node), "/5/0/1", uri)

    async def take_offer_back(self, node: NodeNumber) -> None:
        """Write an empty package URI, which resets the updater (OMA TS Core 1.1, E.6)."""
        await self._write(await self._context(node), "/5/0/1", "")

    async def install(self, node: NodeNumber) -> None:
        """Execute the update."""
        await self._execute(await self._context(node), ("5", "0", "2"))

    async def watch_update(self, node: NodeNumber, on_change: Callable[[], None]) -> None:
        """Observe state and result of object 5 until the node registers again."""
        context = await self._context(node)
        for watch in self._watches.pop(node, []):
            watch.stop()
        watches = self._watches[node] = []
        for resource in ("3", "5"):
            observation = Observation(lambda _: on_change())
            await self._get(context, f"/5/0/{resource}", observation)
            watches.append(observation)

    async def _context(self, node: NodeNumber, *, hold_s: float = ANSWER_TIMEOUT_S) -> Context:
        """Return the context for a node, when it listens.

        Raises:
            NodeUnreachableError: The gateway has no keys for it, or it sleeps on.
        """
        try:
            async with asyncio.timeout(hold_s):
                await self._registry.awake(node)
        except TimeoutError as error:
            raise NodeUnreachableError(
                f"node {node} sleeps and was not heard within {hold_s:.0f} s"
            ) from error
        context = self._table.operational(node)
        if context is None:
            raise NodeUnreachableError(f"the gateway has no operational keys for node {node}")
        return context

    async def _read(
        self, context: Context, path: str, *, absent_is_fine: bool = False
    ) -> dict[str, Value]:
        """Read an instance or a resource in whatever format the node has; return values by path."""
        try:
            response = await self._get(context, path)
        except NodeRefusedError as error:
            if absent_is_fine and error.code == _NOT_FOUND:
                return {}
            raise
        payload, content_format = response.payload, response.opt.content_format
        try:
            if content_format == tlv.TLV:
                return tlv.decode(payload, path)
            if content_format in (tlv.TEXT, None):
                return {path: tlv.from_text(payload, path)}
            return {record.path: record.value for record in senml.decode(payload)}
        except (senml.SenmlError, tlv.TlvError) as error:
            raise NodeRefusedError(
                f"node {context.node} answered a read of {path} with something else: {error}",
                code=response.code.dotted,
            ) from error

    async def _get(
        self, context: Context, path: str, observation: Observation | None = None
    ) -> Any:
        """Ask for SenML-CBOR, and for TLV where the node is of LwM2M 1.0 and knows only that."""
        request = Message(code=codes.GET, uri_path=_segments(path), accept=SENML_CBOR)
        if observation is not None:
            request.opt.observe = 0
        try:
            return await self._endpoint.request(context, request, observation=observation)
        except NodeRefusedError as error:
            if error.code not in _CANNOT_SENML:
                raise
        request = request.copy(accept=tlv.TLV)
        return await self._endpoint.request(context, request, observation=observation)

    async def _write(
        self, context: Context, path: str, value: Value, *, absent_is_fine: bool = False
    ) -> None:
        """Write one resource; in plain text where the node is of LwM2M 1.0 and knows no SenML.

        Not as a composite of one: there are clients that acknowledge iPATCH and never answer.
        """
        request = Message(
            code=codes.PUT,
            uri_path=_segments(path),
            content_format=SENML_CBOR,
            payload=senml.encode([("", value)], base_name=path),
        )
        try:
            try:
                await self._endpoint.request(context, request)
            except NodeRefusedError as error:
                if error.code not in _CANNOT_SENML:
                    raise
                text = request.copy(content_format=tlv.TEXT, payload=tlv.to_text(value))
                await self._endpoint.request(context, text)
        except NodeRefusedError as error:
            if not absent_is_fine or error.code not in _ABSENT:
                raise

    async def _composite(
        self,
        context: Context,
        records: Sequence[tuple[str, Value]],
        *,
        timeout_s: float = 30.0,
    ) -> None:
        """Write-Composite (OMA LwM2M TS Core 1.1, 6.3.10)."""
        request = Message(
            code=codes.iPATCH, content_format=SENML_CBOR, payload=senml.encode(records)
        )
        await self._endpoint.request(context, request, timeout_s=timeout_s)

    async def _execute(
        self, context: Context, segments: tuple[str, ...], *, timeout_s: float = 30.0
    ) -> None:
        """Execute a resource."""
        request: Any = Message(code=codes.POST, uri_path=segments)
        await self._endpoint.request(context, request, timeout_s=timeout_s)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _package(uri: Value) -> bytes | None:
    """Return which release a package URI names, nothing for a foreign one, None for no URI."""
    text = _text(uri)
    try:
        return bytes.fromhex(text.removeprefix(_PACKAGE_URI)) if text else None
    except ValueError:
        return b""


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0
