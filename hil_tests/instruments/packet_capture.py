"""Datagrams as a capture file that Wireshark reads.

Not the link; it hands over what passed. Addresses are those of the link's two sides.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC_MICROSECONDS = 0xA1B2C3D4
_LINKTYPE_RAW = 101  # begins with the IP header
_MAX_BYTES = 65535
_UDP = 17


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram: when (Unix time), between which IPv4 addresses and ports, and whether lost."""

    at_s: float
    source: tuple[str, int]
    target: tuple[str, int]
    content: bytes
    was_lost: bool = False


def encode_pcap(datagrams: Iterable[Datagram]) -> bytes:
    """Return a pcap file; lost datagrams have the type of service 0xff, to filter for.

    Format: draft-ietf-opsawg-pcap, 4 and 5.
    """
    capture = struct.pack("<IHHiIII", _MAGIC_MICROSECONDS, 2, 4, 0, 0, _MAX_BYTES, _LINKTYPE_RAW)
    for datagram in datagrams:
        packet = _packet(datagram)
        seconds = int(datagram.at_s)
        microseconds = int((datagram.at_s - seconds) * 1_000_000)
        capture += struct.pack("<IIII", seconds, microseconds, len(packet), len(packet)) + packet
    return capture


def _packet(datagram: Datagram) -> bytes:
    size_bytes = 28 + len(datagram.content)
    service = 0xFF if datagram.was_lost else 0
    # RFC 791, 3.1; checksums are 0, which RFC 768 calls "not computed".
    header = struct.pack("!BBHHHBBH", 0x45, service, size_bytes, 0, 0, 64, _UDP, 0)
    addresses = b"".join(
        bytes(int(part) for part in host.split("."))
        for host in (datagram.source[0], datagram.target[0])
    )
    ports = struct.pack("!HHHH", datagram.source[1], datagram.target[1], size_bytes - 20, 0)
    return header + addresses + ports + datagram.content
