"""Work orders for gateways without an uplink, and the visits that come back from there."""

import hashlib
import uuid
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    make_gateway,
    make_poles,
    manufactured,
)
from poleward_commissioning.checklist import Check, Verdict
from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import WorkOrder, signed_part
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.inventory import LifeState, LinkState, Pole
from poleward_fleet.domain.work_orders import SignedOrder
from poleward_fleet.services.work_orders import MAX_VALID_S

FIELD = Principal("field", frozenset({Role.TECHNICIAN}), DISTRICT)
MAC = manufactured(7).mac


async def prepare(fleet: Fleet) -> WorkOrder:
    """Make a gateway, a pole, a node in stock and an order for technician "field"."""
    await make_gateway(fleet)
    roles = frozenset({Role.TECHNICIAN})
    await fleet.accounts.add_account("admin", "field", "a long password", roles, DISTRICT)
    await fleet.inventory.import_poles(
        ADMIN, [Pole(f"P-{n}", DISTRICT, 30.0, 120.0, ("lamp",), 60) for n in (7, 8)]
    )
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(7), manufactured(8)])
    return await fleet.work_orders.make(FIELD, "gw-1", [MAC])


def visit_of(order: WorkOrder, clock: FakeClock, **changes: object) -> SiteVisit:
    made = SiteVisit(
        visit_id=str(uuid.uuid4()),
        order_revision=order.revision,
        technician="field",
        mac=MAC,
        pole_code="P-7",
        began_at_ms=clock.now_ms(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def signed(visit: SiteVisit) -> SiteVisit:
    results = (Check("link", Verdict.PASSED, "online"),)
    return replace(visit, signed_at_ms=visit.began_at_ms + 1, results=results, blink_w=(60.0, 12.0))


async def take(fleet: Fleet, visit: SiteVisit) -> str:
    outcome = await fleet.site_sync.take("gw-1", visit.to_bytes())
    assert outcome.visit_id == visit.visit_id
    assert outcome.content_digest == hashlib.sha256(visit.to_bytes()).digest()
    return outcome.conflict


async def test_an_order_is_signed_by_the_ca_and_holds_what_a_bootstrap_takes(fleet: Fleet) -> None:
    order = await prepare(fleet)
    sent = await fleet.links._orders.signed_after("gw-1", 0)
    assert isinstance(sent, SignedOrder)
    assert WorkOrder.from_bytes(sent.content) == order
    node = order.nodes[0]
    assert node.bootstrap.master_secret == manufactured(7).bootstrap_secret
    assert {pole.code for pole in order.poles} == {"P-7", "P-8"}
    key = x509.load_pem_x509_certificate(fleet.authority.ca_pem.encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(sent.signature, signed_part(sent.content), ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(sent.signature, sent.content, ec.ECDSA(SHA256()))
    assert await fleet.links._orders.signed_after("gw-1", order.revision) is None


async def test_an_order_is_for_nodes_in_stock_and_technicians_of_the_area(
    fleet: Fleet,
) -> None:
    await prepare(fleet)
    await make_gateway(fleet, "gw-2", OTHER_DISTRICT)
    make = fleet.work_orders.make
    with pytest.raises(NotFoundError, match="gateway gw-2 does not exist"):
        await make(FIELD, "gw-2", [MAC])
    with pytest.raises(NotFoundError, match="does not exist"):
        await make(ADMIN, "gw-2", [MAC], ["field"])
    with pytest.raises(NotFoundError, match="no account nobody"):
        await make(ADMIN, "gw-1", [MAC], ["nobody"])
    with pytest.raises(NotFoundError, match="import it first"):
        await make(FIELD, "gw-1", ["aabbccddeeff"])
    with pytest.raises(InvalidError, match="at most"):
        await make(FIELD, "gw-1", [MAC], valid_s=MAX_VALID_S + 1)
    with pytest.raises(InvalidError, match="1 to 200 nodes"):
        await make(FIELD, "gw-1", [])
    with pytest.raises(ForbiddenError):
        await make(Principal("v", frozenset({Role.VIEWER})), "gw-1", [MAC])
    await make_poles(fleet, 1)
    with pytest.raises(ConflictError, match="not in stock"):
        await make(FIELD, "gw-1", [manufactured(1).mac])


async def test_only_who_is_in_an_order_gets_a_pass_and_only_while_it_is_good(
    fleet: Fleet, clock: FakeClock
) -> None:
    order = await prepare(fleet)
    (site,) = await fleet.work_orders.passes(FIELD)
    assert site.secret == order.technicians["field"]
    other = Principal("other", frozenset({Role.TECHNICIAN}), DISTRICT)
    assert await fleet.work_orders.passes(other) == []
    assert [o.gateway_name for o in await fleet.work_orders.orders(FIELD)] == ["gw-1"]
    clock.now = order.expires_at_ms
    assert await fleet.work_orders.passes(FIELD) == []
    assert await fleet.work_orders.orders(FIELD) == []


async def test_a_visit_on_site_stands_and_the_same_again_changes_nothing(
    fleet: Fleet, clock: FakeClock
) -> None:
    order = await prepare(fleet)
    begun = visit_of(order, clock)
    # Its gateway may speak of the node before anybody claimed it in the fleet.
    number = order.nodes[0].number
    online = NodeState(number, LinkState.ONLINE, clock.now_ms(), bundle_version="1.0.0")
    await fleet.links._nodes.apply_states("gw-1", [online])
    assert await take(fleet, begun) == ""
    assert (await fleet.lives.node(ADMIN, MAC)).life_state is LifeState.CLAIMED
    for _ in range(2):
        assert await take(fleet, signed(begun)) == ""
    assert (await fleet.lives.node(ADMIN, MAC)).life_state is LifeState.COMMISSIONED
    await fleet.links._nodes.apply_states("gw-1", [online])
    assert (await fleet.lives.node(ADMIN, MAC)).life_state is LifeState.IN_SERVICE
    state = await fleet.visits.state(FIELD, begun.visit_id)
    assert state.visit.blink_w == (60.0, 12.0)
    assert state.visit.technician == "field"
    desired = await fleet.links._nodes.desired_state("gw-1", 0)
    (node,) = desired.nodes
    assert node.operational is not None
    assert node.operational.master_secret == order.nodes[0].operational.master_secret
    done = [record.entry.action for record in await fleet.audit.records(ADMIN)]
    assert done.count("visit.sign") == 1


async def test_conflicts_are_told_and_stay(fleet: Fleet, clock: FakeClock) -> None:
    order = await prepare(fleet)
    await fleet.provisioning.claim(ADMIN, mac=MAC, claim_code="claim-7", pole_code="P-8")
    visit = visit_of(order, clock)
    assert "stands in pole P-8" in await take(fleet, visit)
    assert "stands in pole P-8" in await take(fleet, signed(visit))
    with pytest.raises(ConflictError, match="stands in pole P-8"):
        await fleet.visits.state(FIELD, visit.visit_id)
    assert (await fleet.lives.node(ADMIN, MAC)).pole_code == "P-8"


async def test_a_pole_that_was_taken_meanwhile_is_not_swapped_unasked(
    fleet: Fleet, clock: FakeClock
) -> None:
    order = await prepare(fleet)
    claim = {"mac": manufactured(8).mac, "claim_code": "claim-8", "pole_code": "P-7"}
    await fleet.provisioning.claim(ADMIN, **claim)  # type: ignore[arg-type]
    assert "say that it is swapped" in await take(fleet, visit_of(order, clock))
    assert await take(fleet, visit_of(order, clock, swap=True)) == ""
    swapped = await fleet.lives.node(ADMIN, manufactured(8).mac)
    assert swapped.life_state is LifeState.SWAPPED_OUT


async def test_a_visit_after_the_end_of_its_order_does_not_stand(
    fleet: Fleet, clock: FakeClock
) -> None:
    order = await prepare(fleet)
    late = visit_of(order, clock, began_at_ms=order.expires_at_ms + 1)
    assert "over" in await take(fleet, late)
    unknown = visit_of(order, clock, order_revision=99)
    assert "no work order 99" in await take(fleet, unknown)
    with pytest.raises(InvalidError):
        await fleet.site_sync.take("gw-1", b"{}")
    foreign = visit_of(order, clock, technician="other")
    assert "not for other" in await take(fleet, foreign)
    before = visit_of(order, clock)
    clock.pass_ms(1000)
    await fleet.work_orders.revoke(FIELD, "gw-1")
    assert "revoked" in await take(fleet, visit_of(order, clock))
    assert (await fleet.lives.node(ADMIN, MAC)).life_state is LifeState.MANUFACTURED
    assert await take(fleet, before) == ""


async def test_a_technician_who_was_let_go_meanwhile_signs_nothing(
    fleet: Fleet, clock: FakeClock
) -> None:
    order = await prepare(fleet)
    roles = frozenset({Role.VIEWER})
    await fleet.accounts.add_account("admin", "field", "a long password", roles, DISTRICT)
    assert "may not commission" in await take(fleet, signed(visit_of(order, clock)))
