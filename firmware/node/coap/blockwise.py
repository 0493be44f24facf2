"""Blockwise transfer (RFC 7959): block options, uploads put together, downloads handed out.

Not the loops of a client, which `node.coap.endpoint` runs, nor any I/O.
"""

from micropython import const

from node.codec import options as coap_options

BLOCK_BYTES = 1024
_BAD_OPTION = const(0x82)  # 4.02
_REQUEST_INCOMPLETE = const(0x88)  # 4.08
_TOO_LARGE = const(0x8D)  # 4.13
_MAX_SZX = const(6)
_MAX_UPLOAD_BYTES = const(4096)


class BlockError(Exception):
    """A block that cannot be taken; `args[0]` is the response code to send."""


def read_block(options: "list[tuple[int, bytes]]", number: int) -> "tuple[int, bool, int] | None":
    """Read Block1 or Block2 as (number, more follow, szx), None when it is absent.

    Raises:
        BlockError: 4.02, a reserved size or too long a value.
    """
    value = coap_options.find(options, number)
    if value is None:
        return None
    bits = int.from_bytes(value, "big")
    szx = bits & 7
    if szx > _MAX_SZX or len(value) > 3:
        raise BlockError(_BAD_OPTION)
    return bits >> 4, bool(bits & 8), szx


def block_value(number: int, more: bool, szx: int) -> bytes:
    """Encode the value of a block option."""
    return coap_options.uint(number << 4 | (8 if more else 0) | szx)


class Uploads:
    """Puts Block1 requests together, one at a time.

    Overflow: a new upload takes the place of the one under way, whose sender gets 4.08; more than
    4096 bytes are refused with 4.13.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._data = bytearray()

    def take(
        self, key: object, block: "tuple[int, bool, int]", payload: memoryview
    ) -> "bytearray | None":
        """Add a block; return the whole payload when it was the last one, None before.

        Args:
            key: what tells uploads apart: peer, path and Request-Tag (RFC 9175, 3).
            block: the Block1 option.
            payload: its bytes.

        Raises:
            BlockError: 4.08 for a gap, 4.13 when it grows too large.
        """
        number, more, szx = block
        size = 1 << (szx + 4)
        if number == 0:
            self._key = key
            self._data = bytearray()
        elif key != self._key:
            raise BlockError(_REQUEST_INCOMPLETE)
        if number * size != len(self._data) or (more and len(payload) != size):
            self.forget()
            raise BlockError(_REQUEST_INCOMPLETE)
        if len(self._data) + len(payload) > _MAX_UPLOAD_BYTES:
            self.forget()
            raise BlockError(_TOO_LARGE)
        self._data.extend(payload)
        if more:
            return None
        data = self._data
        self.forget()
        return data

    def forget(self) -> None:
        """Drop what is under way."""
        self._key = None
        self._data = bytearray()


class Downloads:
    """Hands a large response out block by block, so that all blocks are of one state.

    Overflow: one response is kept; a further one takes its place, and the peer's next block is
    then answered by calling the handler again.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._response: object = None

    def keep(self, key: object, response: object) -> None:
        """Keep `response` for the blocks after the first."""
        self._key = key
        self._response = response

    def find(self, key: object) -> object:
        """Return the response kept for `key`, None when there is none."""
        return self._response if key == self._key else None

    def forget(self) -> None:
        """Drop what is kept."""
        self._key = self._response = None


def slice_payload(
    payload: "bytes | bytearray | memoryview", number: int, szx: int
) -> "tuple[memoryview, bytes]":
    """Cut block `number` out of a payload; return it and the value of its Block2 option.

    Raises:
        BlockError: 4.02, there is no such block.
    """
    size = 1 << (szx + 4)
    start = number * size
    if start >= len(payload) and number:
        raise BlockError(_BAD_OPTION)
    more = start + size < len(payload)
    return memoryview(payload)[start : start + size], block_value(number, more, szx)
