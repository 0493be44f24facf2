"""What gateways say about themselves and their nodes, as values.

Not the stream that carries it (adapters/grpc).
"""

from dataclasses import dataclass

from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.words import Words


@dataclass(frozen=True, slots=True)
class GatewayCertificate:
    """Who a gateway is, as TLS proved under our CA; whether it still counts is in the store."""

    name: str
    serial: str  # hexadecimal


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a gateway's stream."""

    software_version: str
    spool_id: str
    desired_revision: int
    coap_uri: str  # where nodes find it
    lighting_digest: bytes = b""
    site_url: str = ""  # where technicians' devices find it; empty for nowhere
    work_order_revision: int = 0


@dataclass(frozen=True, slots=True)
class NodeUpdate:
    """Progress of one update on a node or gateway; without a stage none is under way.

    Args:
        release_digest: Empty where the gateway has none in hand.
        is_frozen: It failed because its directive did not hold any more, or not yet.
    """

    release_digest: bytes
    stage: NodeStage | None
    reason: str
    is_frozen: bool = False

    @property
    def words(self) -> Words:
        """Why it stands there."""
        told = Words.told(self.reason)
        return Words.of("frozen", told=told) if self.is_frozen else told

    @property
    def is_none(self) -> bool:
        """Whether there is no release that the node may have been offered."""
        return self.stage is None and not self.release_digest


@dataclass(frozen=True, slots=True)
class NodeState:
    """Reported state of one node; None means unchanged."""

    node_number: int
    link_state: LinkState
    heard_at_ms: int
    bundle_version: str | None = None
    release_sequence: int | None = None
    boot: int | None = None
    device: tuple[tuple[str, str], ...] = ()
    update: NodeUpdate | None = None


@dataclass(frozen=True, slots=True)
class GatewaySoftware:
    """What a gateway says that it runs itself; sequence 0 is what was installed by hand."""

    version: str
    release_sequence: int
    update: NodeUpdate | None = None


@dataclass(frozen=True, slots=True)
class BatchStored:
    """Every batch of a kind ("report" or "event") up to this one is committed."""

    kind: str
    batch_number: int


@dataclass(frozen=True, slots=True)
class StoredBatches:
    """Highest batch numbers stored for one spool."""

    report: int
    event: int
