"""A node of the loss experiment: makes reports with known sequence numbers and gets rid of them.

Not the firmware: it keeps every report until it is acknowledged, in memory, and serves nothing.
"""

import asyncio
import itertools
import os
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import cbor2
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import CON

from poleward_tools.bench.report_keys import (
    GATEWAY_ID,
    MemoryContext,
    node_id,
    values_payload,
)
from poleward_tools.virtual_board.link import Link, LinkFaults

# RFC 7252, 4.8: a message is sent again after 2 to 3 s, then after twice as long, at most 4 times.
_ACK_TIMEOUT_S = 2.0
_ACK_RANDOM_FACTOR = 1.5
_MAX_RETRANSMIT = 4
_TRY_AGAIN_S = 1.0
# RFC 7252, 3: version 1 and a type; empty messages have no token.
_CONFIRMABLE = 0x4
_ACKNOWLEDGEMENT = 0x60
_RESET = 0x70
# RFC 8613, B.1.1: numbers are reserved in steps of this; a reboot loses what is left of a step.
_SENDER_STEP = 64
_CHANGED = codes.CHANGED


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report that a node made."""

    node: int
    boot: int
    sequence: int
    time_s: int


class LossNode:
    """One node with its link to the gateway.

    Overflow: `drop_oldest` is the only way in which it forgets a report that nobody acknowledged;
    it then says so in every later report of that boot (resource 2 of object 26241).

    Args:
        number: of the node; its keys follow from it.
        interval_s: between reports.
    """

    def __init__(self, number: int, interval_s: float) -> None:
        self.number = number
        self.made: list[MadeReport] = []
        self.clock_offset_s = 0
        self._link = Link(seed=number)
        self._chance = random.Random(number)
        self._interval_s = interval_s
        self._context = MemoryContext(number, node_id(number), GATEWAY_ID)
        self._waiting: deque[MadeReport] = deque()
        self._wake = asyncio.Event()
        self._boot = 1
        self._sequence = 0
        self._dropped = 0
        self._mids = itertools.count(self._chance.randrange(65536))
        self._answer: asyncio.Future[bytes] | None = None
        self._token = b""
        self._transport: asyncio.DatagramTransport | None = None
        self._gateway = ("", 0)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Reports that are not acknowledged."""
        return len(self._waiting)

    async def start(self, host: str, port: int) -> None:
        """Begin to report to a gateway."""
        await self.move_to(host, port)
        self._tasks = [asyncio.create_task(self._make()), asyncio.create_task(self._deliver())]

    def stop_making(self) -> None:
        """Make no further reports; those that wait are still delivered."""
        self._tasks[0].cancel()

    async def close(self) -> None:
        """End; what made it end early is raised."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.abort()
        self._link.close()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    def set_faults(self, faults: LinkFaults) -> None:
        """Disturb the link from now on."""
        self._link.faults = faults

    def rebind(self) -> None:
        """Appear behind another port from now on."""
        self._link.rebind()

    async def move_to(self, host: str, port: int) -> None:
        """Talk to a gateway at this address from now on, from a new socket."""
        before = self._transport
        self._gateway = self._link.route(host, port)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiver(self), local_addr=("127.0.0.1", 0)
        )
        if before is not None:
            before.abort()

    def reboot(self) -> None:
        """Begin the next boot; what waits was in flash and stays."""
        self._boot += 1
        self._sequence = 0
        self._dropped = 0
        used = self._context.sender_sequence_number
        self._context.sender_sequence_number = used + _SENDER_STEP - used % _SENDER_STEP

    def drop_oldest(self, count: int) -> None:
        """Forget reports of this boot, as when memory is full, but not the one under way."""
        kept = deque([self._waiting.popleft()] if self._waiting else [])
        while self._waiting and count and self._waiting[0].boot == self._boot:
            self._waiting.popleft()
            self._dropped += 1
            count -= 1
        kept.extend(self._waiting)
        self._waiting = kept

    async def _make(self) -> None:
        """Make a report in each interval; nodes are spread over it."""
        await asyncio.sleep(self._chance.random() * self._interval_s)
        while True:
            time_s = int(time.time()) + self.clock_offset_s
            report = MadeReport(self.number, self._boot, self._sequence, time_s)
            self._sequence += 1
            self.made.append(report)
            self._waiting.append(report)
            self._wake.set()
            await asyncio.sleep(self._interval_s)

    async def _deliver(self) -> None:
        """Hand over what waits, the oldest first, one at a time, until each is acknowledged."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            if not await self._is_taken(self._waiting[0]):
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            self._waiting.popleft()

    async def _is_taken(self, report: MadeReport) -> bool:
        """Send a report; True when the gateway said that it is on its disk."""
        request = Message(
            code=codes.POST, uri_path=("dp",), content_format=112, payload=self._payload(report)
        )
        answer = await self._exchange(request)
        if answer is not None and answer.code == codes.UNAUTHORIZED and answer.opt.echo:
            # RFC 9175, 2.3: the gateway does not know its replay window after a crash.
            answer = await self._exchange(request.copy(echo=answer.opt.echo))
        return answer is not None and answer.code == _CHANGED

    def _payload(self, report: MadeReport) -> bytes:
        pack: list[dict[int, Any]] = [
            {-2: "/26241/0/", -3: report.time_s, 0: "0", 2: report.boot},
            {0: "1", 2: report.sequence},
        ]
        if self._dropped and report.boot == self._boot:
            pack.append({0: "2", 2: self._dropped})
        pack.append({0: "4", 8: values_payload()})
        return cbor2.dumps(pack)

    async def _exchange(self, request: Any) -> Any | None:
        """Protect, send, send again, unprotect; None when nothing usable came back."""
        message, request_id = self._context.protect(request)
        message.mid, message.mtype = next(self._mids) & 0xFFFF, CON
        message.token = self._token = os.urandom(4)
        datagram = message.encode()
        timeout_s = _ACK_TIMEOUT_S * self._chance.uniform(1, _ACK_RANDOM_FACTOR)
        self._answer = asyncio.get_running_loop().create_future()
        for _ in range(_MAX_RETRANSMIT + 1):
            assert self._transport is not None
            self._transport.sendto(datagram, self._gateway)
            try:
                answer = Message.decode(
                    await asyncio.wait_for(asyncio.shield(self._answer), timeout_s)
                )
            except TimeoutError:
                timeout_s *= 2
                continue
            if answer.opt.oscore is None:
                return None  # anybody can send that
            plain, _ = self._context.unprotect(answer, request_id)
            return plain
        return None

    def take(self, datagram: bytes) -> None:
        """Take a datagram from the gateway: an answer, or a request, which is turned away."""
        token = datagram[4 : 4 + (datagram[0] & 15)]
        is_request = 0 < datagram[1] < 32
        if datagram[0] >> 4 == _CONFIRMABLE and self._transport is not None:
            # RFC 7252, 4.2: whoever lacks the context for a confirmable message rejects it.
            reply = _RESET if is_request else _ACKNOWLEDGEMENT
            self._transport.sendto(bytes([reply, 0]) + datagram[2:4], self._gateway)
        if is_request:
            return
        if token == self._token and self._answer is not None and not self._answer.done():
            self._answer.set_result(datagram)


class _Receiver(asyncio.DatagramProtocol):
    """Hands datagrams to a node."""

    def __init__(self, node: LossNode) -> None:
        self._node = node

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Hand on what is long enough to be a message."""
        if len(data) >= 4:
            self._node.take(data)
