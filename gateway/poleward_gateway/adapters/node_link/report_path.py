"""The direct path of reports and events: from a datagram to the spool and back as a 2.04.

Not anything unusual (docs/adr/0006): what is not exactly a report in a layout the gateway knows, or
an event, goes on to aiocoap untouched, which also says what is wrong with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from poleward_gateway.adapters.node_link import report_form, report_mapping, senml
from poleward_gateway.adapters.node_link.datagrams import NodeAddress, Send
from poleward_gateway.adapters.node_link.report_cipher import Binding, ReportCipher
from poleward_gateway.adapters.node_link.report_layouts import ReportLayouts
from poleward_gateway.adapters.node_link.security import NodeContext, Purpose, SecurityTable
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Event, Report
from poleward_gateway.ports.clock import Clock, Tally
from poleward_gateway.services.telemetry import Receipt, Telemetry

RETRY_AFTER_S = 10
"""Max-Age of a 5.03: a node tries again after this."""
BATCH_ENOUGH = 128
"""Reports that are handed on together without waiting for more."""
COMPANY_WAIT_S = 0.002
"""A report waits this long for company: handing on one costs as much as handing on many."""
CLOSE_S = 1.0
"""The disk has this long to take what is under way at an orderly stop."""
ANSWERS_KEPT = 8
"""Answers kept for each node; it has one report and one event under way."""

# RFC 7252, 3: version 1, Confirmable, POST; the low half of the first byte is the token's length.
_CONFIRMABLE = 0x40
_POST = 0x02
_TOKEN_MAX = 8
# RFC 7252, 3.1: option 9 is the first and its length is in its first byte; payload follows.
_OSCORE_OPTION = 0x90
_OPTION_MAX = 12
_PAYLOAD = 0xFF
# RFC 8613, 6.1: a key id, no ID context, and a Partial IV of one to five bytes.
_FLAG_KID = 0x08
_HEAD_BYTES_MIN = 24
# Inner code POST, Uri-Path "dp", Content-Format 112, payload.
_SEND_BEGINS = b"\x02\xb2dp\x11\x70\xff"
_PACK_AT = len(_SEND_BEGINS)
# Behind the array's head: the first record and its base name.
_EVENT_BEGINS = b"\xa4\x21\x69/26242/0/"
# By the length of message id and token: Acknowledgement, outer code 2.04 (RFC 8613, 4.2).
_ANSWER_BEGINS = [b""] * 2 + [bytes((0x60 + count, 0x44)) for count in range(_TOKEN_MAX + 1)]
# An empty OSCORE option, payload.
_OUTER_OPTION = b"\x90\xff"
_CHANGED = b"\x44"
# 5.03 with Max-Age: option 14 with an extended delta.
_UNAVAILABLE = bytes([0xA3, 0xD1, 0x01, RETRY_AFTER_S])

Answers = dict[int, tuple[bytes, bytes | None]]
"""By Partial IV: message id and token of a request, and the answer once there is one."""


class _Peer:
    """What the path keeps for one security context."""

    __slots__ = ("answers", "cipher", "context")

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self.cipher = ReportCipher(context)
        self.answers: Answers = {}


_Pending = tuple[_Peer, int, Binding, bytes, NodeAddress]
"""A message on its way to the disk: its number and header, and where its answer goes."""


def _nowhere(datagram: bytes, address: NodeAddress) -> None:
    """Send nothing: there is no batch yet."""


class ReportPath:
    """Takes reports and events out of a drained socket, and answers after the commit.

    - Reports go to the spool in batches; events at once, ahead of the reports that came with them.
    - A retransmission is answered with the bytes of the first answer, from wherever it comes, or
      not at all while its message is on its way to the disk. ANSWERS_KEPT of them are kept for
      each node, so memory is bounded by the nodes.
    - The replay window is the context's own, so both paths see every number once. After a crash
      it is unknown; aiocoap then asks for an Echo (RFC 8613, B.1.2), and the spool's mark knows
      the report that was stored already.
    - Overflow: `Telemetry` says which reports it does not take; they get 5.03 with Max-Age.

    Args:
        on_heard: Told of the nodes that sent what was handed on, all of them authenticated.
    """

    def __init__(
        self,
        table: SecurityTable,
        telemetry: Telemetry,
        layouts: ReportLayouts,
        clock: Clock,
        tally: Tally,
        *,
        on_heard: Callable[[Sequence[NodeNumber]], None],
    ) -> None:
        self._table = table
        self._telemetry = telemetry
        self._layouts = layouts
        self._clock = clock
        self._tally = tally
        self._on_heard = on_heard
        self._peers: dict[bytes, _Peer] = {}
        self._pending: list[_Pending] = []
        self._reports: list[Report] = []
        self._pending_events: list[_Pending] = []
        self._events: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_send: Send = _nowhere
        self._is_closed = False
        self._storing: set[asyncio.Task[None]] = set()

    def take(self, datagram: bytes, address: NodeAddress, send: Send) -> bool:
        """Take a datagram if it is a report or an event; False leaves it to aiocoap.

        Args:
            datagram: As received.
            address: Where it came from.
            send: Answers a retransmission.
        """
        if len(datagram) < _HEAD_BYTES_MIN or datagram[1] != _POST or self._is_closed:
            return False
        token_bytes = datagram[0] - _CONFIRMABLE
        option_at = 4 + token_bytes
        if not 0 <= token_bytes <= _TOKEN_MAX:
            return False
        option_bytes = datagram[option_at] - _OSCORE_OPTION
        piv_bytes = datagram[option_at + 1] - _FLAG_KID
        end = option_at + 1 + option_bytes
        if not (0 < option_bytes <= _OPTION_MAX and 0 < piv_bytes <= 5) or len(datagram) <= end:
            return False
        kid_at = option_at + 2 + piv_bytes
        if kid_at > end or datagram[end] != _PAYLOAD:
            return False
        peer = self._peer(datagram[kid_at:end])
        if peer is None:
            return False
        partial_iv = datagram[option_at + 2 : kid_at]
        number = int.from_bytes(partial_iv, "big")
        header = datagram[2:option_at]
        window = peer.context.recipient_replay_window
        if not window.is_valid(number):
            return self._answer_again(peer, number, header, address, send)
        binding = peer.cipher.bind(number, partial_iv)
        plaintext = peer.cipher.open(binding, datagram[end + 1 :])
        if plaintext is None or not plaintext.startswith(_SEND_BEGINS):
            return False
        pending = (peer, number, binding, header, address)
        if plaintext.startswith(_EVENT_BEGINS, _PACK_AT + 1):
            event = self._event(peer.context.node, plaintext[_PACK_AT:])
            if event is None:
                return False
            self._events.append(event)
            self._pending_events.append(pending)
        else:
            report = self._report(peer.context.node, plaintext)
            if report is None:
                return False
            self._reports.append(report)
            self._pending.append(pending)
        window.strike_out(number)
        peer.context.address = address
        answers = peer.answers
        answers[number] = (header, None)
        if len(answers) > ANSWERS_KEPT:
            del answers[next(iter(answers))]
        return True

    def flush(self, send: Send) -> None:
        """Begin to store what was taken: at once when it is a batch, soon when it is not."""
        if self._events:
            storing = self._telemetry.take_events(self._events)
            self._start(self._store(storing, self._pending_events, send))
            self._on_heard([event.node for event in self._events])
            self._events = []
            self._pending_events = []
        if len(self._reports) >= BATCH_ENOUGH:
            self._begin(send)
        elif self._reports and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(COMPANY_WAIT_S, self._begin, send)
            self._timer_send = send

    def _begin(self, send: Send) -> None:
        """Hand on the batch of reports."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        storing = self._telemetry.take_reports(self._reports)
        self._start(self._store(storing, self._pending, send))
        self._on_heard([report.node for report in self._reports])
        self._reports = []
        self._pending = []

    def is_behind(self) -> bool:
        """Say whether enough reports are on their way to the disk for now."""
        return self._telemetry.is_behind()

    def _start(self, storing: Coroutine[None, None, None]) -> None:
        """Own a task until it ends."""
        task = asyncio.get_running_loop().create_task(storing)
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def close(self) -> None:
        """Take no more and answer what is under way; call it while the socket is open.

        What the disk does not take in CLOSE_S is not answered, and sent again by its nodes.
        """
        self._is_closed = True
        if self._timer is not None:
            self._begin(self._timer_send)
        if self._storing:
            _, late = await asyncio.wait(self._storing, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _peer(self, kid: bytes) -> _Peer | None:
        """Find a peer with a replay window, by its key id."""
        context = self._table.by_kid(kid)
        if context is None or context.purpose is not Purpose.OPERATIONAL:
            return None
        peer = self._peers.get(kid)
        if peer is None or peer.context is not context:
            if not context.recipient_replay_window.is_initialized():
                return None
            peer = self._peers[kid] = _Peer(context)
        return peer

    def _answer_again(
        self, peer: _Peer, number: int, header: bytes, address: NodeAddress, send: Send
    ) -> bool:
        """Answer a retransmission; False for a replay, which is somebody else's to refuse."""
        answered = peer.answers.get(number)
        if answered is None or answered[0] != header:
            return False
        self._tally.count("reports_retransmitted")
        if answered[1] is not None:
            send(answered[1], address)
        return True

    def _report(self, node: NodeNumber, plaintext: bytes) -> Report | None:
        """Read a report; None for anything that is not exactly what our nodes send."""
        form = report_form.read(plaintext, _PACK_AT)
        if form is None:
            return None
        time_s, boot, sequence, dropped, encoded = form
        try:
            series, values = report_mapping.to_readings(encoded, self._layouts.find)
        except (report_mapping.PackError, report_mapping.UnknownLayoutError):
            return None
        if time_s < report_mapping.RELATIVE_BELOW_S:
            time_ms = report_mapping.absolute_ms(time_s, self._clock.now_ms())
        else:
            time_ms = time_s * 1000
        if dropped:
            self._telemetry.note_dropped(node, boot, dropped)
        return Report(node, boot, sequence, time_ms, series, values)

    def _event(self, node: NodeNumber, payload: bytes) -> Event | None:
        """Read an event; None for what is none."""
        try:
            return report_mapping.to_event(node, senml.decode(payload), self._clock.now_ms())
        except (senml.SenmlError, report_mapping.PackError):
            return None

    async def _store(
        self, storing: Awaitable[Sequence[Receipt]], pending: list[_Pending], send: Send
    ) -> None:
        """Wait for the disk, then answer."""
        receipts = await storing
        for (peer, number, binding, header, address), receipt in zip(
            pending, receipts, strict=True
        ):
            said = _CHANGED if receipt is Receipt.STORED else _UNAVAILABLE
            answer = (
                _ANSWER_BEGINS[len(header)] + header + _OUTER_OPTION
                + peer.cipher.seal(binding, said)
            )  # fmt: skip
            if number in peer.answers:
                peer.answers[number] = (header, answer)
            send(answer, address)
