"""Sends reports and events as thousands of nodes, each with one report under way, as nodes have it.

Run as a program like report_load.py: one JSON order per line of standard input, one JSON result per
line of standard output. Not the server and not the figures. A node sends its next report when the
last is answered; one that has no answer is sent again in turn with the others', as fast as the
order asks. A node that was told to wait (5.03) waits. Nodes share sockets; the token says whose a
message is.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import cbor2

from nodelink.limits import URGENT_TOKEN_BYTES
from poleward_gateway.adapters.node_link.report_cipher import ReportCipher
from poleward_tools.bench.report_keys import (
    GATEWAY_ID,
    MemoryContext,
    node_id,
    percentiles,
    report_payload,
)

SOCKETS = 64
EVENT_EVERY = 100
"""One in so many datagrams is an event."""
ACK_TIMEOUT_S = 2.0  # RFC 7252, 4.8
MAX_AGE_S = 10.0
DRAIN_S = 30.0
"""Afterwards, what is under way has this long to be answered."""
_TOKEN_BYTES = 2
_INNER_HEAD = b"\x02\xb2dp\x11\x70\xff"
# Header, token, option and marker, inner code, tag.
_CHANGED_BYTES = 4 + _TOKEN_BYTES + 2 + 1 + 8
_EVENT_CHANGED_BYTES = 4 + URGENT_TOKEN_BYTES + 2 + 1 + 8
_BURST = 256


class Node:
    """One node: its keys, and the report and the event that it has under way."""

    __slots__ = (
        "_boot",
        "_cipher",
        "_kid",
        "_number",
        "_sent",
        "event",
        "event_began_at",
        "event_sent_at",
        "events",
        "hold_until",
        "report",
        "reports",
        "socket",
        "token",
    )  # fmt: skip

    def __init__(self, number: int, place: int, sock: socket.socket, boot: int) -> None:
        context = MemoryContext(number, node_id(number), GATEWAY_ID)
        self._kid = node_id(number)
        self._cipher = ReportCipher(
            SimpleNamespace(
                sender_key=context.sender_key, recipient_key=context.recipient_key,
                recipient_id=context.sender_id, common_iv=context.common_iv,
            )
        )  # fmt: skip
        self._number = 0
        self._boot = boot
        self.socket = sock
        self.token = place.to_bytes(_TOKEN_BYTES, "big")
        self.report = b""
        self.reports = 0
        self.event = b""
        self.events = 0
        self.event_began_at = self.event_sent_at = 0.0
        self.hold_until = 0.0

    def send_report(self) -> None:
        """Send the report under way, or begin the next."""
        if not self.report:
            self.report = self._protect(self.token, report_payload(self._boot, self.reports))
        self.socket.send(self.report)

    def send_event(self, now: float) -> None:
        """Send the event under way, or begin the next."""
        if not self.event:
            token = self.token.ljust(URGENT_TOKEN_BYTES, b"\0")
            self.event = self._protect(token, _event_payload(self._boot, self.events))
            self.event_began_at = now
        self.event_sent_at = now
        self.socket.send(self.event)

    def _protect(self, token: bytes, payload: bytes) -> bytes:
        """Make the datagram of a request."""
        self._number += 1
        partial_iv = self._number.to_bytes(3, "big")
        option = bytes([0x09 + 2]) + partial_iv + self._kid
        binding = self._cipher.bind(self._number, partial_iv)
        sealed = self._cipher.seal(binding, _INNER_HEAD + payload)
        return b"".join(
            (
                bytes((0x40 | len(token), 2)), (self._number & 0xFFFF).to_bytes(2, "big"), token,
                bytes((0x90 | len(option),)), option, b"\xff", sealed,
            )
        )  # fmt: skip


class Load:
    """All nodes, and runs with them."""

    def __init__(self, address: tuple[str, int], nodes: int, boot: int) -> None:
        self._poll = select.epoll()
        self._by_descriptor: dict[int, tuple[socket.socket, list[Node]]] = {}
        sockets = []
        for _ in range(SOCKETS):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect(address)
            sockets.append(sock)
            self._by_descriptor[sock.fileno()] = (sock, [])
            self._poll.register(sock, select.EPOLLIN)
        self._nodes = []
        for place in range(nodes):
            sock = sockets[place % SOCKETS]
            shared = self._by_descriptor[sock.fileno()][1]
            shared.append(Node(place + 1, len(shared), sock, boot))
            self._nodes.append(shared[-1])
        self._with_event: deque[Node] = deque()
        self._begin()

    def _begin(self) -> None:
        """Forget the figures of the last run."""
        self.answered = self.refused = self.events_answered = self.offered = self.events_sent = 0
        self._latencies_s: list[float] = []

    def capacity(self, seconds: float, in_flight: int) -> dict[str, Any]:
        """Keep some nodes busy, each sending its next report when the last is answered."""
        self._begin()
        nodes = self._nodes[:in_flight]
        for node in nodes:
            node.send_report()
        began_at = time.perf_counter()
        while (now := time.perf_counter()) < began_at + seconds:
            self._receive(now, self._poll.poll(0.05), goes_on=True)
        figures = self._figures(time.perf_counter() - began_at)
        self._drain()
        return figures

    def overload(self, seconds: float, per_s: float) -> dict[str, Any]:
        """Send so many datagrams a second, whatever is answered."""
        self._begin()
        # Whose turn an event is must not follow the order of the reports.
        event_nodes = deque(random.Random(1).sample(self._nodes, len(self._nodes)))
        nodes = deque(self._nodes)
        began_at = now = time.perf_counter()
        while now < began_at + seconds:
            due = int((now - began_at) * per_s)
            for _ in range(min(due - self.offered, _BURST)):
                self.offered += 1
                if self.offered % EVENT_EVERY == 0 and not event_nodes[0].event:
                    self._with_event.append(event_nodes[0])
                    event_nodes[0].send_event(now)
                    event_nodes.rotate(-1)
                    self.events_sent += 1
                elif nodes[0].hold_until <= now:
                    nodes[0].send_report()
                nodes.rotate(-1)
            self._receive(now, self._poll.poll(0), goes_on=False)
            self._resend_events(now)
            now = time.perf_counter()
        figures = self._figures(now - began_at)
        self._drain()
        # Events that were answered later count too.
        return figures | {
            "events_answered": self.events_answered,
            "events_latency_ms": percentiles(self._latencies_s),
        }

    def _figures(self, seconds: float) -> dict[str, Any]:
        return {
            "seconds": seconds,
            "answered": self.answered,
            "refused": self.refused,
            "offered": self.offered,
            "events_sent": self.events_sent,
        }

    def _drain(self) -> None:
        """Send what is under way again until all of it is answered."""
        deadline = time.perf_counter() + DRAIN_S
        while (now := time.perf_counter()) < deadline:
            left = [node for node in self._nodes if node.report]
            if not left and not any(node.event for node in self._with_event):
                return
            for first in range(0, len(left), _BURST):
                for node in left[first : first + _BURST]:
                    if node.report and node.hold_until <= now:
                        node.send_report()
                self._receive(time.perf_counter(), self._poll.poll(0.02), goes_on=False)
            self._resend_events(now)
            self._receive(time.perf_counter(), self._poll.poll(0.1), goes_on=False)

    def _resend_events(self, now: float) -> None:
        """Send events again whose answer is late."""
        while self._with_event:
            node = self._with_event[0]
            if node.event and now - node.event_sent_at < ACK_TIMEOUT_S:
                return
            self._with_event.popleft()
            if node.event:
                node.send_event(now)
                self._with_event.append(node)

    def _receive(self, now: float, ready: list[tuple[int, int]], *, goes_on: bool) -> None:
        """Take every answer that is there."""
        for descriptor, _ in ready:
            sock, nodes = self._by_descriptor[descriptor]
            while True:
                try:
                    answer = sock.recv(2048)
                except (BlockingIOError, ConnectionRefusedError):
                    break
                node = nodes[int.from_bytes(answer[4:6], "big")]
                if answer[0] & 15 == URGENT_TOKEN_BYTES:
                    self._take_event_answer(node, answer, now)
                elif node.report[2:4] == answer[2:4]:
                    self._take_answer(node, answer, now)
                    if goes_on:
                        node.send_report()

    def _take_answer(self, node: Node, answer: bytes, now: float) -> None:
        """Take the answer to a report."""
        node.report = b""
        if len(answer) == _CHANGED_BYTES:
            node.reports += 1
            self.answered += 1
        else:
            self.refused += 1
            node.hold_until = now + MAX_AGE_S

    def _take_event_answer(self, node: Node, answer: bytes, now: float) -> None:
        """Take the answer to an event."""
        if node.event[2:4] == answer[2:4] and len(answer) == _EVENT_CHANGED_BYTES:
            node.event = b""
            node.events += 1
            self.events_answered += 1
            self._latencies_s.append(now - node.event_began_at)


def _event_payload(boot: int, sequence: int) -> bytes:
    """Encode an event as a node does."""
    pack: list[dict[int, Any]] = [
        {-2: "/26242/0/", -3: 1_790_000_000, 0: "0", 2: boot},
        {0: "1", 2: sequence},
        {0: "2", 3: "sos.pressed"},
        {0: "3", 2: 3},
        {0: "4", 3: ""},
    ]
    return cbor2.dumps(pack)


def main() -> None:
    """Obey orders until standard input ends."""
    port, nodes, boot = (int(argument) for argument in sys.argv[1:4])
    load = Load(("127.0.0.1", port), nodes, boot)
    for line in sys.stdin:
        order = json.loads(line)
        run = load.capacity if order.pop("run") == "capacity" else load.overload
        sys.stdout.write(json.dumps(run(**order)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
