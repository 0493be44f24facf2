"""OSCORE against RFC 8613, Appendix C, and its replay and sequence rules; on both Pythons."""

from vm import vectors
from vm.raises import raised

from node.coap import message
from node.codec import options as coap_options
from node.oscore import aead, protect
from node.oscore.context import (
    EXHAUSTED,
    MALFORMED,
    NOT_AUTHENTIC,
    REPLAYED,
    OscoreError,
    SecurityContext,
)

SECRET = bytes(range(16))
SALT = b"12345678"


def derive(vector, sequence=0):
    id_context = vector["id_context"]
    return SecurityContext(
        bytes.fromhex(vector["secret"]),
        bytes.fromhex(vector["salt"]),
        bytes.fromhex(vector["sender_id"]),
        bytes.fromhex(vector["recipient_id"]),
        id_context=None if id_context is None else bytes.fromhex(id_context),
        sequence=sequence,
    )


def derivation(section, sequence=0):
    for vector in vectors.load("oscore")["derivation"]:
        if vector["section"] == section:
            return derive(vector, sequence)
    raise KeyError(section)


def peer_of(context):
    """Make the context of the other side of `context`, from the same secrets in the vectors."""
    for vector in vectors.load("oscore")["derivation"]:
        other = derive(vector)
        if other.sender_key == context.recipient_key and other.common_iv == context.common_iv:
            return other
    raise KeyError


def pair(**keywords):
    """Make the two sides of a context."""
    return (
        SecurityContext(SECRET, SALT, b"\x01", b"\x00", **keywords),
        SecurityContext(SECRET, SALT, b"\x00", b"\x01"),
    )


def refusal(call, *arguments):
    """Return why `call` is refused."""
    return raised(OscoreError, call, *arguments).args[0]


def split(datagram):
    parsed = message.decode(memoryview(datagram))
    option = coap_options.find(parsed.options, coap_options.OSCORE)
    return parsed, option


def test_keys_and_nonces_of_c1_to_c3_are_derived():
    for vector in vectors.load("oscore")["derivation"]:
        context = derive(vector)
        assert context.sender_key.hex() == vector["sender_key"], vector["section"]
        assert context.recipient_key.hex() == vector["recipient_key"], vector["section"]
        assert context.common_iv.hex() == vector["common_iv"], vector["section"]
        nonce = context.nonce(context.sender_id, b"\x00")
        assert nonce.hex() == vector["sender_nonce_0"], vector["section"]
        nonce = context.nonce(context.recipient_id, b"\x00")
        assert nonce.hex() == vector["recipient_nonce_0"], vector["section"]


def test_requests_of_c4_to_c6_are_protected_and_opened():
    for vector in vectors.load("oscore")["requests"]:
        context = derivation(vector["context"], vector["sequence"])
        plain = message.decode(memoryview(bytes.fromhex(vector["unprotected"])))
        code, options, payload, _ = protect.protect_request(
            context, plain.code, plain.options, plain.payload
        )
        protected = message.encode(
            bytearray(128), plain.kind, code, plain.message_id, plain.token, options, payload
        )
        assert protected.hex() == vector["protected"], vector["section"]
        parsed, option = split(protected)
        partial_iv, kid_context, kid = protect.read_option(option)
        assert kid == context.sender_id
        assert kid_context == context.id_context
        code, options, payload, _ = protect.unprotect_request(
            peer_of(context), partial_iv, parsed.payload
        )
        assert code == plain.code
        assert options == [pair for pair in plain.options if pair[0] == coap_options.URI_PATH]
        assert bytes(payload) == bytes(plain.payload)


def test_responses_of_c7_and_c8_are_protected_and_opened():
    all_vectors = vectors.load("oscore")
    for vector in all_vectors["responses"]:
        client = derivation("C.1.1", 20)
        server = derivation(vector["context"], vector["sequence"])
        request = all_vectors["requests"][0]
        plain = message.decode(memoryview(bytes.fromhex(request["unprotected"])))
        _, _, ciphertext, sent = protect.protect_request(
            client, plain.code, plain.options, plain.payload
        )
        _, _, _, received = protect.unprotect_request(server, sent.partial_iv, ciphertext)
        if vector["has_partial_iv"]:
            received.nonce = None
        plain = message.decode(memoryview(bytes.fromhex(vector["unprotected"])))
        code, options, payload = protect.protect_response(
            server, received, plain.code, plain.options, plain.payload
        )
        protected = message.encode(
            bytearray(128), plain.kind, code, plain.message_id, plain.token, options, payload
        )
        assert protected.hex() == vector["protected"], vector["section"]
        parsed, option = split(protected)
        code, options, payload = protect.unprotect_response(client, sent, option, parsed.payload)
        assert (code, bytes(payload)) == (plain.code, b"Hello World!")


def test_ccm_refuses_every_changed_bit():
    key, nonce, aad = bytes(range(16)), bytes(range(13)), b"associated"
    for size in (0, 1, 15, 16, 17, 31, 32, 33):
        plaintext = bytes(range(size))
        sealed = aead.encrypt(key, nonce, aad, plaintext)
        assert len(sealed) == size + aead.TAG_BYTES
        assert aead.decrypt(key, nonce, aad, sealed) == plaintext
        for at in range(len(sealed)):
            changed = bytearray(sealed)
            changed[at] ^= 1
            assert raised(aead.TagError, aead.decrypt, key, nonce, aad, bytes(changed))
            assert raised(aead.TagError, aead.decrypt, key, nonce, aad, sealed[:at])


