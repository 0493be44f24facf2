"""A technician's visit to a pole: what is asked, what a gateway keeps of it, what is answered.

Not the rules of a visit, which fleet and gateway each apply to what they know.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from poleward_commissioning.checklist import Check, Place, Verdict

MAX_NOTE = 500
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class SiteVisit:
    """A visit that a gateway answered by a work order, as it goes to the fleet.

    Args:
        visit_id: UUID made on the device; the same visit again changes nothing.
        order_revision: Of the work order that allowed it.
        technician: Name of the account.
        mac: Of the node.
        pole_code: Where it was put.
        began_at_ms: By the gateway's clock.
        place: Where the device was; None when it did not say.
        swap: The technician was asked and takes the node that stood there out.
        blink_w: What the lamp drew at each level.
        blink_failure: Why that could not be told; empty when it could.
        signed_at_ms: By the gateway's clock; 0 until then.
        note: Why unfinished checks are in order.
        results: What was signed.
    """

    visit_id: str
    order_revision: int
    technician: str
    mac: str
    pole_code: str
    began_at_ms: int
    place: Place | None = None
    swap: bool = False
    blink_w: tuple[float, ...] = ()
    blink_failure: str = ""
    signed_at_ms: int = 0
    note: str = ""
    results: tuple[Check, ...] = ()

    def to_bytes(self) -> bytes:
        """Encode; the inverse of `from_bytes`."""
        results = [[check.name, check.verdict.value, check.value] for check in self.results]
        return json.dumps(asdict(self) | {"results": results}).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Decode; the inverse of `to_bytes`.

        Raises:
            ValueError: It is not a visit.
        """
        try:
            values: dict[str, Any] = json.loads(content)
            values["place"] = values["place"] and Place(**values["place"])
            values["blink_w"] = tuple(float(power_w) for power_w in values["blink_w"])
            values["results"] = tuple(
                Check(name, Verdict(verdict), value) for name, verdict, value in values["results"]
            )
            visit = cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a visit: {error!r}") from error
        if not _UUID.fullmatch(visit.visit_id) or len(visit.note) > MAX_NOTE:
            raise ValueError("this is not a visit: its id is no UUID or its note is too long")
        return visit


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """What a phone or laptop sends to a gateway to begin a visit."""

    visit_id: str
    mac: str
    claim_code: str = field(repr=False)
    pole_code: str
    place: Place | None = None
    swap: bool = False
    place_confirmed: bool = False
    is_new_pole: bool = False

    @classmethod
    def from_message(cls, message: Any) -> Self:
        """Take a request from decoded JSON; what it does not know is left out.

        Raises:
            ValueError: A field is missing or makes no sense; the message names it.
        """
        try:
            place = message.get("place")
            made = cls(
                visit_id=str(message["visit_id"]),
                mac=str(message["mac"]),
                claim_code=str(message["claim_code"]),
                pole_code=str(message["pole_code"]),
                place=place and Place(**{name: float(place[name]) for name in place}),
                swap=message.get("swap") is True,
                place_confirmed=message.get("place_confirmed") is True,
                is_new_pole=bool(message.get("new_pole")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a visit: {error!r}") from error
        if not _UUID.fullmatch(made.visit_id):
            raise ValueError("a visit needs a UUID")
        if not _MAC.fullmatch(made.mac):
            raise ValueError(f"'{made.mac[:20]}' is not a MAC in 12 lower-case hex digits")
        return made


def visit_answer(
    checks: tuple[Check, ...],
    *,
    is_complete: bool,
    signed_at_ms: int,
    is_told: bool = True,
) -> dict[str, Any]:
    """Return what is answered about a visit, for JSON.

    Args:
        checks: How they stand.
        is_complete: All passed.
        signed_at_ms: Unix time; 0 until then.
        is_told: The fleet knows all of it.
    """
    return {
        "signed_at_ms": signed_at_ms,
        "is_complete": is_complete,
        "is_told": is_told,
        "checks": [
            {"name": check.name, "verdict": check.verdict.value, "value": check.value}
            for check in checks
        ],
    }
