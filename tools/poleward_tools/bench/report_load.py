"""Sends reports as many nodes at once, each with a socket and an OSCORE context of its own.

Run as a program: one JSON order per line of standard input, one JSON result per line of standard
output. Not the server and not the comparison. Reports are encrypted before the clock starts, so
that the machine's time goes to the server; every answer's length is checked, which tells 2.04 from
5.03, and one in SAMPLE is decrypted.
"""

import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

from poleward_gateway.adapters.node_link.report_cipher import Binding, ReportCipher
from poleward_tools.bench.report_keys import (
    GATEWAY_ID,
    MemoryContext,
    node_id,
    percentiles,
    report_payload,
)

SAMPLE = 16
RETRANSMIT_AFTER_S = 2.0  # RFC 7252, 4.8: ACK_TIMEOUT
GIVE_UP_AFTER_S = 30.0
_INNER_HEAD = b"\x02\xb2dp\x11\x70\xff"
_CHANGED_BYTES = 4 + 2 + 2 + 1 + 8  # header, token, option and marker, inner code, tag
_POLL_S = 0.05


@dataclass(slots=True)
class Exchange:
    """One report under way."""

    datagram: bytes
    number: int
    binding: Binding
    first_sent_at: float = 0.0
    sent_at: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    answered: int = 0
    refused: int = 0
    retransmitted: int = 0
    unanswered: int = 0
    latencies_s: list[float] = field(default_factory=list)


class Node:
    """One node: its socket, its keys, and what it has under way by message id."""

    def __init__(self, number: int, address: tuple[str, int], boot: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(address)
        context = MemoryContext(number, node_id(number), GATEWAY_ID)
        self._kid = node_id(number)
        self._cipher = ReportCipher(
            SimpleNamespace(
                sender_key=context.sender_key, recipient_key=context.recipient_key,
                recipient_id=context.sender_id, common_iv=context.common_iv,
            )
        )  # fmt: skip
        self._boot = boot
        self._sent = 0
        self.waiting: list[Exchange] = []
        self.under_way: dict[bytes, Exchange] = {}

    def make(self, count: int) -> None:
        """Encrypt the next reports."""
        for _ in range(count):
            self._sent += 1
            payload = report_payload(self._boot, self._sent - 1)
            partial_iv = self._sent.to_bytes(3, "big")
            binding = self._cipher.bind(self._sent, partial_iv)
            option = bytes([0x09 + 2]) + partial_iv + self._kid
            message_id = (self._sent & 0xFFFF).to_bytes(2, "big")
            token = (self._sent * 40503 & 0xFFFF).to_bytes(2, "big")
            datagram = (
                b"\x42\x02" + message_id + token + bytes([0x90 | len(option)]) + option + b"\xff"
                + self._cipher.seal(binding, _INNER_HEAD + payload)
            )  # fmt: skip
            self.waiting.append(Exchange(datagram, self._sent, binding))

    def send_next(self, now: float) -> None:
        """Send what waits first."""
        exchange = self.waiting.pop()
        exchange.first_sent_at = exchange.sent_at = now
        self.under_way[exchange.datagram[2:4]] = exchange
        self.socket.send(exchange.datagram)

    def is_changed(self, exchange: Exchange, answer: bytes) -> bool:
        """Decrypt an answer and say whether it is 2.04."""
        return self._cipher.open(exchange.binding, answer[8:]) == b"\x44"


class Load:
    """All nodes, and runs with them."""

    def __init__(self, address: tuple[str, int], nodes: int, boot: int) -> None:
        self._nodes = {}
        self._poll = select.epoll()
        for number in range(1, nodes + 1):
            node = Node(number, address, boot)
            self._nodes[node.socket.fileno()] = node
            self._poll.register(node.socket, select.EPOLLIN)

    def run(self, count: int, *, in_flight: int = 0, per_s: float = 0.0) -> dict[str, object]:
        """Send reports and wait for every answer.

        Args:
            count: Reports of each node.
            in_flight: Reports of all nodes under way, while there are more to send; 0 when paced.
            per_s: Reports of all nodes a second, whatever is answered; 0 when not paced.
        """
        nodes = list(self._nodes.values())
        for node in nodes:
            node.make(count)
            # Taken from the end.
            node.waiting.reverse()
        outcome = Outcome()
        total = count * len(nodes)
        sent = 0
        began_at = answered_at = time.perf_counter()
        looked_at = began_at
        for place in range(min(in_flight, total)):
            nodes[place % len(nodes)].send_next(time.perf_counter())
            sent += 1
        while outcome.answered + outcome.refused + outcome.unanswered < total:
            now = time.perf_counter()
            if per_s:
                due = min(total, int((now - began_at) * per_s))
                # A burst of what was missed would measure this program, not the server.
                for place in range(sent, min(due, sent + 64)):
                    nodes[place % len(nodes)].send_next(time.perf_counter())
                    sent += 1
            for descriptor, _ in self._poll.poll(0.0002 if per_s else _POLL_S):
                answered_at = time.perf_counter()
                is_answer = self._receive(self._nodes[descriptor], outcome, answered_at)
                if is_answer and not per_s and sent < total:
                    nodes[sent % len(nodes)].send_next(time.perf_counter())
                    sent += 1
            if now - looked_at > 0.1:
                looked_at = now
                self._retransmit(nodes, outcome, now)
        return {
            "seconds": answered_at - began_at,
            "answered": outcome.answered,
            "refused": outcome.refused,
            "unanswered": outcome.unanswered,
            "retransmitted": outcome.retransmitted,
            "latencies_ms": percentiles(outcome.latencies_s),
        }

    @staticmethod
    def _receive(node: Node, outcome: Outcome, now: float) -> bool:
        """Take one answer; False when it answers nothing that is under way."""
        try:
            answer = node.socket.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return False
        exchange = node.under_way.pop(answer[2:4], None)
        if exchange is None:
            return False
        is_changed = len(answer) == _CHANGED_BYTES
        if is_changed and exchange.number % SAMPLE == 0:
            is_changed = node.is_changed(exchange, answer)
        if is_changed:
            outcome.answered += 1
        else:
            outcome.refused += 1
        outcome.latencies_s.append(now - exchange.first_sent_at)
        return True

    @staticmethod
    def _retransmit(nodes: list[Node], outcome: Outcome, now: float) -> None:
        """Send again what has waited too long, or give it up."""
        for node in nodes:
            for message_id, exchange in list(node.under_way.items()):
                if now - exchange.first_sent_at > GIVE_UP_AFTER_S:
                    del node.under_way[message_id]
                    outcome.unanswered += 1
                elif now - exchange.sent_at > RETRANSMIT_AFTER_S:
                    exchange.sent_at = now
                    outcome.retransmitted += 1
                    node.socket.send(exchange.datagram)


def main() -> None:
    """Obey orders until standard input ends."""
    port, nodes, boot = (int(argument) for argument in sys.argv[1:4])
    load = Load(("127.0.0.1", port), nodes, boot)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(load.run(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