def sealed_request(context, number=None):
    if number is not None:
        context.sequence = context._reserved = number
    _, _, ciphertext, binding = protect.protect_request(context, 1, [(11, b"x")], b"payload")
    return binding.partial_iv, ciphertext


def test_a_replayed_message_is_rejected():
    client, server = pair()
    sealed = sealed_request(client)
    protect.unprotect_request(server, sealed[0], sealed[1])
    assert refusal(protect.unprotect_request, server, sealed[0], sealed[1]) == REPLAYED


def test_the_window_takes_messages_out_of_order_once_each():
    client, server = pair()
    sealed = {number: sealed_request(client, number) for number in range(40)}
    for number in (5, 3, 4, 0, 39, 8, 38):
        protect.unprotect_request(server, *sealed[number])
    for number in (5, 3, 4, 0, 39, 8, 38):
        assert refusal(protect.unprotect_request, server, *sealed[number]) == REPLAYED
    # 39 - 32 = 7 is left of the window, and 1 and 2 far left.
    for number in (7, 6, 1, 2):
        assert refusal(protect.unprotect_request, server, *sealed[number]) == REPLAYED
    protect.unprotect_request(server, *sealed[9])


def test_a_forged_message_does_not_move_the_window():
    client, server = pair()
    partial_iv, ciphertext = sealed_request(client, 1000)
    forged = bytes(ciphertext[:-1]) + bytes((ciphertext[-1] ^ 1,))
    assert refusal(protect.unprotect_request, server, partial_iv, forged) == NOT_AUTHENTIC
    protect.unprotect_request(server, *sealed_request(client, 3))


def test_a_request_without_partial_iv_is_malformed():
    client, server = pair()
    _, ciphertext = sealed_request(client)
    assert refusal(protect.unprotect_request, server, b"", ciphertext) == MALFORMED


def test_sequence_numbers_are_stored_ahead_once_in_64_messages():
    stored = []
    client, _ = pair(sequence=128, store_sequence=stored.append)
    numbers = [int.from_bytes(client.next_partial_iv(), "big") for _ in range(130)]
    assert numbers == list(range(128, 258))
    assert stored == [192, 256, 320]
    # After a power cut the next boot begins where nothing was used.
    client, _ = pair(sequence=stored[-1], store_sequence=stored.append)
    assert int.from_bytes(client.next_partial_iv(), "big") == 320


def test_a_sequence_number_that_cannot_be_stored_is_not_used():
    def fail(_):
        raise OSError(28)

    client, _ = pair(store_sequence=fail)
    for _ in range(2):
        assert raised(OSError, client.next_partial_iv)
        assert client.sequence == 0


def test_a_used_up_context_refuses_to_protect():
    client, _ = pair(sequence=0xFFFFFFFFFF)
    assert client.next_partial_iv() == b"\xff" * 5
    assert refusal(client.next_partial_iv) == EXHAUSTED


def test_a_response_takes_the_requests_nonce_once():
    client, server = pair()
    partial_iv, ciphertext = sealed_request(client)
    _, _, _, binding = protect.unprotect_request(server, partial_iv, ciphertext)
    _, first, _ = protect.protect_response(server, binding, 0x45, [], b"a")
    _, second, _ = protect.protect_response(server, binding, 0x45, [], b"b")
    assert first == [(9, b"")]
    assert second == [(9, b"\x01\x00")]


def test_a_notification_has_observe_outside_and_a_partial_iv():
    client, server = pair()
    code, outer, ciphertext, sent = protect.protect_request(client, 1, [(6, b""), (11, b"x")], b"")
    assert code == 0x05
    assert (6, b"") in outer
    _, options, _, received = protect.unprotect_request(server, sent.partial_iv, ciphertext)
    assert options == [(6, b""), (11, b"x")]
    for number in (1, 2):
        value = bytes((number,))
        code, outer, ciphertext = protect.protect_response(
            server, received, 0x45, [(6, value)], b"n"
        )
        assert code == 0x45
        assert outer[1] == (6, value)
        option = outer[0][1]
        assert option[0] == 1
        assert protect.unprotect_response(client, sent, option, ciphertext)[0] == 0x45


def test_malformed_options_are_refused():
    for text in (
        "00",
        "06000000000000",
        "07",
        "0101"[:2],
        "20",
        "40",
        "80",
        "10",
        "1005aa",
        "0100ff",
        "020001",
    ):
        assert refusal(protect.read_option, bytes.fromhex(text)) == MALFORMED, text
    assert protect.read_option(b"") == (b"", None, None)
    assert protect.read_option(bytes.fromhex("0914")) == (b"\x14", None, b"")
    assert protect.read_option(bytes.fromhex("1914020102ff")) == (b"\x14", b"\x01\x02", b"\xff")


def test_without_a_window_nothing_is_accepted_until_it_is_restarted():
    client, server = pair()
    server.has_window = False
    sealed = sealed_request(client, 50)
    _, _, _, binding = protect.unprotect_request(server, *sealed)
    assert binding.nonce is None
    server.restart_window(sealed[0])
    assert refusal(protect.unprotect_request, server, *sealed) == REPLAYED
    assert refusal(protect.unprotect_request, server, *sealed_request(client, 49)) == REPLAYED
    protect.unprotect_request(server, *sealed_request(client, 51))
