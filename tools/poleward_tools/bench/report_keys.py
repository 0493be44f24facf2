"""What the loads of the gateway benchmarks share: keys, reports, and how delays are summed up.

Not the sending.
"""

import hashlib
import struct
import zlib
from typing import Any

import cbor2
from aiocoap import oscore

LAYOUT = "/3416/0/3 /3418/0/1 /3418/0/2 /3418/0/4 /3418/0/5 /3418/0/6 /3303/0/5700 /3304/0/5700"
"""Eight readings."""
LAYOUT_ID = zlib.crc32(LAYOUT.encode())
READINGS = 8
GATEWAY_ID = b"\x00"
_BASE_TIME_S = 1_790_000_000
_FLOATS = (230.4, 0.391, 85.25, 0.947, 1234.5, -1.25, 67.1)


def secret_and_salt(number: int) -> tuple[bytes, bytes]:
    """Make the keys of a node from its number."""
    made = hashlib.sha256(b"bench %d" % number).digest()
    return made[:16], made[16:24]


def node_id(number: int) -> bytes:
    """Return a node's Sender ID."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


class MemoryContext(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """An OSCORE context of aiocoap's without a file."""

    alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
    hashfun = oscore.hashfunctions["sha256"]
    id_context = None
    echo_recovery = None

    def __init__(self, number: int, sender_id: bytes, recipient_id: bytes) -> None:
        secret, salt = secret_and_salt(number)
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        self.derive_keys(salt, secret)
        self.sender_sequence_number = 0
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        """Keep nothing."""


def values_payload() -> bytes:
    """Encode the values of a report as a node does."""
    values = b"\x89" + cbor2.dumps(LAYOUT_ID) + b"\x18\x50"
    return values + b"".join(b"\xfa" + struct.pack(">f", value) for value in _FLOATS)


def report_payload(boot: int, sequence: int) -> bytes:
    """Encode a report as a node does."""
    pack: list[dict[int, Any]] = [
        {-2: "/26241/0/", -3: _BASE_TIME_S + sequence, 0: "0", 2: boot},
        {0: "1", 2: sequence},
        {0: "4", 8: values_payload()},
    ]
    return cbor2.dumps(pack)


def percentiles(latencies_s: list[float]) -> dict[str, float]:
    """Return median and 99th percentile in milliseconds."""
    if not latencies_s:
        return {}
    latencies_s.sort()
    count = len(latencies_s)
    return {
        "p50": latencies_s[count // 2] * 1000,
        "p99": latencies_s[min(count - 1, count * 99 // 100)] * 1000,
    }
