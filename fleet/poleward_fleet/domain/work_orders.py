"""Work orders as the fleet keeps them, and what of them a technician takes along.

Not the order itself nor its encoding: fleet and gateway agreed on those in poleward_commissioning.
"""

from dataclasses import dataclass, field

from poleward_commissioning.work_order import WorkOrder
from poleward_fleet.domain.inventory import LifeState


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it goes to its gateway."""

    content: bytes = field(repr=False)
    signature: bytes


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order and when it was made."""

    order: WorkOrder
    made_at_ms: int


@dataclass(frozen=True, slots=True)
class StockNode:
    """A node with what its bootstrap takes."""

    number: int
    mac: str
    life_state: LifeState
    claim_code_hash: str = field(repr=False)
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SitePass:
    """What a technician's device needs to work at one gateway without the fleet."""

    gateway_name: str
    site_url: str  # empty when the gateway offers nothing
    expires_at_ms: int
    secret: bytes = field(repr=False)
    pole_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteVisitOutcome:
    """What a gateway is told about a visit that it answered; no conflict when the visit stands."""

    visit_id: str
    content_digest: bytes
    conflict: str = ""
