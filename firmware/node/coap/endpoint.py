"""One CoAP endpoint on one socket: requests in both directions, under OSCORE or plain.

Not LwM2M: it knows paths only as segments and hands every request to one handler.

What is injected:
- transport: `await receive_into(buffer) -> (count, address)`, and `send(view, address)`, which may
  lose the datagram, does not wait and does not raise. An address is hashable and opaque.
- clock: `ticks_ms() -> int`, `ticks_diff(later, earlier) -> int`, and
  `await wait(event, timeout_ms) -> bool`, true when the asyncio.Event was set in time.
  `node.coap.clock.TickClock` is the one for boards.
- random_bytes: `random_bytes(count) -> bytes`, unpredictable.
- handler: `async def handler(request: Request) -> Response`. What it raises is printed and answered
  with 5.00. It may take its time: after 0.5 s the request is acknowledged separately.
"""

import asyncio

from micropython import const

from node.coap.client import TOKEN_BYTES, Client
from node.coap.exchange import Duplicates, Outbox
from node.coap.message import (
    ACKNOWLEDGEMENT,
    CONFIRMABLE,
    EMPTY,
    RESET,
    Message,
    MessageError,
    Request,
    Response,
    decode,
    encode,
)
from node.coap.observe import Observation
from node.coap.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable

_DATAGRAM_BYTES = const(1280)
_MAX_TRANSMIT_WAIT_MS = const(93_000)  # RFC 7252, 4.8.2


