"""The requests of an endpoint: matching responses, blockwise both ways, Echo when asked for.

Not the datagram layer: `node.coap.exchange` repeats what must be repeated.
"""

import asyncio

from micropython import const

from node.coap import blockwise
from node.coap.exchange import Outbox, Owner
from node.coap.message import (
    CONFIRMABLE,
    CONTINUE,
    GET,
    NON_CONFIRMABLE,
    TOO_LARGE,
    UNAUTHORIZED,
    Message,
    Response,
    encode,
    first_unknown_critical,
)
from node.codec import options as coap_options
from node.oscore import protect
from node.oscore.context import OscoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_PENDING = const(8)
_MAX_RESPONSE_BYTES = const(8192)
TOKEN_BYTES = const(2)
_SZX = const(6)
# A block may take MAX_TRANSMIT_WAIT: smaller ones would let a peer draw a download out for ever.
_LEAST_SZX = const(4)  # as nodelink.limits.BLOCK_SZX_NBIOT


class RequestError(Exception):
    """A request without a usable response; the subclasses say why."""


class RequestTimeout(RequestError):  # noqa: N818 - it names what happened
    """Nobody answered in time; the peer may or may not have acted."""


class RequestReset(RequestError):  # noqa: N818 - it names what happened
    """The peer sent Reset: it is there and does not know what we want."""


class RequestRefused(RequestError):  # noqa: N818 - it names what happened
    """The peer answered with an error; `args[0]` is the response code."""


class RequestAborted(RequestError):  # noqa: N818 - it names what happened
    """We ended it: the context was removed, or eight requests are under way already."""


class TransferBroken(RequestError):  # noqa: N818 - it names what happened
    """Blocks do not fit together: the resource changed, or the peer breaks RFC 7959."""


class _Pending(Owner):
    """One request on its way to a response."""

    def __init__(self, token: bytes, address: object, context: "Any", due_ms: int) -> None:
        self.token = token
        self.address = address
        self.context = context
        self.binding: Any = None
        self.due_ms = due_ms
        self.started_at = 0
        self.done = asyncio.Event()
        self.response: Response | None = None
        self.error: RequestError | None = None

    def was_reset(self) -> None:
        self.fail(RequestReset())

    def gave_up(self) -> None:
        self.fail(RequestTimeout())

    def fail(self, error: RequestError) -> None:
        if not self.done.is_set():
            self.error = error
            self.done.set()


