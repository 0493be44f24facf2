"""The gateway's CoAP endpoint: every request in and out under a node's security context.

Not the resources (resources.py) and not what is asked of nodes (lwm2m_client.py).
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiocoap import error as coap_error
from aiocoap import oscore
from aiocoap.blockwise import Block1Spool
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import CON
from aiocoap.pipe import Pipe

from poleward_gateway.adapters.node_link.clone_watch import CloneWatch
from poleward_gateway.adapters.node_link.datagrams import (
    DatagramInterface,
    DirectPath,
    NodeAddress,
)
from poleward_gateway.adapters.node_link.lanes import Lanes
from poleward_gateway.adapters.node_link.messages import BoundedMessages, NodeTokens
from poleward_gateway.adapters.node_link.security import (
    Context,
    NodeContext,
    PlainContext,
    Purpose,
    SecurityTable,
)
from poleward_gateway.domain.errors import NodeRefusedError, NodeUnreachableError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.strangers import Fault
from poleward_gateway.ports.clock import Tally

_log = structlog.get_logger(__name__)

REQUEST_MAX_BYTES = 16 * 1024
"""A request in blocks may grow to this."""

BLOCK_SIZE_EXPONENT = 6
"""Blocks of 1024 bytes (RFC 7959, 2.2)."""

ANSWER_TIMEOUT_S = 30.0
"""Wait for an answer at most this long, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as its context proved, and where it came from."""

    context: Context
    address: NodeAddress

    @property
    def blockwise_key(self) -> tuple[Any, ...]:
        """Blocks belong together by security context, whatever the address."""
        return (self.context.context_id,)


Handler = Callable[[Caller, Any], Awaitable[Any]]
"""Takes the caller and an aiocoap request, returns an aiocoap response."""

HeardListener = Callable[[Sequence[NodeNumber]], None]

RefusalListener = Callable[[Fault, bytes, str], None]
"""Takes the fault, the key id and the address."""


@dataclass(slots=True)
class Observation:
    """A resource that a node watches for us (RFC 7641).

    Args:
        listener: Called with every notification.
        stop: Ends it on this side; the node learns it by the Reset to its next notification.
    """

    listener: Callable[[Any], None]
    stop: Callable[[], None] = lambda: None


class NodeEndpoint:
    """Serves nodes and asks nodes on one UDP socket.

    Args:
        table: Security contexts.
        handler: Answers authenticated requests.
        on_heard: Told of every node that sent an authenticated message under operational keys.
        tally: Counters.
        on_leaving: Told of a node that is to forget its keys and was heard.
        on_refused: Told of every request under a key that is not its sender's to use.
        clones: Judges authentic requests with old numbers.
        reports: Sees every datagram first.
        public_uri: Where nodes find us; empty for the address that they speak to.
        insecure_nosec: Hand requests without OSCORE to the handler too.
    """

    def __init__(
        self,
        table: SecurityTable,
        handler: Handler,
        on_heard: HeardListener,
        tally: Tally,
        *,
        on_leaving: Callable[[NodeNumber], None],
        on_refused: RefusalListener,
        clones: CloneWatch,
        reports: DirectPath | None = None,
        public_uri: str = "",
        insecure_nosec: bool = False,
    ) -> None:
        self._table = table
        self._handler = handler
        self._on_heard = on_heard
        self._on_leaving = on_leaving
        self._on_refused = on_refused
        self._tally = tally
        self._clones = clones
        self._reports = reports
        self._public_uri = public_uri
        self._insecure_nosec = insecure_nosec
        self._answering: set[asyncio.Task[None]] = set()
        self._asked: dict[asyncio.Future[Any], Context] = {}
        self._blocks = Block1Spool()
        # What aiocoap's layers expect of their owner.
        self.log = logging.getLogger("coap")
        self.loop = asyncio.get_running_loop()
        self.client_credentials = None
        self._tokens = NodeTokens(self)
        self._messages = BoundedMessages(self._tokens)
        self._datagrams: DatagramInterface | None = None

    def open(self, lanes: Lanes) -> None:
        """Start to serve on a bound port."""
        self._datagrams = DatagramInterface(lanes, self._messages, self._tally, self._reports)
        self._messages.message_interface = self._datagrams
        self._tokens.token_interface = self._messages

    @property
    def port(self) -> int:
        """UDP port that is served."""
        assert self._datagrams is not None
        return self._datagrams.port

    def uri_towards(self, address: NodeAddress) -> str:
        """Return the URI under which a node reaches this gateway."""
        assert self._datagrams is not None
        return self._public_uri or self._uri(self._datagrams.local_host_towards(address))

    def uri_as_seen_from(self, peer: str) -> str:
        """Return the URI for nodes in the network of a peer, given as host:port."""
        assert self._datagrams is not None
        return self._public_uri or self._uri(self._datagrams.bound_host or _host_towards(peer))

    def _uri(self, host: str) -> str:
        return f"coap://[{host}]:{self.port}" if ":" in host else f"coap://{host}:{self.port}"

    async def close(self) -> None:
        """Stop serving and give up what is under way."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        if self._datagrams is not None:
            await self._tokens.shutdown()

    # Requests from nodes

    def render_to_pipe(self, pipe: Any) -> None:
        """Answer a request; called by aiocoap's token layer."""
        task = self.loop.create_task(self._answer(pipe))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, pipe: Any) -> None:
        """Unprotect, handle, protect."""
        request = pipe.request
        if request.opt.oscore is None:
            pipe.add_response(await self._answer_plain(request), is_last=True)
            return
        accepted = self._unprotect(request)
        if not isinstance(accepted, tuple):
            pipe.add_response(accepted, is_last=True)
            return
        context, inner, request_id = accepted
        self._note_heard(context, request.remote)
        response = await self._handle(Caller(context, request.remote), inner)
        protected, _ = context.protect(response, request_id)
        pipe.add_response(protected, is_last=True)

    async def _answer_plain(self, request: Any) -> Any:
        """Answer a request without OSCORE: discovery, or 4.01 with nothing else."""
        if request.opt.uri_path == (".well-known", "core") and request.code == codes.GET:
            return Message(code=codes.CONTENT, payload=b"", content_format=40)
        context = self._plain_context(request) if self._insecure_nosec else None
        if context is not None:
            self._note_heard(context, request.remote)
            return await self._handle(Caller(context, request.remote), request.copy())
        self._tally.count("requests_without_security")
        if self._insecure_nosec and request.opt.uri_path[:-1] == ("rd",):
            # By this it learns that it has to register again (OMA LwM2M TS Core 1.1, 6.2.2).
            return Message(code=codes.NOT_FOUND)
        return Message(code=codes.UNAUTHORIZED)

    def _plain_context(self, request: Any) -> PlainContext | None:
        """Find or begin the stand-in for a security context, by address and endpoint name."""
        if request.opt.uri_path == ("rd",):
            for part in request.opt.uri_query:
                if part.startswith("ep="):
                    return self._table.open_plain(part[3:], request.remote)
        return self._table.plain(request.remote)

    def _unprotect(self, request: Any) -> tuple[NodeContext, Any, Any] | Any:
        """Return context, inner request and its id; or the response that says why not.

        The responses are those of RFC 8613, 8.2.
        """
        context: NodeContext | None = None
        kid = b""
        try:
            kid = oscore.verify_start(request).get(oscore.COSE_KID, b"")
            context = self._table.by_kid(kid)
            if context is None:
                self._tally.count("requests_with_unknown_key")
                self._on_refused(Fault.UNKNOWN_KEY_ID, kid, str(request.remote))
                return _plain(codes.UNAUTHORIZED, b"Security context not found")
            inner, request_id = context.unprotect(request)
        except oscore.ReplayErrorWithEcho as unknown_window:
            self._tally.count("echo_challenges")
            return unknown_window.to_message()
        except oscore.ReplayError:
            self._tally.count("requests_replayed")
            challenge = self._clones.answer(context) if context is not None else None
            return challenge or _plain(codes.UNAUTHORIZED, b"Replay detected")
        except oscore.DecodeError:
            self._tally.count("requests_malformed")
            return _plain(codes.BAD_OPTION, b"Failed to decode COSE")
        except oscore.ProtectionInvalid:
            self._tally.count("requests_not_authentic")
            self._on_refused(Fault.WRONG_KEY, kid, str(request.remote))
            return _plain(codes.BAD_REQUEST, b"Decryption failed")
        except Exception:  # noqa: BLE001 - a truncated OSCORE option makes aiocoap raise IndexError
            self._tally.count("requests_malformed")
            return _plain(codes.BAD_OPTION, b"Failed to decode COSE")
        return context, inner, request_id

    async def _handle(self, caller: Caller, request: Any) -> Any:
        """Assemble blocks, call the handler, cut its response into blocks."""
        request.remote = caller
        block2 = request.opt.block2
        try:
            if request.opt.block1 is not None:
                if request.opt.block1.start + len(request.payload) > REQUEST_MAX_BYTES:
                    return Message(code=codes.REQUEST_ENTITY_TOO_LARGE)
                request = self._blocks.feed_and_take(request)
            response = await self._handler(caller, request)
        except coap_error.RenderableError as refusal:
            return refusal.to_message()
        except Exception:  # noqa: BLE001 - logged; the node gets 5.00 and tries again
            self._tally.count("requests_failed")
            _log.exception("request_failed", path="/".join(request.opt.uri_path))
            return Message(code=codes.INTERNAL_SERVER_ERROR)
        if request.opt.block1 is not None:
            response.opt.block1 = request.opt.block1
        return _block_of(response, block2)

    def _note_heard(self, context: Context, address: NodeAddress) -> None:
        """Note where a node is, and that it lives."""
        context.address = address
        if context.purpose is Purpose.OPERATIONAL:
            self._on_heard((context.node,))
        elif context.purpose is Purpose.FAREWELL:
            self._on_leaving(context.node)

    # Requests to nodes

    async def request(
        self,
        context: Context,
        request: Any,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        observation: Observation | None = None,
    ) -> Any:
        """Send a request to the address a node was last heard from; return its response.

        A challenge with Echo (RFC 9175, 2.4) is answered once. A response in blocks is collected.

        Args:
            context: Security context of the node.
            request: Request of aiocoap's, without an address.
            timeout_s: Give up after this long, over all exchanges.
            observation: With Observe, takes every notification after the response.

        Raises:
            NodeUnreachableError: No answer in time, or the node has not been heard yet.
            NodeRefusedError: The node answered with an error.
        """
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._ask(context, request, observation)
                response = await self._collect(context, request, response)
        except TimeoutError as error:
            raise NodeUnreachableError(
                f"node {context.node} did not answer within {timeout_s:.0f} s"
            ) from error
        if not response.code.is_successful():
            words = response.payload.decode("utf-8", "replace") or response.code.name
            path = "/".join(request.opt.uri_path)
            raise NodeRefusedError(
                f"node {context.node} refused {request.code} /{path}: {words}",
                code=response.code.dotted,
            )
        return response

    async def _ask(self, context: Context, request: Any, observation: Observation | None) -> Any:
        """Exchange until the node has taken the request, also over a restart of the node."""
        while True:
            try:
                response = await self._exchange(context, request, observation)
            except _RestartedError:
                if request.code == codes.POST:
                    raise  # it may have been done before the restart, and is not done twice
                continue
            if response.code != codes.UNAUTHORIZED or response.opt.echo is None or request.opt.echo:
                return response
            self._note_restarted(context)
            request = request.copy(echo=response.opt.echo)

    def _note_restarted(self, context: Context) -> None:
        """End what else is asked of a node that asks for Echo: it takes no older numbers now.

        Its replay window begins at the request that carries the Echo (RFC 8613, B.1.2).
        """
        for first, asked in self._asked.items():
            if asked is context and not first.done():
                first.set_exception(_RestartedError(f"node {context.node} restarted meanwhile"))

    async def _collect(self, context: Context, request: Any, response: Any) -> Any:
        """Fetch the blocks that follow the first (RFC 7959, 2.4)."""
        payload = response.payload
        while response.opt.block2 is not None and response.opt.block2.more:
            block = response.opt.block2
            if len(payload) > REQUEST_MAX_BYTES:
                raise NodeUnreachableError(f"node {context.node} answers without end")
            following = request.copy(
                observe=None,
                payload=b"",
                block2=(block.block_number + 1, False, block.size_exponent),
            )
            response = await self._exchange(context, following, None)
            payload += response.payload
        response.payload = payload
        return response

    async def _exchange(
        self, context: Context, request: Any, observation: Observation | None
    ) -> Any:
        """Do one exchange; cancelling it stops the retransmissions."""
        await self._table.ready_to_send(context)
        if context.address is None:
            raise NodeUnreachableError(
                f"node {context.node} has not been heard since the gateway started"
            )
        protected, request_id = context.protect(request)
        protected.remote = context.address
        protected.mtype = CON
        self._messages.follow(protected, lambda: context.address)
        pipe = Pipe(protected, self.log)
        first: asyncio.Future[Any] = self.loop.create_future()

        def on_event(event: Any) -> bool:
            if event.exception is not None:
                if not first.done():
                    first.set_exception(_as_unreachable(context, event.exception))
                return False
            # The answer may have come from elsewhere, or ahead of its acknowledgement.
            self._messages.give_up(protected)
            self._take(context, request_id, event.message, first, observation)
            return not event.is_last

        stop = pipe.on_event(on_event)
        self._tokens.request(pipe)
        if observation is not None:
            observation.stop = stop
        self._asked[first] = context
        try:
            return await first
        except BaseException:
            stop()
            self._messages.give_up(protected)
            raise
        finally:
            del self._asked[first]

    def _take(
        self,
        context: Context,
        request_id: Any,
        message: Any,
        first: "asyncio.Future[Any]",
        observation: Observation | None,
    ) -> None:
        """Take a response or a notification."""
        address = message.remote
        try:
            response, _ = context.unprotect(message, request_id)
        except oscore.NotAProtectedMessage:
            # Not proved to be the node's: it forgot our keys, or somebody pretends it did.
            if not first.done():
                code = message.code.dotted
                first.set_exception(
                    NodeUnreachableError(
                        f"node {context.node} answered {code} without security; "
                        "it may have lost its keys and will bootstrap"
                    )
                )
            return
        except Exception as error:  # noqa: BLE001 - as in _unprotect
            self._tally.count("responses_not_authentic")
            if not first.done():
                first.set_exception(
                    NodeUnreachableError(f"answer of node {context.node} is not authentic: {error}")
                )
            return
        self._note_heard(context, address)
        if not first.done():
            first.set_result(response)
        elif observation is not None:
            observation.listener(response)


