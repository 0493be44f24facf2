"""A technician's visit to a pole: what they brought, where they stood, what came of it.

Not the checks (poleward_commissioning/checklist.py).
"""

from dataclasses import dataclass, field

from poleward_commissioning.checklist import Check, Place
from poleward_fleet.domain.inventory import Pole


@dataclass(frozen=True, slots=True)
class VisitRequest:
    """What a phone or laptop sends when a technician begins, perhaps long after that.

    Args:
        visit_id: UUID made on the device; the same visit again changes nothing.
        mac: From the label.
        claim_code: From the label.
        pole_code: Where the node was put.
        began_at_ms: When the technician began.
        place: Where the device was; None when it did not say.
        new_pole: The pole, when it is not in the inventory yet.
        swap: The technician was asked and takes the node that stood there out.
        place_confirmed: The technician was asked and is at the pole although it seems far.
    """

    visit_id: str
    mac: str
    claim_code: str = field(repr=False)
    pole_code: str = ""
    began_at_ms: int = 0
    place: Place | None = None
    new_pole: Pole | None = None
    swap: bool = False
    place_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as stored.

    Args:
        signed_at_ms: 0 until the technician signed.
        conflict: Why a visit that a gateway answered does not stand; empty when it does.
    """

    visit_id: str
    node_number: int
    pole_code: str
    technician: str
    began_at_ms: int
    received_at_ms: int
    place: Place | None
    blink_w: tuple[float, ...] = ()
    blink_failure: str = ""
    signed_at_ms: int = 0
    note: str = ""
    results: tuple[Check, ...] = ()
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class VisitState:
    """A visit and how its checks stand."""

    visit: Visit
    checks: tuple[Check, ...]
    is_complete: bool
