"""A technician's visit as this gateway keeps it, and why it may refuse one.

Not the visit's own values nor its checks: those are agreed on with the fleet in
poleward_commissioning.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import OrderPole
from poleward_gateway.domain.errors import GatewayError
from poleward_gateway.domain.nodes import NodeNumber


@dataclass(frozen=True, slots=True)
class KeptVisit:
    """A visit and what its order said, which may have been replaced since.

    Args:
        visit: What the fleet is told.
        node: Number of the node.
        pole: As the order knows it.
        is_told: The fleet knows all of it.
        conflict: Why the fleet says that it does not stand; empty when it does.
    """

    visit: SiteVisit
    node: NodeNumber
    pole: OrderPole
    is_told: bool = False
    conflict: str = ""


class Refusal(Enum):
    """What is wrong with a request of a technician."""

    INVALID = "invalid"
    NOT_PROVED = "not proved"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"


class VisitRefusedError(GatewayError):
    """A technician cannot have what they ask for; the message says what to do.

    Args:
        refusal: What kind of reason it is.
        message: For people.
    """

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
