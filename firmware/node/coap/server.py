"""The requests an endpoint serves: opened, put together, handed to the handler, answered once.

Not resources: which paths exist is the handler's.
"""

import asyncio
import sys

from micropython import const

from node.coap import blockwise
from node.coap.exchange import Duplicates, Outbox, Received
from node.coap.message import (
    ACKNOWLEDGEMENT,
    BAD_OPTION,
    BAD_REQUEST,
    CONFIRMABLE,
    CONTENT,
    CONTINUE,
    EMPTY,
    GET,
    INTERNAL_ERROR,
    NON_CONFIRMABLE,
    UNAUTHORIZED,
    Message,
    Request,
    Response,
    encode,
    first_unknown_critical,
)
from node.coap.observe import Observation, Observations
from node.codec import options as coap_options
from node.oscore import protect
from node.oscore.context import MALFORMED, NO_CONTEXT, REPLAYED, OscoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_SERVING = const(4)
_ACK_DELAY_MS = const(500)  # well below the peer's ACK_TIMEOUT of 2 s
_BLOCKS_LIFETIME_MS = const(93_000)  # MAX_TRANSMIT_WAIT, RFC 7252, 4.8.2
_ECHO_BYTES = const(8)
_ECHO_ROTATION_MS = const(30_000)
_DISCOVERY = (b".well-known", b"core")


class _Serving:
    """One request between its arrival and its answer."""

    def __init__(self, message: Message, address: object, now: int) -> None:
        self.is_confirmable = message.kind == CONFIRMABLE
        self.message_id = message.message_id
        self.token = message.token
        self.address = address
        # What the message is remembered by; None for what was refused. A stranger could otherwise
        # use up message IDs in the name of a peer.
        self.received: Received | None = None
        self.started_at = now
        self.is_acknowledged = False
        self.context: Any = None
        self.binding: Any = None
        self.block1: tuple[int, bool, int] | None = None
        self.block2: tuple[int, bool, int] | None = None
        self.key: object = None