class Endpoint:
    """See the module; `run` must be running for anything to be received or repeated.

    Args:
        accepts_plain: hand requests without OSCORE to the handler, for interoperability tests;
            otherwise they are answered 4.01, except discovery.

    Attributes:
        malformed: datagrams that were not CoAP.
        starved: datagrams dropped because the heap was full; the peer repeats them.
    """

    def __init__(
        self,
        transport: "Any",
        clock: "Any",
        random_bytes: "Callable[[int], bytes]",
        handler: "Callable[[Request], Awaitable[Response]]",
        *,
        accepts_plain: bool = False,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._timer_changed = asyncio.Event()
        self._outbox = Outbox(transport, clock, random_bytes)
        wake = self._timer_changed.set
        self._client = Client(self._outbox, clock, random_bytes, wake)
        self._duplicates = Duplicates(clock)
        self._server = Server(
            self._outbox, self._duplicates, clock, random_bytes, handler, wake, accepts_plain
        )
        self._inbox = bytearray(_DATAGRAM_BYTES)
        self.malformed = 0
        self.starved = 0

    # Contexts

    def add_context(self, context: object) -> None:
        """Accept requests under `context` from now on."""
        self._server.contexts.append(context)

    def remove_context(self, context: object) -> None:
        """Refuse requests under `context`; end its observations and our requests under it."""
        if context in self._server.contexts:
            self._server.contexts.remove(context)
        self._server.observations.end_context(context)
        self._client.abort(context)

    # Requests

    async def request(
        self,
        address: object,
        context: object,
        code: int,
        path: "tuple[str, ...]",
        *,
        query: "tuple[str, ...]" = (),
        payload: "bytes | bytearray | memoryview" = b"",
        content_format: "int | None" = None,
        accept: "int | None" = None,
        confirmable: bool = True,
        timeout_ms: int = _MAX_TRANSMIT_WAIT_MS,
        token_bytes: int = TOKEN_BYTES,
    ) -> Response:
        """Send a request and return the response, whatever its code.

        A payload over 1024 bytes goes and comes in blocks, and `timeout_ms` counts for each block.
        A peer that asks for Echo gets it. The length of the token may say something to the peer.

        `address` is where to, as the transport knows it; `context` is the security context to send
        under, None for a plain request; `path` and `query` are the parts as str, without slashes.

        Raises:
            RequestTimeout: no answer in time; send again when it is safe to act twice.
            RequestReset: the peer does not know us any more.
            RequestAborted: the context was removed, or eight requests are under way.
            RequestRefused, TransferBroken: a later block failed; begin again.
            OscoreError: EXHAUSTED, the context's keys are used up.
            OSError: the sequence number could not be stored; nothing was sent.
        """
        return await self._client.request(
            address,
            context,
            code,
            path,
            query,
            payload,
            content_format,
            accept,
            confirmable,
            timeout_ms,
            token_bytes,
        )

    async def download(
        self,
        address: object,
        context: object,
        path: "tuple[str, ...]",
        sink: "Any",
        *,
        start_block: int = 0,
        timeout_ms: int = _MAX_TRANSMIT_WAIT_MS,
    ) -> int:
        """GET `path` block by block of 1024 bytes into `sink.write(view)`; return its size.

        To resume, pass as `start_block` how many whole blocks the sink has.

        Raises:
            RequestRefused: the peer answered with an error; `args[0]` is its code.
            TransferBroken: the resource changed meanwhile; begin at block 0.
            RequestTimeout, RequestReset, RequestAborted: as `request`; may be resumed.
        """
        return await self._client.download(address, context, path, sink, start_block, timeout_ms)

    # Observations

    @property
    def observations(self) -> "list[Observation]":
        """The active observations; those of the same peer and path replace each other."""
        return self._server.observations.active()

    def observe(self, request: Request) -> "Observation | None":
        """Begin the observation that `request` (with `observe` 0) asks for.

        For a handler, before it answers as usual. None when 16 are active: answer anyway, it is
        then a plain read. An error as answer ends the observation at once.
        """
        observation = self._server.observations.add(request)
        request.observation = observation
        return observation

    def notify(
        self,
        observation: Observation,
        payload: "bytes | bytearray | memoryview",
        content_format: "int | None",
        *,
        confirmable: bool = True,
    ) -> None:
        """Send a notification, or queue it while the one before is not acknowledged.

        Overflow: a newer one takes the place of the queued one, since only the newest state counts
        (RFC 7641, 4.5.2). `observation.is_active` turns false when the peer cancels or is silent.

        Raises:
            OscoreError: EXHAUSTED, the context's keys are used up.
            OSError: the sequence number could not be stored; nothing was sent.
        """
        self._server.notify(observation, payload, content_format, confirmable)

    def challenge(self, request: Request) -> Response:
        """Make the 4.01 with Echo that asks the peer to prove that `request` was not delayed.

        The peer repeats the request, which then has `is_fresh` (RFC 8613, 7.3; RFC 9175, 2).
        """
        return self._server.challenge()

    # Running

    async def run(self) -> None:
        """Receive and serve until cancelled; owns and ends every task it starts."""
        tasks = [
            asyncio.create_task(self._run_receiver()),
            asyncio.create_task(self._run_timer()),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            tasks.extend(self._server.close())
            for task in tasks:
                task.cancel()
            for task in tasks:
                try:
                    await task
                except asyncio.CancelledError:
                    pass
                except Exception:
                    pass  # `gather` has raised it already

    async def _run_receiver(self) -> None:
        inbox = memoryview(self._inbox)
        while True:
            try:
                count, address = await self._transport.receive_into(self._inbox)
                self._receive(inbox[:count], address)
            except MemoryError:
                self.starved += 1
            # Datagrams that are there already make no wait: a flood of them, whoever sends it,
            # would keep lamp and watchdog from their turn, and whoever has taken the heap.
            await asyncio.sleep(0)

    async def _run_timer(self) -> None:
        while True:
            self._timer_changed.clear()
            await self._clock.wait(self._timer_changed, self.tick())

    def tick(self) -> int:
        """Do what is due now; return milliseconds to the next time."""
        now = self._clock.ticks_ms()
        self._duplicates.tick(now)
        return max(1, min(self._outbox.tick(now), self._client.tick(now), self._server.tick(now)))

    def _receive(self, data: memoryview, address: object) -> None:
        try:
            message = decode(data)
        except MessageError as error:
            self.malformed += 1
            if error.args[0] == CONFIRMABLE:
                self._send_empty(RESET, error.args[1], address)
            return
        kind = message.kind
        code = message.code
        if kind in (ACKNOWLEDGEMENT, RESET):
            self._settle(message, address)
        elif code == EMPTY:
            # RFC 7252, 4.3: a ping is answered by Reset.
            if kind == CONFIRMABLE:
                self._send_empty(RESET, message.message_id, address)
        elif code >> 5 == 0:
            self._server.receive(message, address)
        elif kind == CONFIRMABLE:
            self._receive_separate(message, address)
        else:
            self._client.receive(message, address)

    def _settle(self, message: Message, address: object) -> None:
        """Take an acknowledgement or a Reset of something we sent."""
        was_ours, owner = self._outbox.take(message.message_id, address)
        if message.kind == RESET:
            if owner is not None:
                owner.was_reset()
            elif not was_ours:
                self._server.observations.was_reset(message.message_id, address)
            return
        if owner is not None:
            owner.acknowledged()
        if message.code >> 5 >= 2:
            self._client.receive(message, address)

    def _receive_separate(self, message: Message, address: object) -> None:
        """Take a confirmable response, and acknowledge it as often as it comes."""
        received = self._duplicates.find(message.message_id, address)
        if received is None and self._client.receive(message, address):
            received = self._duplicates.add(message.message_id, address)
        kind = RESET if received is None else ACKNOWLEDGEMENT
        self._send_empty(kind, message.message_id, address)

    def _send_empty(self, kind: int, message_id: int, address: object) -> None:
        datagram = encode(bytearray(4), kind, EMPTY, message_id)
        self._transport.send(memoryview(datagram), address)