class Client:
    """Sends requests through `outbox` and waits for what the endpoint hands to `receive`.

    Overflow: the ninth request at a time raises RequestAborted at once.
    """

    def __init__(self, outbox: Outbox, clock: "Any", random_bytes: "Any", wake: "Any") -> None:
        self._outbox = outbox
        self._clock = clock
        self._random_bytes = random_bytes
        self._wake = wake
        self._pending: list[_Pending] = []

    def receive(self, message: Message, address: object) -> bool:
        """Match a response; says whether it belongs to a request of ours (and is used up)."""
        for pending in self._pending:
            if pending.token == message.token and not pending.done.is_set():
                response = self._open(pending, message, address)
                if response is not None:
                    pending.response = response
                    pending.done.set()
                    return True
        return False

    def _open(self, pending: _Pending, message: Message, address: object) -> "Response | None":
        option = coap_options.find(message.options, coap_options.OSCORE)
        code, options, payload = message.code, message.options, message.payload
        is_protected = False
        if pending.context is None:
            # RFC 7252, 5.3.2: without protection the address is all that tells peers apart.
            if option is not None or address != pending.address:
                return None
        elif option is None:
            # RFC 8613, 8.4: errors of the peer's OSCORE layer are not protected.
            if code >> 5 == 2 or address != pending.address:
                return None
        else:
            try:
                code, options, payload = protect.unprotect_response(
                    pending.context, pending.binding, option, payload
                )
            except OscoreError:
                return None
            is_protected = True
        if first_unknown_critical(options) is not None:
            return None
        # The payload is a view into the endpoint's receive buffer unless it was decrypted.
        response = Response(code, payload if is_protected else bytes(payload), None, options)
        response.content_format = coap_options.find_uint(options, coap_options.CONTENT_FORMAT)
        try:
            response.location = tuple(
                [part.decode() for number, part in options if number == coap_options.LOCATION_PATH]
            )
        except UnicodeError:
            return None
        response.is_protected = is_protected
        return response

    def tick(self, now: int) -> int:
        """End requests whose time is over; return milliseconds to the next one."""
        next_ms = 60_000
        for pending in self._pending:
            left_ms = pending.due_ms - self._clock.ticks_diff(now, pending.started_at)
            if left_ms <= 0:
                pending.gave_up()
            else:
                next_ms = min(next_ms, left_ms)
        return next_ms

    def abort(self, context: object) -> None:
        """End every request under `context`."""
        for pending in self._pending:
            if pending.context is context:
                pending.fail(RequestAborted())

    async def _exchange(
        self,
        address: object,
        context: "Any",
        code: int,
        options: "list[tuple[int, bytes]]",
        payload: "bytes | bytearray | memoryview",
        confirmable: bool,
        timeout_ms: int,
        token_bytes: int = TOKEN_BYTES,
    ) -> Response:
        if len(self._pending) == _MAX_PENDING:
            raise RequestAborted
        token = self._random_bytes(token_bytes)
        while any(pending.token == token for pending in self._pending):
            token = self._random_bytes(token_bytes)
        pending = _Pending(token, address, context, timeout_ms)
        pending.started_at = self._clock.ticks_ms()
        if context is not None:
            code, options, payload, pending.binding = protect.protect_request(
                context, code, options, payload
            )
        datagram = encode(
            self._outbox.buffer,
            CONFIRMABLE if confirmable else NON_CONFIRMABLE,
            code,
            self._outbox.new_message_id(),
            token,
            options,
            payload,
        )
        self._pending.append(pending)
        try:
            self._outbox.send(datagram, address, pending)
            self._wake()
            await pending.done.wait()
        finally:
            self._pending.remove(pending)
            self._outbox.forget(pending)
        if pending.error is not None:
            raise pending.error
        return pending.response  # type: ignore[return-value]

    async def _answered(
        self,
        address: object,
        context: "Any",
        code: int,
        options: "list[tuple[int, bytes]]",
        payload: "bytes | bytearray | memoryview",
        confirmable: bool,
        timeout_ms: int,
        token_bytes: int = TOKEN_BYTES,
    ) -> Response:
        """Exchange, and once more with the Echo value when the peer asks for it (RFC 9175, 2.3)."""
        response = await self._exchange(
            address, context, code, options, payload, confirmable, timeout_ms, token_bytes
        )
        if response.code == UNAUTHORIZED and response.is_protected == (context is not None):
            echo = coap_options.find(response.options, coap_options.ECHO)
            if echo is not None:
                options = options + [(coap_options.ECHO, echo)]
                response = await self._exchange(
                    address, context, code, options, payload, confirmable, timeout_ms, token_bytes
                )
        return response

    async def request(
        self,
        address: object,
        context: object,
        code: int,
        path: "tuple[str, ...]",
        query: "tuple[str, ...]",
        payload: "bytes | bytearray | memoryview",
        content_format: "int | None",
        accept: "int | None",
        confirmable: bool,
        timeout_ms: int,
        token_bytes: int,
    ) -> Response:
        """See `Endpoint.request`."""
        options = [(coap_options.URI_PATH, segment.encode()) for segment in path]
        if content_format is not None:
            options.append((coap_options.CONTENT_FORMAT, coap_options.uint(content_format)))
        for part in query:
            options.append((coap_options.URI_QUERY, part.encode()))
        if accept is not None:
            options.append((coap_options.ACCEPT, coap_options.uint(accept)))
        if len(payload) <= blockwise.BLOCK_BYTES:
            response = await self._answered(
                address, context, code, options, payload, confirmable, timeout_ms, token_bytes
            )
        else:
            response = await self._upload(address, context, code, options, payload, timeout_ms)
        block = coap_options.find(response.options, coap_options.BLOCK2)
        if block is not None and response.is_success:
            await self._complete(response, address, context, code, options, timeout_ms)
        return response

    async def _upload(
        self,
        address: object,
        context: object,
        code: int,
        options: "list[tuple[int, bytes]]",
        payload: "bytes | bytearray | memoryview",
        timeout_ms: int,
    ) -> Response:
        """Send `payload` in Block1 pieces (RFC 7959, 2.5)."""
        data = memoryview(payload)
        tag = self._random_bytes(TOKEN_BYTES)
        szx = _SZX
        at = 0
        while True:
            size = 1 << (szx + 4)
            more = at + size < len(data)
            response = await self._answered(
                address,
                context,
                code,
                options
                + [
                    (coap_options.BLOCK1, blockwise.block_value(at >> (szx + 4), more, szx)),
                    (coap_options.REQUEST_TAG, tag),
                ],
                data[at : at + size],
                True,
                timeout_ms,
            )
            theirs = _read_block(response, coap_options.BLOCK1)
            if response.code == TOO_LARGE and at == 0 and theirs is not None and theirs[2] < szx:
                szx = theirs[2]  # RFC 7959, 2.9.3: begin again with the size they name
                continue
            if not more or response.code != CONTINUE:
                return response
            at += size
            if theirs is not None and theirs[2] < szx:
                szx = theirs[2]

    async def _complete(
        self,
        response: Response,
        address: object,
        context: object,
        code: int,
        options: "list[tuple[int, bytes]]",
        timeout_ms: int,
    ) -> None:
        """Fetch the blocks after the first and put them behind it (RFC 7959, 2.4)."""
        joined = bytearray(response.payload)
        etag = coap_options.find(response.options, coap_options.ETAG)
        block = _read_block(response, coap_options.BLOCK2)
        while block is not None and block[1]:
            szx = block[2]
            wanted = len(joined) >> (szx + 4)
            if len(joined) != wanted << (szx + 4) or len(joined) > _MAX_RESPONSE_BYTES:
                raise TransferBroken
            value = blockwise.block_value(wanted, False, szx)
            piece = await self._answered(
                address,
                context,
                code,
                options + [(coap_options.BLOCK2, value)],
                b"",
                True,
                timeout_ms,
            )
            block = _read_block(piece, coap_options.BLOCK2)
            if not piece.is_success:
                raise RequestRefused(piece.code)
            if (
                block is None
                or block[0] << (block[2] + 4) != len(joined)
                or coap_options.find(piece.options, coap_options.ETAG) != etag
            ):
                raise TransferBroken
            joined.extend(piece.payload)
        response.payload = joined

    async def download(
        self,
        address: object,
        context: object,
        path: "tuple[str, ...]",
        sink: "Any",
        start_block: int,
        timeout_ms: int,
    ) -> int:
        """See `Endpoint.download`."""
        path_options = [(coap_options.URI_PATH, segment.encode()) for segment in path]
        szx = _SZX
        received = start_block * blockwise.BLOCK_BYTES
        etag = None
        is_first = True
        while True:
            number = received >> (szx + 4)
            options = path_options + [
                (coap_options.BLOCK2, blockwise.block_value(number, False, szx))
            ]
            response = await self._answered(address, context, GET, options, b"", True, timeout_ms)
            if not response.is_success:
                raise RequestRefused(response.code)
            block = _read_block(response, coap_options.BLOCK2)
            if block is None:
                # RFC 7959, 2.4: a resource of one block may come without the option.
                if received:
                    raise TransferBroken
                block = (0, False, szx)
            if is_first:
                etag = coap_options.find(response.options, coap_options.ETAG)
                is_first = False
            size = len(response.payload)
            if (
                block[0] << (block[2] + 4) != received
                or (block[1] and (block[2] < _LEAST_SZX or size != 1 << (block[2] + 4)))
                or coap_options.find(response.options, coap_options.ETAG) != etag
            ):
                raise TransferBroken
            sink.write(response.payload)
            received += size
            szx = min(szx, block[2])
            if not block[1]:
                return received


def _read_block(response: Response, number: int) -> "tuple[int, bool, int] | None":
    try:
        return blockwise.read_block(response.options, number)
    except blockwise.BlockError:
        raise TransferBroken
