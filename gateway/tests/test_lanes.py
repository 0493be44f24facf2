"""The two lanes of the gateway's port: what goes where, and that one port stays one gateway's."""

import socket

import pytest

from nodelink.limits import URGENT_TOKEN_BYTES
from poleward_gateway.adapters.node_link.lanes import open_lanes
from poleward_gateway.domain.errors import ConfigurationError

BULK = [
    b"\x40\x02\x00\x01",
    b"\x42\x02\x00\x01ab\x90\xff" + bytes(100),
    b"\x47\x02\x00\x01" + bytes(7),
    b"",
    b"\x48",
]
URGENT = [
    b"\x48\x02\x00\x01" + bytes(URGENT_TOKEN_BYTES) + b"\x90\xff" + bytes(100),
    b"\x62\x44\x00\x01ab\x90\xff123",
    b"\x60\x00\x00\x01",
    b"\x42\x01\x00\x01ab",
]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_the_kernel_sorts_datagrams_by_urgency(host: str) -> None:
    lanes = open_lanes(host, 0)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as node:
            node.connect(("::1" if ":" in host else host, lanes.bulk.getsockname()[1]))
            for datagram in (*BULK, *URGENT):
                node.send(datagram)
        # The loopback has delivered what was sent.
        assert [lanes.bulk.recv(2048) for _ in BULK] == BULK
        assert [lanes.urgent.recv(2048) for _ in URGENT] == URGENT
        for lane in lanes:
            with pytest.raises(BlockingIOError):
                lane.recv(2048)
    finally:
        lanes.close()


def test_a_second_gateway_cannot_join_the_port() -> None:
    lanes = open_lanes("127.0.0.1", 0)
    port = lanes.bulk.getsockname()[1]
    try:
        with pytest.raises(ConfigurationError, match=f"UDP port {port}"):
            open_lanes("127.0.0.1", port)
    finally:
        lanes.close()
