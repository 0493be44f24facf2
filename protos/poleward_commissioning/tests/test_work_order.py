"""Work orders, visits and proofs survive their encodings and refuse what is none."""

import json
from dataclasses import replace

import pytest

from poleward_commissioning.checklist import Check, Place, Verdict
from poleward_commissioning.proof import TOLERANCE_MS, is_proved, proof
from poleward_commissioning.visit import SiteRequest, SiteVisit
from poleward_commissioning.work_order import OrderKeys, OrderNode, OrderPole, WorkOrder

SECRET = b"\x07" * 32
KEYS = OrderKeys(b"s" * 16, b"t" * 8, b"\x11")
ORDER = WorkOrder(
    gateway_name="gw-1",
    revision=3,
    expires_at_ms=1_800_000_000_000,
    report_interval_s=60,
    page_origin="https://fleet.example",
    technicians={"field": SECRET},
    nodes=(OrderNode(17, "0250aabbccdd", "ab" * 32, KEYS, KEYS),),
    poles=(OrderPole("P-1", 51.5, -2.6, ("lamp", "sos"), 100, "0250aabbccee"),),
)
VISIT = SiteVisit(
    visit_id="6e0c3c9a-3b1e-4f6b-9f1e-0f2f8c0d8a11",
    order_revision=3,
    technician="field",
    mac="0250aabbccdd",
    pole_code="P-1",
    began_at_ms=1,
    place=Place(51.5, -2.6, 5.0),
    blink_w=(99.0, 21.5),
    signed_at_ms=2,
    note="no button yet",
    results=(Check("sos", Verdict.WAITING),),
)


def test_an_order_and_a_visit_are_read_as_they_were_written() -> None:
    assert WorkOrder.from_bytes(ORDER.to_bytes()) == ORDER
    assert SiteVisit.from_bytes(VISIT.to_bytes()) == VISIT
    assert SiteVisit.from_bytes(replace(VISIT, place=None).to_bytes()).place is None


def test_no_secret_of_an_order_is_in_its_repr() -> None:
    assert SECRET.hex() not in repr(ORDER)
    assert repr(SECRET) not in repr(ORDER)
    assert repr(KEYS.master_secret) not in repr(ORDER)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"nodes": 1}', b"null"])
def test_what_is_no_order_and_no_visit_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        WorkOrder.from_bytes(content)
    with pytest.raises(ValueError, match=r".*"):
        SiteVisit.from_bytes(content)


@pytest.mark.parametrize(
    "change",
    [{"visit_id": "1"}, {"mac": "02:50"}, {"place": {"latitude_deg": "x"}}, {"claim_code": None}],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    message = {
        "visit_id": VISIT.visit_id, "mac": VISIT.mac, "claim_code": "A", "pole_code": "P-1",
    }  # fmt: skip
    assert SiteRequest.from_message(message).pole_code == "P-1"
    if change == {"claim_code": None}:
        del message["claim_code"]
    with pytest.raises(ValueError, match=r".*"):
        SiteRequest.from_message(message | change if "claim_code" in message else message)


def test_a_proof_is_for_one_request_and_for_some_minutes() -> None:
    body = json.dumps({"note": ""}).encode()
    given = proof(SECRET, "POST", "/data/visits", 1000, body)

    def proved(**other: object) -> bool:
        values: dict[str, object] = {
            "secret": SECRET, "given": given, "method": "POST", "path": "/data/visits",
            "at_ms": 1000, "body": body, "now_ms": 1000,
        }  # fmt: skip
        return is_proved(**values | other)  # type: ignore[arg-type]

    assert proved()
    assert proved(now_ms=1000 + TOLERANCE_MS)
    assert not proved(now_ms=1001 + TOLERANCE_MS)
    assert not proved(now_ms=999 - TOLERANCE_MS)
    assert not proved(body=b"")
    assert not proved(path="/data/visits/1")
    assert not proved(method="GET")
    assert not proved(at_ms=1001)
    assert not proved(secret=b"\x08" * 32)