class Server:
    """Serves at most four requests at a time.

    Overflow: a request beyond that is dropped as if the network had lost it; the peer repeats it.

    Attributes:
        observations: what peers observe here.
        refused: requests that failed OSCORE, or came without it.
        overloads: requests dropped because four were under way.
    """

    def __init__(
        self,
        outbox: Outbox,
        duplicates: Duplicates,
        clock: "Any",
        random_bytes: "Any",
        handler: "Any",
        wake: "Any",
        accepts_plain: bool,
    ) -> None:
        self._outbox = outbox
        self._duplicates = duplicates
        self._clock = clock
        self._random_bytes = random_bytes
        self._handler = handler
        self._wake = wake
        self._accepts_plain = accepts_plain
        self._serving: list[_Serving] = []
        self._tasks: list[Any] = []
        self._blocks_at = 0
        self._uploads = blockwise.Uploads()
        self._downloads = blockwise.Downloads()
        self._echo = b""
        self._echo_before = b""
        self._echo_at = 0
        self.contexts: list[Any] = []
        self.observations = Observations()
        self.refused = 0
        self.overloads = 0

    # Receiving

    def receive(self, message: Message, address: object) -> None:
        """Take a request."""
        received = self._duplicates.find(message.message_id, address)
        if received is not None:
            self._repeat(received, message.kind == CONFIRMABLE)
            return
        if len(self._serving) == _MAX_SERVING:
            self.overloads += 1
            return
        now = self._clock.ticks_ms()
        serving = _Serving(message, address, now)
        option = coap_options.find(message.options, coap_options.OSCORE)
        code, options, payload = message.code, message.options, message.payload
        is_fresh = False
        if option is not None:
            try:
                code, options, payload, partial_iv = self._unprotect(serving, option, payload)
            except OscoreError as error:
                self._refuse(serving, error.args[0])
                return
            serving.received = self._duplicates.add(message.message_id, address)
            is_fresh = self._has_echo(options, now)
            if not serving.context.has_window:
                if not is_fresh:
                    self._send(serving, self.challenge())
                    return
                serving.context.restart_window(partial_iv)
            self.observations.moved(serving.context, address)
        elif not self._accepts_plain and not _is_discovery(code, options):
            self.refused += 1
            self._send(serving, Response(UNAUTHORIZED))
            return
        else:
            serving.received = self._duplicates.add(message.message_id, address)
            payload = memoryview(bytes(payload))  # the receive buffer is used again
        self._take(serving, code, options, payload, is_fresh, now)

    def _repeat(self, received: Received, is_confirmable: bool) -> None:
        """Answer a duplicate as the first time, or say that an answer is under way."""
        if received.answer is not None:
            self._outbox.repeat(received.answer, received.address)
        elif is_confirmable:
            for serving in self._serving:
                if serving.received is received:
                    self._acknowledge(serving)

    def _unprotect(
        self, serving: _Serving, option: bytes, ciphertext: "bytes | bytearray | memoryview"
    ) -> "tuple[int, list[tuple[int, bytes]], memoryview, bytes]":
        """Open a request under whichever context it belongs to.

        Several contexts may share a kid, as bootstrap and operation do with the gateway's.
        """
        partial_iv, _, kid = protect.read_option(option)
        reason = NO_CONTEXT
        for context in self.contexts:
            if context.recipient_id != kid:
                continue
            try:
                code, options, payload, binding = protect.unprotect_request(
                    context, partial_iv, ciphertext
                )
            except OscoreError as error:
                if reason != REPLAYED:
                    reason = error.args[0]
                continue
            serving.context = context
            serving.binding = binding
            return code, options, payload, partial_iv
        raise OscoreError(reason)

    def _refuse(self, serving: _Serving, reason: int) -> None:
        """Answer what OSCORE refused, without protection (RFC 8613, 8.2)."""
        self.refused += 1
        code, text = {
            NO_CONTEXT: (UNAUTHORIZED, b"Security context not found"),
            MALFORMED: (BAD_OPTION, b"Failed to decode COSE"),
            REPLAYED: (UNAUTHORIZED, b"Replay detected"),
        }.get(reason, (BAD_REQUEST, b"Decryption failed"))
        self._send(serving, Response(code, text, None, [(coap_options.MAX_AGE, b"")]))

    def _take(
        self,
        serving: _Serving,
        code: int,
        options: "list[tuple[int, bytes]]",
        payload: memoryview,
        is_fresh: bool,
        now: int,
    ) -> None:
        """Put blocks together and start the handler when the request is whole."""
        body: bytearray | memoryview | None = payload
        try:
            if first_unknown_critical(options) is not None:
                raise blockwise.BlockError(BAD_OPTION)
            serving.block1 = blockwise.read_block(options, coap_options.BLOCK1)
            serving.block2 = blockwise.read_block(options, coap_options.BLOCK2)
            peer = serving.address if serving.context is None else serving.context
            request = Request(code, options, payload, serving.address, serving.context)
            tag = coap_options.find(options, coap_options.REQUEST_TAG)
            serving.key = _key(peer, request)
            if serving.block1 is not None:
                self._blocks_at = now
                body = self._uploads.take((serving.key, tag), serving.block1, payload)
        except blockwise.BlockError as error:
            self._send(serving, Response(error.args[0]))
            return
        except UnicodeError:
            self._send(serving, Response(BAD_OPTION))
            return
        if body is None:
            self._send(serving, Response(CONTINUE))
            return
        if serving.block2 is not None and serving.block2[0]:
            kept = self._downloads.find(serving.key)
            if kept is not None:
                self._send(serving, kept)  # type: ignore[arg-type]
                return
        request.payload = body
        request.is_fresh = is_fresh
        request.token = serving.token
        request.binding = serving.binding
        if request.observe == 1:
            self.observations.end(request)
        self._serving.append(serving)
        self._tasks.append(asyncio.create_task(self._serve(serving, request)))
        self._wake()

    async def _serve(self, serving: _Serving, request: Request) -> None:
        try:
            try:
                response = await self._handler(request)
            except Exception as error:
                _print_exception(error)
                response = Response(INTERNAL_ERROR)
            if request.observation is not None and not response.is_success:
                request.observation.was_reset()  # type: ignore[attr-defined]
                request.observation = None
            self._send(serving, response, request.observation is not None)
        finally:
            self._serving.remove(serving)
            # Not `remove`: `close` may have taken the list away already.
            current = asyncio.current_task()
            self._tasks = [task for task in self._tasks if task is not current]

    # Answering

    def _acknowledge(self, serving: _Serving) -> None:
        """Send an empty acknowledgement; the response comes in a message of its own."""
        serving.is_acknowledged = True
        datagram = encode(self._outbox.buffer, ACKNOWLEDGEMENT, EMPTY, serving.message_id)
        if serving.received is not None:
            self._duplicates.answered(serving.received, datagram)
        self._outbox.repeat(datagram, serving.address)

    def _send(self, serving: _Serving, response: Response, is_observed: bool = False) -> None:
        try:
            code, options, payload = self._dress(serving, response)
            if is_observed:
                options.insert(0, (coap_options.OBSERVE, b""))
            if serving.context is not None:
                code, options, payload = protect.protect_response(
                    serving.context, serving.binding, code, options, payload
                )
            if not serving.is_confirmable:
                kind, message_id = NON_CONFIRMABLE, self._outbox.new_message_id()
            elif serving.is_acknowledged:
                kind, message_id = CONFIRMABLE, self._outbox.new_message_id()
            else:
                kind, message_id = ACKNOWLEDGEMENT, serving.message_id
            datagram = encode(
                self._outbox.buffer, kind, code, message_id, serving.token, options, payload
            )
        except (coap_options.OptionsError, OscoreError, OSError) as error:
            # Too many options, no sequence numbers left, or they cannot be stored: say nothing.
            _print_exception(error)
            return
        if serving.received is not None and not serving.is_acknowledged:
            self._duplicates.answered(serving.received, datagram)
        self._outbox.send(datagram, serving.address)
        self._wake()

    def _dress(
        self, serving: _Serving, response: Response
    ) -> "tuple[int, list[tuple[int, bytes]], bytes | bytearray | memoryview]":
        """Put options and block of payload to a response."""
        options = [(coap_options.LOCATION_PATH, each.encode()) for each in response.location]
        if response.content_format is not None:
            value = coap_options.uint(response.content_format)
            options.append((coap_options.CONTENT_FORMAT, value))
        payload = response.payload
        block2 = serving.block2
        if block2 is not None or len(payload) > blockwise.BLOCK_BYTES:
            number, _, szx = block2 or (0, False, 6)
            try:
                payload, value = blockwise.slice_payload(response.payload, number, szx)
            except blockwise.BlockError as error:
                return error.args[0], [], b""
            if (number << (szx + 4)) + len(payload) >= len(response.payload):
                self._downloads.forget()
            else:
                self._downloads.keep(serving.key, response)
                self._blocks_at = self._clock.ticks_ms()
            options.append((coap_options.BLOCK2, value))
        if serving.block1 is not None:
            number, more, szx = serving.block1
            value = blockwise.block_value(number, more, szx)
            options.append((coap_options.BLOCK1, value))
        return response.code, options + response.options, payload

    # Freshness (RFC 9175, 2)

    def challenge(self) -> Response:
        """Make a 4.01 with an Echo value that proves freshness for 30 to 60 s."""
        now = self._clock.ticks_ms()
        age_ms = self._clock.ticks_diff(now, self._echo_at)
        if not self._echo or age_ms > _ECHO_ROTATION_MS:
            self._echo_before = self._echo if age_ms <= 2 * _ECHO_ROTATION_MS else b""
            self._echo = self._random_bytes(_ECHO_BYTES)
            self._echo_at = now
        return Response(UNAUTHORIZED, b"", None, [(coap_options.ECHO, self._echo)])

    def _has_echo(self, options: "list[tuple[int, bytes]]", now: int) -> bool:
        echo = coap_options.find(options, coap_options.ECHO)
        if not echo:
            return False
        age_ms = self._clock.ticks_diff(now, self._echo_at)
        return (echo == self._echo and age_ms <= 2 * _ECHO_ROTATION_MS) or (
            echo == self._echo_before and age_ms <= _ECHO_ROTATION_MS
        )

    # Notifying

    def notify(
        self,
        observation: Observation,
        payload: "bytes | bytearray | memoryview",
        content_format: "int | None",
        confirmable: bool,
    ) -> None:
        """See `Endpoint.notify`."""
        if not observation.is_active:
            return
        if observation.is_unacknowledged:
            observation.queued = (bytes(payload), content_format, confirmable)
            observation.send_queued = self._notify_queued
            return
        observation.sequence = (observation.sequence + 1) & 0xFFFFFF
        options = [(coap_options.OBSERVE, coap_options.uint(observation.sequence))]
        if content_format is not None:
            options.append((coap_options.CONTENT_FORMAT, coap_options.uint(content_format)))
        if len(payload) > blockwise.BLOCK_BYTES:
            response = Response(CONTENT, bytes(payload), content_format)
            peer = observation.address if observation.context is None else observation.context
            self._downloads.keep(_key(peer, observation), response)
            payload, value = blockwise.slice_payload(payload, 0, 6)
            options.append((coap_options.BLOCK2, value))
        code = CONTENT
        if observation.context is not None:
            code, options, payload = protect.protect_response(
                observation.context, observation.binding, code, options, payload
            )
        message_id = self._outbox.new_message_id()
        datagram = encode(
            self._outbox.buffer,
            CONFIRMABLE if confirmable else NON_CONFIRMABLE,
            code,
            message_id,
            observation.token,
            options,
            payload,
        )
        observation.last_message_id = message_id
        observation.is_unacknowledged = confirmable
        self._outbox.send(datagram, observation.address, observation)
        self._wake()

    def _notify_queued(self, observation: Observation) -> None:
        payload, content_format, confirmable = observation.queued
        observation.queued = None
        try:
            self.notify(observation, payload, content_format, confirmable)
        except (OscoreError, OSError) as error:
            # Nobody who called could take it: the peer will notice that nothing comes any more.
            _print_exception(error)
            observation.was_reset()

    # Upkeep

    def tick(self, now: int) -> int:
        """Acknowledge what takes long, forget what was begun; return milliseconds to the next."""
        if self._clock.ticks_diff(now, self._blocks_at) > _BLOCKS_LIFETIME_MS:
            self._uploads.forget()
            self._downloads.forget()
        next_ms = 60_000
        for serving in self._serving:
            if serving.is_confirmable and not serving.is_acknowledged:
                left_ms = _ACK_DELAY_MS - self._clock.ticks_diff(now, serving.started_at)
                if left_ms <= 0:
                    self._acknowledge(serving)
                else:
                    next_ms = min(next_ms, left_ms)
        return next_ms

    def close(self) -> "list[Any]":
        """Hand over the tasks of the handlers under way, for the caller to cancel and await."""
        tasks, self._tasks = self._tasks, []
        return tasks


def _key(peer: object, request: "Request | Observation") -> "tuple":
    """What the blocks of one transfer have in common."""
    return peer, request.code, request.path, request.query


def _is_discovery(code: int, options: "list[tuple[int, bytes]]") -> bool:
    path = tuple([value for number, value in options if number == coap_options.URI_PATH])
    return code == GET and path == _DISCOVERY


def _print_exception(error: BaseException) -> None:
    # sys.print_exception is MicroPython's; CPython runs this module in tests only.
    getattr(sys, "print_exception", print)(error)
