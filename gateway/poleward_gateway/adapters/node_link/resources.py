"""What nodes ask the gateway for: bootstrap, registration, reports and events, release content.

Not the transport or its security: a request that comes here was authenticated.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import structlog
from aiocoap.message import Message
from aiocoap.numbers import codes

from nodelink import release_format
from nodelink.limits import LIFETIME_S
from poleward_gateway.adapters.node_link import bootstrap_server, report_mapping, senml
from poleward_gateway.adapters.node_link.endpoint import Caller, NodeEndpoint
from poleward_gateway.adapters.node_link.report_layouts import ReportLayouts
from poleward_gateway.adapters.node_link.security import Context, Purpose
from poleward_gateway.adapters.node_link.senml import SENML_CBOR
from poleward_gateway.domain.errors import ArtifactError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.ports.clock import Clock, Tally
from poleward_gateway.services.artifacts import Artifacts
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.pace import Pace
from poleward_gateway.services.registry import Registry
from poleward_gateway.services.telemetry import Receipt, Telemetry
from poleward_gateway.services.trust import TrustChain
from poleward_gateway.services.upkeep import Upkeep

_log = structlog.get_logger(__name__)

RETRY_AFTER_S = 10
"""Max-Age of a 5.03: a node tries again after this."""
LAYOUT_AFTER_S = 1
"""Max-Age of a 5.03 while the node is asked how its reports are laid out."""
LIFETIME_MAX_S = 7 * 24 * 3600
BLOCK_BYTES = 1024
"""What a block of release content counts for the pace; some are smaller."""
_OCTETS = 42
"""Content format application/octet-stream (RFC 7252, 12.3)."""


class NodeResources:
    """The gateway's CoAP resources."""

    def __init__(
        self,
        registry: Registry,
        telemetry: Telemetry,
        layouts: ReportLayouts,
        upkeep: Upkeep,
        artifacts: Artifacts,
        trust: TrustChain,
        endpoint: NodeEndpoint,
        jobs: JobPool,
        clock: Clock,
        tally: Tally,
        pace: Pace,
    ) -> None:
        self._registry = registry
        self._telemetry = telemetry
        self._layouts = layouts
        self._upkeep = upkeep
        self._artifacts = artifacts
        self._trust = trust
        self._endpoint = endpoint
        self._jobs = jobs
        self._clock = clock
        self._tally = tally
        self._pace = pace

    def heard(self, nodes: Sequence[NodeNumber]) -> None:
        """Note messages that were authenticated under operational contexts."""
        for node in self._registry.heard(nodes):
            self._upkeep.heard_unregistered(node)

    def heard_leaving(self, node: NodeNumber) -> None:
        """Note a message of a node that is to forget its keys."""
        self._upkeep.wipe(node)

    async def handle(self, caller: Caller, request: Any) -> Any:
        """Answer a request."""
        path = request.opt.uri_path
        post = request.code == codes.POST
        context = caller.context
        if path == ("bs",) and post:
            return self._bootstrap(caller, context, request)
        if context.purpose is not Purpose.OPERATIONAL:
            return _refusal(codes.UNAUTHORIZED, "this context is not for that")
        if path == ("dp",) and post:
            return await self._take_pack(context.node, request)
        if path == ("rd",) and post:
            return self._register(context.node, request)
        if len(path) == 2 and path[0] == "rd":
            return self._change_registration(context.node, path[1], request)
        if request.code == codes.GET:
            return await self._give_content(context.node, path)
        return _refusal(codes.NOT_FOUND, "")

    async def _give_content(self, node: NodeNumber, path: tuple[str, ...]) -> Any:
        """Answer with release content; the endpoint cuts it into blocks."""
        content = None
        match path:
            case (release_format.PATH_RELEASES, name):
                content = self._artifacts.envelope(_digest(name))
            case (release_format.PATH_DIRECTIVE,):
                desired = self._registry.desired(node)
                content = (desired.release.directive or None) if desired else None
            case (release_format.PATH_TRUST, number) if number.isdecimal():
                self._trust.asked_for(node, int(number))
                content = self._trust.document(int(number))
            case (release_format.PATH_ARTIFACTS, release_format.ENCODING_PATCH, name, number):
                if number.isdecimal():
                    content = self._artifacts.patch(_digest(name), int(number))
            case (release_format.PATH_ARTIFACTS, release_format.ENCODING_DEFLATE, name, *piece):
                digest = _digest(name)
                content = self._artifacts.whole(digest, _piece_number(piece))
                if content is None and self._artifacts.awaits(digest):
                    self._jobs.add(("component", digest), lambda: self._fetch_whole(digest))
                    return Message(code=codes.SERVICE_UNAVAILABLE, max_age=RETRY_AFTER_S)
        if content is None:
            return _refusal(codes.NOT_FOUND, "")
        await self._pace.turn(BLOCK_BYTES)
        return Message(code=codes.CONTENT, payload=content, content_format=_OCTETS)

    async def _fetch_whole(self, component_digest: bytes) -> None:
        try:
            await self._artifacts.prepare_whole(component_digest)
        except ArtifactError as error:
            _log.warning("component_unavailable", error=str(error))

    def _bootstrap(self, caller: Caller, context: Context, request: Any) -> Any:
        """Answer a bootstrap request, then give the node its keys."""
        desired = self._registry.desired(context.node)
        if desired is None or context.purpose is not Purpose.BOOTSTRAP:
            return _refusal(codes.BAD_REQUEST, "bootstrap needs the bootstrap context")
        if _query(request).get("ep", desired.endpoint_name) != desired.endpoint_name:
            return _refusal(codes.BAD_REQUEST, "the endpoint name is not this node's")
        endpoint = self._endpoint
        uri = desired.gateway_uri or endpoint.uri_towards(caller.address)

        async def give_keys() -> None:
            if await bootstrap_server.bootstrap(endpoint, context, desired, uri):
                self._tally.count("bootstraps")
                self._registry.note_bootstrapped(context.node)

        self._jobs.add(("bootstrap", context.node), give_keys)
        return Message(code=codes.CHANGED)

    def _register(self, node: NodeNumber, request: Any) -> Any:
        """Register a node (OMA LwM2M TS Core 1.1, 6.2.1)."""
        query = _query(request)
        desired = self._registry.desired(node)
        if desired is None:
            return _refusal(codes.FORBIDDEN, "not a node of this gateway")
        if query.get("ep") != desired.endpoint_name:
            return _refusal(codes.BAD_REQUEST, "the endpoint name is not this node's")
        lifetime_s = _lifetime_s(query, LIFETIME_S)
        if lifetime_s is None:
            return _refusal(codes.BAD_REQUEST, f"lt must be 1 to {LIFETIME_MAX_S}")
        # Q of LwM2M 1.1, b=UQ of 1.0 (OMA LwM2M TS Core 1.1, 6.2.1.2).
        is_queued = "Q" in query or "Q" in query.get("b", "")
        self._registry.register(node, lifetime_s, is_queued=is_queued)
        self._upkeep.registered(node)
        return Message(code=codes.CREATED, location_path=("rd", str(node)))

    def _change_registration(self, node: NodeNumber, location: str, request: Any) -> Any:
        """Update or end a registration; anybody else's is not found."""
        if location != str(node):
            return _refusal(codes.NOT_FOUND, "")
        if request.code == codes.DELETE:
            known = self._registry.deregister(node)
            return Message(code=codes.DELETED) if known else _refusal(codes.NOT_FOUND, "")
        if request.code != codes.POST:
            return _refusal(codes.METHOD_NOT_ALLOWED, "")
        lifetime_s = _lifetime_s(_query(request), LIFETIME_S)
        if lifetime_s is None:
            return _refusal(codes.BAD_REQUEST, f"lt must be 1 to {LIFETIME_MAX_S}")
        if not self._registry.renew(node, lifetime_s):
            return _refusal(codes.NOT_FOUND, "register again")
        return Message(code=codes.CHANGED)

    async def _take_pack(self, node: NodeNumber, request: Any) -> Any:
        """Take a report or an event; 2.04 says that it is on disk."""
        if request.opt.content_format not in (None, SENML_CBOR):
            return _refusal(codes.UNSUPPORTED_CONTENT_FORMAT, "send SenML-CBOR (112)")
        now_ms = self._clock.now_ms()
        try:
            records = senml.decode(request.payload)
            if report_mapping.is_event(records):
                event = report_mapping.to_event(node, records, now_ms)
                receipt = await self._telemetry.take_event(event)
            else:
                report = report_mapping.to_report(node, records, now_ms, self._layouts.find)
                self._telemetry.note_dropped(
                    node, report.boot, report_mapping.dropped_reports(records)
                )
                receipt = await self._telemetry.take_report(report)
        except report_mapping.UnknownLayoutError as unknown:
            return self._ask_for_layout(node, unknown.layout_id)
        except (senml.SenmlError, report_mapping.PackError) as error:
            self._tally.count("packs_malformed")
            _log.warning("pack_malformed", node=node, error=str(error))
            return _refusal(codes.BAD_REQUEST, str(error))
        if receipt is Receipt.OVERLOADED:
            return Message(code=codes.SERVICE_UNAVAILABLE, max_age=RETRY_AFTER_S)
        return Message(code=codes.CHANGED)

    def _ask_for_layout(self, node: NodeNumber, layout_id: int) -> Any:
        """Have the report sent again once its layout is known; 4.00 when it never will be."""
        if not self._layouts.can_be_asked(node, layout_id):
            self._tally.count("packs_malformed")
            return _refusal(codes.BAD_REQUEST, f"nobody can say what layout {layout_id} is")
        self._tally.count("layouts_asked_for")
        self._layouts.ask(node, layout_id)
        return Message(code=codes.SERVICE_UNAVAILABLE, max_age=LAYOUT_AFTER_S)


def _refusal(code: Any, words: str) -> Any:
    return Message(code=code, payload=words.encode())


def _piece_number(segments: list[str]) -> int | None:
    """Read which piece of an image is asked for; None when it is no image."""
    return int(segments[0]) if len(segments) == 1 and segments[0].isdecimal() else None


def _digest(text: str) -> bytes:
    """Read a digest; anything else is the digest of nothing."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _query(request: Any) -> dict[str, str]:
    """Return the query's parameters; one without a value has an empty one."""
    parameters = (part.partition("=") for part in request.opt.uri_query)
    return {name: unquote(value) for name, _, value in parameters}


def _lifetime_s(query: dict[str, str], default: int) -> int | None:
    """Return the lifetime asked for; None when it is not acceptable."""
    text = query.get("lt", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= LIFETIME_MAX_S:
        return None
    return int(text)
