"""What a gateway needs to let technicians commission nodes while it has no uplink.

Not its signature's key nor how it travels; `signed_part` says what is signed.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

_SIGNED_FOR = b"poleward work order 1\x00"
"""Before the content, so that a signature for anything else under the same key is not for this."""


@dataclass(frozen=True, slots=True)
class OrderKeys:
    """Parameters of one OSCORE security context of a node (RFC 8613, 3.2)."""

    master_secret: bytes = field(repr=False)
    master_salt: bytes = field(repr=False)
    node_id: bytes


@dataclass(frozen=True, slots=True)
class OrderNode:
    """A node that may be commissioned, with what its bootstrap takes."""

    number: int
    mac: str
    claim_code_hash: str = field(repr=False)
    bootstrap: OrderKeys
    operational: OrderKeys


@dataclass(frozen=True, slots=True)
class OrderPole:
    """A pole into which nodes may be put; `node_mac` stood there when the order was made."""

    code: str
    latitude_deg: float
    longitude_deg: float
    equipment: tuple[str, ...]
    lamp_nominal_w: int
    node_mac: str = ""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What may be done where, by whom and until when; one without technicians allows nothing.

    Args:
        gateway_name: The only gateway that it is for.
        revision: The highest of a gateway counts.
        expires_at_ms: Unix time in milliseconds after which it allows nothing.
        report_interval_s: Between reports of its nodes.
        page_origin: Web origin of the technicians' page, which may speak to the gateway.
        technicians: By name, the secret with which they prove who they are.
        nodes: Those that may be commissioned.
        poles: Those of the gateway's area.
    """

    gateway_name: str
    revision: int
    expires_at_ms: int
    report_interval_s: int
    page_origin: str = ""
    technicians: dict[str, bytes] = field(default_factory=dict, repr=False)
    nodes: tuple[OrderNode, ...] = ()
    poles: tuple[OrderPole, ...] = ()

    def node(self, mac: str) -> OrderNode | None:
        """Return a node by its MAC."""
        return next((node for node in self.nodes if node.mac == mac), None)

    def pole(self, code: str) -> OrderPole | None:
        """Return a pole by its code."""
        return next((pole for pole in self.poles if pole.code == code), None)

    def to_bytes(self) -> bytes:
        """Encode; the inverse of `from_bytes`."""
        return json.dumps(asdict(self), default=bytes.hex).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Decode; the inverse of `to_bytes`.

        Raises:
            ValueError: It is not a work order.
        """
        try:
            values: dict[str, Any] = json.loads(content)
            values["technicians"] = {
                name: bytes.fromhex(secret) for name, secret in values["technicians"].items()
            }
            values["nodes"] = tuple(_node(node) for node in values["nodes"])
            values["poles"] = tuple(
                OrderPole(**pole | {"equipment": tuple(pole["equipment"])})
                for pole in values["poles"]
            )
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a work order: {error!r}") from error


def signed_part(content: bytes) -> bytes:
    """Return what the fleet signs of an encoded order (ECDSA P-256 with SHA-256, by its CA)."""
    return _SIGNED_FOR + content


def _node(values: dict[str, Any]) -> OrderNode:
    keys = {
        name: OrderKeys(**{f.name: bytes.fromhex(values[name][f.name]) for f in fields(OrderKeys)})
        for name in ("bootstrap", "operational")
    }
    return OrderNode(**values | keys)
