"""OSCORE protection of requests and responses (RFC 8613, 5 to 8).

Not exchanges: which context a message is under and what a failure is answered with is decided in
`node.coap.endpoint`.
"""

from micropython import const

from node.codec import options as coap_options
from node.oscore import aead
from node.oscore.context import (
    MALFORMED,
    NOT_AUTHENTIC,
    REPLAYED,
    OscoreError,
    SecurityContext,
    bstr,
)

_POST = const(0x02)
_FETCH = const(0x05)
_CHANGED = const(0x44)
_CONTENT = const(0x45)
_KID_FLAG = const(0x08)
_KID_CONTEXT_FLAG = const(0x10)
_RESERVED_FLAGS = const(0xE0)

# Options that stay outside (class U of RFC 8613, figure 5): Uri-Host, Uri-Port, OSCORE,
# Proxy-Uri, Proxy-Scheme. Observe is in both, everything else is inside.
_OUTER_ONLY = (3, 7, 9, 35, 39)


class Binding:
    """What ties a response to its request: the request's kid and Partial IV (RFC 8613, 5.4)."""

    def __init__(self, kid: bytes, partial_iv: bytes, nonce: "bytes | None") -> None:
        self.kid = kid
        self.partial_iv = partial_iv
        # The request's nonce; a server may use it for one response only, and a client accepts it.
        self.nonce = nonce

    def aad(self) -> bytes:
        """Make the Enc_structure (RFC 9052, 5.3) around the external_aad (RFC 8613, 5.4)."""
        external = b"\x85\x01\x81\x0a" + bstr(self.kid) + bstr(self.partial_iv) + b"\x40"
        return b"\x83\x68Encrypt0\x40" + bstr(external)


def read_option(value: bytes) -> "tuple[bytes, bytes | None, bytes | None]":
    """Read an OSCORE option value as (Partial IV, kid context, kid) (RFC 8613, 6.1).

    Raises:
        OscoreError: MALFORMED.
    """
    if not value:
        return b"", None, None
    flags = value[0]
    size = flags & 7
    at = 1 + size
    if flags & _RESERVED_FLAGS or size > 5 or at > len(value):
        raise OscoreError(MALFORMED)
    partial_iv = value[1:at]
    # RFC 8613, 6.1: a lone zero byte of flags is not allowed, and no leading zeros.
    if flags == 0 or (size > 1 and partial_iv[0] == 0):
        raise OscoreError(MALFORMED)
    kid_context = None
    if flags & _KID_CONTEXT_FLAG:
        if at >= len(value) or at + 1 + value[at] > len(value):
            raise OscoreError(MALFORMED)
        kid_context = value[at + 1 : at + 1 + value[at]]
        at += 1 + value[at]
    kid = None
    if flags & _KID_FLAG:
        kid = value[at:]
    elif at != len(value):
        raise OscoreError(MALFORMED)
    return partial_iv, kid_context, kid


def protect_request(
    context: SecurityContext,
    code: int,
    options: "list[tuple[int, bytes]]",
    payload: "bytes | bytearray | memoryview",
) -> "tuple[int, list[tuple[int, bytes]], bytes, Binding]":
    """Protect a request; return outer code, outer options, outer payload and the binding.

    Raises:
        OscoreError: EXHAUSTED.
    """
    partial_iv = context.next_partial_iv()
    nonce = context.nonce(context.sender_id, partial_iv)
    binding = Binding(context.sender_id, partial_iv, nonce)
    flags = _KID_FLAG | len(partial_iv)
    kid_context = b""
    if context.id_context is not None:
        flags |= _KID_CONTEXT_FLAG
        kid_context = bytes((len(context.id_context),)) + context.id_context
    option = bytes((flags,)) + partial_iv + kid_context + context.sender_id
    outer, ciphertext = _seal(context, binding, nonce, option, code, options, payload, False)
    return _FETCH if len(outer) > 1 and _has_observe(outer) else _POST, outer, ciphertext, binding


