"""Reliability of CoAP's message layer (RFC 7252, 4): retransmission and recognition of duplicates.

Not requests and responses: it moves datagrams that are encoded already.
"""

from micropython import const

from node.coap.message import CONFIRMABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Transmission parameters of RFC 7252, 4.8.
_ACK_TIMEOUT_MS = const(2000)
_ACK_RANDOM_MS = const(1000)  # ACK_TIMEOUT * (ACK_RANDOM_FACTOR - 1)
_MAX_RETRANSMIT = const(4)
_EXCHANGE_LIFETIME_MS = const(247_000)

_DATAGRAM_BYTES = const(1280)  # a block of 1024 bytes with every header, in one IPv6 packet

_MAX_DUPLICATES = const(16)
_MAX_ANSWER_BYTES = const(4096)


class Owner:
    """Who sent a confirmable message and hears what became of it."""

    def acknowledged(self) -> None:
        """The peer has it; a response may be still to come."""

    def was_reset(self) -> None:
        """The peer has it and does not know what it is for (RFC 7252, 4.3)."""

    def gave_up(self) -> None:
        """No acknowledgement came after all retransmissions."""


class _Outgoing:
    def __init__(
        self, datagram: bytes, address: object, owner: "Owner | None", now: int, timeout_ms: int
    ) -> None:
        self.datagram = datagram
        self.address = address
        self.owner = owner
        self.sent_at = now
        self.timeout_ms = timeout_ms
        self.retries_left = _MAX_RETRANSMIT


class Outbox:
    """Sends datagrams and repeats the confirmable ones until they are acknowledged.

    Deviation: NSTART (RFC 7252, 4.7) is not held to 1. An event must not wait behind a report, and
    `Endpoint` bounds how much is under way.
    """

    def __init__(self, transport: "Any", clock: "Any", random_bytes: "Any") -> None:
        self._transport = transport
        self._clock = clock
        self._random_bytes = random_bytes
        self._waiting: list[_Outgoing] = []
        # Everything is encoded through this buffer; nothing awaits while it is in use.
        self.buffer = bytearray(_DATAGRAM_BYTES)
        self._next_message_id = int.from_bytes(random_bytes(2), "big")
        self.retransmissions = 0

    def new_message_id(self) -> int:
        """Return a message ID that was not used for a long time."""
        self._next_message_id = (self._next_message_id + 1) & 0xFFFF
        return self._next_message_id

    def send(self, datagram: bytes, address: object, owner: "Owner | None" = None) -> None:
        """Send a datagram; a confirmable one is repeated until `take` or `forget`."""
        if datagram[0] >> 4 & 3 == CONFIRMABLE:
            spread = int.from_bytes(self._random_bytes(2), "big") * _ACK_RANDOM_MS >> 16
            now = self._clock.ticks_ms()
            outgoing = _Outgoing(datagram, address, owner, now, _ACK_TIMEOUT_MS + spread)
            self._waiting.append(outgoing)
        self._transport.send(memoryview(datagram), address)

    def repeat(self, datagram: bytes, address: object) -> None:
        """Send a datagram once, without expecting anything."""
        self._transport.send(memoryview(datagram), address)

    def take(self, message_id: int, address: object) -> "tuple[bool, Owner | None]":
        """Stop repeating the message that an acknowledgement or a Reset names.

        Returns:
            Whether there was one, and its owner.
        """
        for index, outgoing in enumerate(self._waiting):
            datagram = outgoing.datagram
            if datagram[2] << 8 | datagram[3] == message_id and outgoing.address == address:
                del self._waiting[index]
                return True, outgoing.owner
        return False, None

    def forget(self, owner: Owner) -> None:
        """Stop repeating what `owner` sent."""
        self._waiting = [outgoing for outgoing in self._waiting if outgoing.owner is not owner]

    def tick(self, now: int) -> int:
        """Repeat what is due, tell owners that we gave up; return milliseconds to the next time."""
        next_ms = _EXCHANGE_LIFETIME_MS
        for outgoing in self._waiting[:]:
            left_ms = outgoing.timeout_ms - self._clock.ticks_diff(now, outgoing.sent_at)
            if left_ms <= 0:
                if outgoing.retries_left == 0:
                    self._waiting.remove(outgoing)
                    if outgoing.owner is not None:
                        outgoing.owner.gave_up()
                    continue
                outgoing.retries_left -= 1
                outgoing.sent_at = now
                outgoing.timeout_ms *= 2
                left_ms = outgoing.timeout_ms
                self.retransmissions += 1
                self._transport.send(memoryview(outgoing.datagram), outgoing.address)
            next_ms = min(next_ms, left_ms)
        return next_ms


class Received:
    """One message that came in: what it is recognised by and what it was answered with."""

    def __init__(self, message_id: int, address: object, now: int) -> None:
        self.message_id = message_id
        self.address = address
        self.received_at = now
        self.answer: bytes | None = None


class Duplicates:
    """Remembers what came in, so that a repeated message is answered and not acted on again.

    Overflow: the oldest of 16 messages is forgotten, and the oldest answers beyond 4096 bytes. A
    duplicate of what was forgotten is stopped by OSCORE's replay window instead.
    """

    def __init__(self, clock: "Any") -> None:
        self._clock = clock
        self._received: list[Received] = []

    def find(self, message_id: int, address: object) -> "Received | None":
        """Return the message that came before with this ID from this address, if any."""
        for received in self._received:
            if received.message_id == message_id and received.address == address:
                return received
        return None

    def add(self, message_id: int, address: object) -> Received:
        """Remember a message."""
        received = Received(message_id, address, self._clock.ticks_ms())
        self._received.append(received)
        if len(self._received) > _MAX_DUPLICATES:
            del self._received[0]
        return received

    def answered(self, received: Received, datagram: bytes) -> None:
        """Note what `received` was answered with."""
        received.answer = datagram
        total = 0
        for other in reversed(self._received):
            if other.answer is not None:
                total += len(other.answer)
                if total > _MAX_ANSWER_BYTES:
                    other.answer = None

    def tick(self, now: int) -> None:
        """Forget what cannot be repeated any more."""
        received = self._received
        while received and (
            self._clock.ticks_diff(now, received[0].received_at) > _EXCHANGE_LIFETIME_MS
        ):
            del received[0]