class _RestartedError(NodeUnreachableError):
    """The node restarted and will not answer this exchange any more."""


def _as_unreachable(
    context: Context, error: BaseException | type[BaseException]
) -> NodeUnreachableError:
    """Translate an error of aiocoap's, which hands over a class when a node rejects a message."""
    error = error() if isinstance(error, type) else error
    found = NodeUnreachableError(f"node {context.node} cannot be reached: {error!r}")
    found.__cause__ = error
    return found


def _host_towards(peer: str) -> str:
    """Return the local address from which a peer is reached; empty when it cannot be."""
    host, _, port = peer.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return ""


def _plain(code: Any, words: bytes) -> Any:
    """Make an error response without OSCORE that no cache keeps (RFC 8613, 8.2)."""
    return Message(code=code, payload=words, max_age=0)


def _block_of(response: Any, wanted: Any) -> Any:
    """Cut the block out of a response that was asked for (RFC 7959, 2.3); stateless."""
    size_exponent = BLOCK_SIZE_EXPONENT if wanted is None else wanted.size_exponent
    size_exponent = min(size_exponent, BLOCK_SIZE_EXPONENT)
    size = 1 << size_exponent + 4
    number = 0 if wanted is None else wanted.block_number
    if wanted is None and len(response.payload) <= size:
        return response
    if not response.code.is_successful():
        return response
    total = len(response.payload)
    start = number * size
    if start >= total and number > 0:
        return Message(code=codes.BAD_REQUEST, payload=b"block is out of bounds")
    response.payload = response.payload[start : start + size]
    response.opt.block2 = (number, start + size < total, size_exponent)
    with contextlib.suppress(AttributeError):
        if number == 0:
            response.opt.size2 = total
    return response