def protect_response(
    context: SecurityContext,
    binding: Binding,
    code: int,
    options: "list[tuple[int, bytes]]",
    payload: "bytes | bytearray | memoryview",
) -> "tuple[int, list[tuple[int, bytes]], bytes]":
    """Protect a response; return outer code, outer options and outer payload.

    The first response takes the request's nonce, which saves bytes; every further one, and every
    one with Observe, takes a Partial IV of its own (RFC 8613, 5.2 and 8.3).

    Raises:
        OscoreError: EXHAUSTED.
    """
    has_observe = _has_observe(options)
    if binding.nonce is not None and not has_observe:
        nonce = binding.nonce
        option = b""
    else:
        partial_iv = context.next_partial_iv()
        nonce = context.nonce(context.sender_id, partial_iv)
        option = bytes((len(partial_iv),)) + partial_iv
    binding.nonce = None
    outer, ciphertext = _seal(context, binding, nonce, option, code, options, payload, True)
    return _CONTENT if has_observe else _CHANGED, outer, ciphertext


def _has_observe(options: "list[tuple[int, bytes]]") -> bool:
    return coap_options.find(options, coap_options.OBSERVE) is not None


def _seal(
    context: SecurityContext,
    binding: Binding,
    nonce: bytes,
    option: bytes,
    code: int,
    options: "list[tuple[int, bytes]]",
    payload: "bytes | bytearray | memoryview",
    is_response: bool,
) -> "tuple[list[tuple[int, bytes]], bytes]":
    outer = [(coap_options.OSCORE, option)]
    inner = []
    room = 2 + len(payload)
    for number, value in options:
        if number in _OUTER_ONLY:
            outer.append((number, value))
            continue
        if number == coap_options.OBSERVE:
            outer.append((number, value))
            if is_response:
                value = b""  # RFC 8613, 4.1.3.5.2: the order is the Partial IV's
        inner.append((number, value))
        room += 5 + len(value)
    plaintext = bytearray(room)
    plaintext[0] = code
    end = coap_options.write_body(plaintext, 1, inner, payload)
    key = context.sender_key
    return outer, aead.encrypt(key, nonce, binding.aad(), memoryview(plaintext)[:end])


def unprotect_request(
    context: SecurityContext, partial_iv: bytes, ciphertext: "bytes | bytearray | memoryview"
) -> "tuple[int, list[tuple[int, bytes]], memoryview, Binding]":
    """Open a request that came under `context`; return code, options, payload and the binding.

    Does not touch the replay window while `context.has_window` is false: the caller then asks for
    Echo and calls `restart_window` when it is right.

    Raises:
        OscoreError: MALFORMED, REPLAYED or NOT_AUTHENTIC.
    """
    if not partial_iv:
        raise OscoreError(MALFORMED)
    if context.has_window and context.is_replayed(partial_iv):
        raise OscoreError(REPLAYED)
    nonce = context.nonce(context.recipient_id, partial_iv)
    # RFC 8613, B.1.2: while a replay is possible, no response may take the request's nonce.
    binding = Binding(context.recipient_id, partial_iv, nonce if context.has_window else None)
    code, options, payload = _open(context, binding, nonce, ciphertext)
    if context.has_window:
        context.accept(partial_iv)
    return code, options, payload, binding


def unprotect_response(
    context: SecurityContext,
    binding: Binding,
    option: bytes,
    ciphertext: "bytes | bytearray | memoryview",
) -> "tuple[int, list[tuple[int, bytes]], memoryview]":
    """Open the response to the request of `binding`; return code, options and payload.

    Raises:
        OscoreError: MALFORMED or NOT_AUTHENTIC; wait on, somebody else may have sent it.
    """
    partial_iv = read_option(option)[0]
    if partial_iv:
        nonce = context.nonce(context.recipient_id, partial_iv)
    elif binding.nonce is not None:
        nonce = binding.nonce
    else:
        raise OscoreError(MALFORMED)
    return _open(context, binding, nonce, ciphertext)


def _open(
    context: SecurityContext,
    binding: Binding,
    nonce: bytes,
    ciphertext: "bytes | bytearray | memoryview",
) -> "tuple[int, list[tuple[int, bytes]], memoryview]":
    try:
        plaintext = aead.decrypt(context.recipient_key, nonce, binding.aad(), ciphertext)
    except aead.TagError:
        raise OscoreError(NOT_AUTHENTIC)
    if not plaintext:
        raise OscoreError(MALFORMED)
    try:
        options, payload = coap_options.read_body(memoryview(plaintext), 1)
    except coap_options.OptionsError:
        raise OscoreError(MALFORMED)
    return plaintext[0], [pair for pair in options if pair[0] not in _OUTER_ONLY], payload
