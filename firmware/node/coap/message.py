"""CoAP messages and their numbers (RFC 7252, 3 and 12): encoding, decoding, what a handler sees.

Not the exchange: retransmission, matching and protection belong to `node.coap.endpoint`.
"""

from micropython import const

from node.codec import options as coap_options

CONFIRMABLE = 0
NON_CONFIRMABLE = 1
ACKNOWLEDGEMENT = 2
RESET = 3

EMPTY = 0x00
GET = 0x01
POST = 0x02
PUT = 0x03
DELETE = 0x04
FETCH = 0x05  # RFC 8132
IPATCH = 0x07

CREATED = 0x41
DELETED = 0x42
VALID = 0x43
CHANGED = 0x44
CONTENT = 0x45
CONTINUE = 0x5F
BAD_REQUEST = 0x80
UNAUTHORIZED = 0x81
BAD_OPTION = 0x82
FORBIDDEN = 0x83
NOT_FOUND = 0x84
METHOD_NOT_ALLOWED = 0x85
NOT_ACCEPTABLE = 0x86
REQUEST_INCOMPLETE = 0x88
TOO_LARGE = 0x8D
UNSUPPORTED_FORMAT = 0x8F
INTERNAL_ERROR = 0xA0
UNAVAILABLE = 0xA3

_VERSION = const(1)
_MAX_TOKEN_BYTES = const(8)

# Options we act on; any other with an odd number is critical and refused (RFC 7252, 5.4.1).
_KNOWN_CRITICAL = (3, 7, 9, 11, 15, 17, 23, 27)


class MessageError(Exception):
    """A datagram that is not a CoAP message.

    `args[0]` is its message type and `args[1]` its message ID when the header could be read, so
    that it can be rejected with Reset (RFC 7252, 4.2); both are None when it could not.
    """


class Message:
    """One decoded datagram; `payload` is a view into it."""

    def __init__(
        self,
        kind: int,
        code: int,
        message_id: int,
        token: bytes,
        options: "list[tuple[int, bytes]]",
        payload: "bytes | bytearray | memoryview",
    ) -> None:
        self.kind = kind
        self.code = code
        self.message_id = message_id
        self.token = token
        self.options = options
        self.payload = payload


def decode(data: memoryview) -> Message:
    """Decode a datagram.

    Raises:
        MessageError: drop it, or reject it when it was confirmable.
    """
    size = len(data)
    if size < 4 or data[0] >> 6 != _VERSION:
        raise MessageError(None, None)
    kind = data[0] >> 4 & 3
    token_size = data[0] & 15
    code = data[1]
    message_id = data[2] << 8 | data[3]
    # RFC 7252, 3: lengths 9 to 15 are reserved; 4.1: an empty message is its header alone.
    if token_size > _MAX_TOKEN_BYTES or 4 + token_size > size or (code == EMPTY and size > 4):
        raise MessageError(kind, message_id)
    try:
        options, payload = coap_options.read_body(data, 4 + token_size)
    except coap_options.OptionsError:
        raise MessageError(kind, message_id)
    return Message(kind, code, message_id, bytes(data[4 : 4 + token_size]), options, payload)


def encode(
    buffer: bytearray,
    kind: int,
    code: int,
    message_id: int,
    token: bytes = b"",
    options: "list[tuple[int, bytes]] | None" = None,
    payload: "bytes | bytearray | memoryview" = b"",
) -> bytes:
    """Encode a message through `buffer` and return it as bytes that may be kept.

    Raises:
        OptionsError: `buffer` is too small.
    """
    token_size = len(token)
    buffer[0] = _VERSION << 6 | kind << 4 | token_size
    buffer[1] = code
    buffer[2] = message_id >> 8
    buffer[3] = message_id & 0xFF
    buffer[4 : 4 + token_size] = token
    end = coap_options.write_body(buffer, 4 + token_size, options or [], payload)
    return bytes(memoryview(buffer)[:end])


def first_unknown_critical(options: "list[tuple[int, bytes]]") -> "int | None":
    """Return the number of a critical option we do not know, None when there is none."""
    for number, _ in options:
        if number & 1 and number not in _KNOWN_CRITICAL:
            return number
    return None


class Request:
    """A request as the handler sees it: unprotected and reassembled.

    Attributes:
        code: GET, POST, PUT, DELETE, FETCH or IPATCH.
        path: Uri-Path segments as str, for instance ("3416", "0").
        query: Uri-Query as str.
        payload: bytes or a view, empty when there is none; valid until the handler returns.
        content_format, accept: numbers, None when absent.
        observe: 0 registers, 1 deregisters, None is neither.
        context: the security context it came under, None for a plain one.
        address: where it came from, opaque.
        is_fresh: it carried the Echo value we asked for (RFC 9175, 2), so it was not delayed.
    """

    def __init__(
        self,
        code: int,
        options: "list[tuple[int, bytes]]",
        payload: "bytes | bytearray | memoryview",
        address: object,
        context: object,
    ) -> None:
        """Read what the handler needs out of `options`.

        Raises:
            UnicodeError: a segment is not UTF-8; answer 4.02.
        """
        self.code = code
        self.options = options
        self.payload = payload
        self.address = address
        self.context = context
        path = []
        query = []
        for number, value in options:
            if number == coap_options.URI_PATH:
                path.append(value.decode())
            elif number == coap_options.URI_QUERY:
                query.append(value.decode())
        self.path = tuple(path)
        self.query = tuple(query)
        self.content_format = coap_options.find_uint(options, coap_options.CONTENT_FORMAT)
        self.accept = coap_options.find_uint(options, coap_options.ACCEPT)
        self.observe = coap_options.find_uint(options, coap_options.OBSERVE)
        self.is_fresh = False
        # What a notification is matched by; set by the endpoint.
        self.token = b""
        self.binding: object = None
        self.observation: object = None


class Response:
    """An answer: what a handler returns and what `Endpoint.request` gives.

    Attributes:
        code: for instance CONTENT; `code >> 5` is 2, 4 or 5.
        payload: bytes or a view, or for an error a diagnostic text.
        content_format: number or None.
        location: Location-Path segments as str, for instance ("rd", "7").
        options: further options, as (number, bytes).
        is_protected: it came under the security context of the request. An error without
            protection (4.01: "context unknown") may come from anybody: take it as a hint.
    """

    def __init__(
        self,
        code: int,
        payload: "bytes | bytearray | memoryview" = b"",
        content_format: "int | None" = None,
        options: "list[tuple[int, bytes]] | None" = None,
    ) -> None:
        self.code = code
        self.payload = payload
        self.content_format = content_format
        self.options = [] if options is None else options
        self.location: tuple = ()
        self.is_protected = True

    @property
    def is_success(self) -> bool:
        """Whether the code is of class 2."""
        return self.code >> 5 == 2
