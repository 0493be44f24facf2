"""Nodes as a fleet desires them, with keys made from their numbers."""

import hashlib
from typing import Any

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway.domain.nodes import OscoreKeys


def keys_of(number: int, purpose: str) -> OscoreKeys:
    """Make keys that differ by node and purpose."""
    secret = hashlib.sha256(f"{number} {purpose}".encode()).digest()
    node_id = (
        number.to_bytes(6, "big")
        if purpose == "bootstrap"
        else number.to_bytes((number.bit_length() + 7) // 8, "big")
    )
    return OscoreKeys(secret[:16], secret[16:24], node_id, b"\x00")


def desired_release(digest: bytes, directive: bytes = b"", *install_times_s: int) -> Any:
    """Make a desired release as the fleet sends it; times come in pairs, from and until."""
    pairs = zip(install_times_s[::2], install_times_s[1::2], strict=True)
    return pb.DesiredRelease(
        digest=digest,
        directive=directive,
        install_times=[pb.InstallTime(from_s=begin_s, until_s=end_s) for begin_s, end_s in pairs],
    )


def desired_node(number: int, **changes: Any) -> Any:
    """Make a desired node as the fleet sends it."""

    def keys(purpose: str) -> Any:
        made = keys_of(number, purpose)
        return pb.OscoreKeys(
            master_secret=made.master_secret,
            master_salt=made.master_salt,
            node_id=made.node_id,
            gateway_id=made.gateway_id,
        )

    fields: dict[str, Any] = {
        "node_number": number,
        "endpoint_name": f"urn:dev:mac:{number:012x}",
        "bootstrap": keys("bootstrap"),
        "operational": keys("operational"),
        "report_interval_s": 10,
        "lamp_nominal_w": 60,
    }
    return pb.DesiredNode(**(fields | changes))
