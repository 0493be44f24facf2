"""What strangers and broken devices send: each is refused and nobody else notices."""

import os
import random
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil_tests.conftest import DEADLINE_S, MakeNode, Relay, RigNode
from poleward_tools.demo.city import City

pytestmark = [pytest.mark.system]

CON = 0
POST = 0x02
GET = 0x01
UNAUTHORIZED = 0x81  # 4.01
OPTION_OSCORE = 9
OPTION_URI_PATH = 11


def coap_message(code: int, options: list[tuple[int, bytes]], payload: bytes = b"") -> bytes:
    """Encode a confirmable message (RFC 7252, 3); options ascending, each below 13 bytes."""
    encoded = b""
    last = 0
    for number, value in options:
        assert number - last < 13
        assert len(value) < 13
        encoded += bytes([(number - last) << 4 | len(value)]) + value
        last = number
    head = struct.pack("!BBH", 0x40 | CON << 4 | 4, code, random.randrange(65536))
    return head + os.urandom(4) + encoded + (b"\xff" + payload if payload else b"")


@pytest.fixture
def stranger(coap: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.connect(coap)
        yield sock


def test_garbage_and_truncated_datagrams_change_nothing(
    node: RigNode, stranger: socket.socket, relay: Relay, make_node: MakeNode
) -> None:
    through_relay = make_node(relay.uri)
    through_relay.wait_online()
    chance = random.Random(7)
    for _ in range(500):
        garbage = chance.randbytes(chance.randrange(1, 600))
        stranger.send(garbage)
        relay.send_to_node(garbage)
    for datagram in list(relay.from_node)[:20]:
        for length in range(1, len(datagram), 7):
            stranger.send(datagram[:length])
            relay.send_to_gateway(datagram[:length])
    node.wait_reports(2)
    through_relay.wait_reports(2)
    node.city.check()


@pytest.mark.parametrize("path", [b"rd", b"bs", b"dp", b"r"])
def test_a_request_without_security_gets_401_and_nothing_else(
    stranger: socket.socket, path: bytes
) -> None:
    stranger.send(coap_message(POST, [(OPTION_URI_PATH, path)], b"x"))
    answer = stranger.recv(2048)
    assert answer[1] == UNAUTHORIZED
    assert b"\xff" not in answer[8:], "an answer to a stranger carries no payload"


def test_an_unknown_security_context_gets_401(stranger: socket.socket) -> None:
    # RFC 8613, 6.1: flags 0x09 = kid present, Partial IV of 1 byte.
    option = b"\x09\x01" + b"\x77\x77\x77"
    stranger.send(coap_message(POST, [(OPTION_OSCORE, option)], os.urandom(40)))
    assert stranger.recv(2048)[1] == UNAUTHORIZED


def test_a_known_context_with_a_wrong_tag_stores_nothing(
    node: RigNode, stranger: socket.socket
) -> None:
    number = node.view().number
    kid = number.to_bytes((number.bit_length() + 7) // 8, "big")
    option = b"\x0b\xff\xff\xff" + kid  # Partial IV far ahead of the node's own
    stranger.send(coap_message(POST, [(OPTION_OSCORE, option)], os.urandom(60)))
    assert stranger.recv(2048)[1] >= 0x80
    # The forged sequence number did not move the replay window: the node still gets through.
    node.wait_reports(2)


def test_a_gateway_with_a_certificate_of_a_stranger_is_refused(
    city: City, stranger_certificate: tuple[Path, Path]
) -> None:
    certificate, key = stranger_certificate
    host, _, port = city.addresses["link"].rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak_http2(context, (host, int(port)))
    city.check()


def speak_http2(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    """Open HTTP/2 over TLS and read until the peer closes, which is an error too."""
    with (
        socket.create_connection(address, timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain) as secure,
    ):
        # TLS 1.3: the refusal of a client's certificate arrives with the first read.
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        while secure.recv(1024):
            pass
        raise ConnectionResetError("closed by the peer")
