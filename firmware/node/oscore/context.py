"""OSCORE security contexts (RFC 8613, 3): derived keys, sequence number, replay window.

Not messages: `node.oscore.protect` builds and opens them.
"""

from hashlib import sha256

from micropython import const

from nodelink.limits import REPLAY_WINDOW, SSN_STEP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_ALGORITHM = const(10)  # AES-CCM-16-64-128, RFC 9053, table 5
_NONCE_BYTES = const(13)
_MAX_SEQUENCE = const(0xFFFFFFFFFF)  # RFC 8613, 7.2.1: Partial IV has at most 5 bytes
_MAX_ID_BYTES = const(7)  # nonce length minus 6, RFC 8613, 3.3

NO_CONTEXT = 1
MALFORMED = 2
NOT_AUTHENTIC = 3
REPLAYED = 4
EXHAUSTED = 5


class OscoreError(Exception):
    """A message that OSCORE refuses, or a context that may not protect any more.

    `args[0]` is NO_CONTEXT, MALFORMED, NOT_AUTHENTIC, REPLAYED or EXHAUSTED. After EXHAUSTED only
    new keys help: bootstrap again.
    """


class SecurityContext:
    """One context with one peer; keys are derived when it is made.

    Args:
        secret: master secret, 16 bytes.
        salt: master salt, may be empty.
        sender_id, recipient_id: up to 7 bytes each, not equal.
        id_context: None on the node link; sent with every request when there is one.
        sequence: what `store_sequence` stored last, 0 for a new context.
        store_sequence: called with a number before any sequence number from there on is used
            (RFC 8613, B.1.1); the number must be durable when it returns. Once in 64 messages.
        is_restored: the context was used before this boot, so the replay window is lost: requests
            are answered 4.01 with Echo until one proves to be fresh (RFC 8613, B.1.2).

    Attributes:
        has_window: the replay window is trusted.
    """

    def __init__(
        self,
        secret: bytes,
        salt: bytes,
        sender_id: bytes,
        recipient_id: bytes,
        *,
        id_context: "bytes | None" = None,
        sequence: int = 0,
        store_sequence: "Callable[[int], None] | None" = None,
        is_restored: bool = False,
    ) -> None:
        if max(len(sender_id), len(recipient_id)) > _MAX_ID_BYTES or sender_id == recipient_id:
            raise OscoreError(MALFORMED)
        self.id_context = id_context
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        extracted = _hmac(salt, secret)
        self.sender_key = _derive(extracted, sender_id, id_context, b"Key", 16)
        self.recipient_key = _derive(extracted, recipient_id, id_context, b"Key", 16)
        self.common_iv = _derive(extracted, b"", id_context, b"IV", _NONCE_BYTES)
        self.sequence = sequence
        self._reserved = sequence
        self._store_sequence = store_sequence
        self.has_window = not is_restored
        self._highest = -1
        self._seen = 0  # bit n: `_highest - n` was received

    def next_partial_iv(self) -> bytes:
        """Use up one sequence number and return it as a Partial IV (RFC 8613, 5).

        Raises:
            OscoreError: EXHAUSTED.
            OSError: the sequence number could not be stored; nothing was used up.
        """
        sequence = self.sequence
        if sequence > _MAX_SEQUENCE:
            raise OscoreError(EXHAUSTED)
        if sequence >= self._reserved:
            reserved = sequence + SSN_STEP
            if self._store_sequence is not None:
                self._store_sequence(reserved)
            self._reserved = reserved
        self.sequence = sequence + 1
        size = 1
        while sequence >> (8 * size):
            size += 1
        return sequence.to_bytes(size, "big")

    def nonce(self, identity: bytes, partial_iv: bytes) -> bytes:
        """Make the nonce of the message that `identity` numbered `partial_iv` (RFC 8613, 5.2)."""
        number = len(identity) << 96
        number |= int.from_bytes(identity, "big") << 40
        number |= int.from_bytes(partial_iv, "big")
        number ^= int.from_bytes(self.common_iv, "big")
        return number.to_bytes(_NONCE_BYTES, "big")

    def is_replayed(self, partial_iv: bytes) -> bool:
        """Whether a request of this number came before, or is too old to tell (RFC 8613, 7.4)."""
        age = self._highest - int.from_bytes(partial_iv, "big")
        if age < 0:
            return False
        return age >= REPLAY_WINDOW or bool(self._seen >> age & 1)

    def accept(self, partial_iv: bytes) -> None:
        """Note that an authentic request with this number was received."""
        number = int.from_bytes(partial_iv, "big")
        ahead = number - self._highest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        self._highest = number
        self._seen = 1 if ahead >= REPLAY_WINDOW else (self._seen << ahead | 1) & _WINDOW_MASK

    def restart_window(self, partial_iv: bytes) -> None:
        """Begin the replay window at a request that has proved to be fresh (RFC 8613, B.1.2).

        Everything up to it counts as received.
        """
        self._highest = int.from_bytes(partial_iv, "big")
        self._seen = _WINDOW_MASK
        self.has_window = True


_WINDOW_MASK = (1 << REPLAY_WINDOW) - 1


def _hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104)."""
    if len(key) > 64:
        key = sha256(key).digest()
    inner = bytearray(b"\x36" * 64)
    outer = bytearray(b"\x5c" * 64)
    for index, octet in enumerate(key):
        inner[index] ^= octet
        outer[index] ^= octet
    digest = sha256(inner)
    digest.update(message)
    mac: bytes = sha256(bytes(outer) + digest.digest()).digest()
    return mac


def _derive(
    extracted: bytes, identity: bytes, id_context: "bytes | None", kind: bytes, size: int
) -> bytes:
    """HKDF-Expand of one block (RFC 5869, 2.3) with the info of RFC 8613, 3.2.1."""
    info = (
        b"\x85"
        + bstr(identity)
        + (b"\xf6" if id_context is None else bstr(id_context))
        + bytes((_ALGORITHM, 0x60 | len(kind)))
        + kind
        + bytes((size,))
        + b"\x01"
    )
    return _hmac(extracted, info)[:size]


def bstr(data: bytes) -> bytes:
    """Encode a CBOR byte string of less than 256 bytes."""
    size = len(data)
    return (bytes((0x40 | size,)) if size < 24 else bytes((0x58, size))) + data
