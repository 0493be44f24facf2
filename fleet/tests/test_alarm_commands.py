"""Alarms as people at a command line meet them."""

import pytest
from test_people_commands import FAILED, REFUSED, poleward

from fleet_rig import Rig, hello, make_gateway, make_poles
from poleward_fleet.domain.telemetry import NodeEvent, Severity

pytestmark = pytest.mark.system


async def test_call_is_listed_acknowledged_and_ended(rig: Rig) -> None:
    await make_gateway(rig.fleet)
    (node,) = await make_poles(rig.fleet, 1)
    link, _ = await rig.fleet.links.open("gw-1", hello())
    event = NodeEvent(node, 1, 1, 1_800_000_000_000, "sos.pressed", Severity.CRITICAL)
    await rig.fleet.ingest.events(link, 1, [event])
    (call,) = (await poleward(rig, "alarm", "list", "--json")).json["alarms"]
    assert (call["kind"], call["pole_code"]) == ("sos", "P-1")
    number = str(call["number"])
    early = await poleward(rig, "alarm", "clear", number)
    assert early.code in (FAILED, REFUSED)
    assert "acknowledge" in early.complaint
    assert "acknowledged by admin" in (await poleward(rig, "alarm", "ack", number)).out
    assert (await poleward(rig, "alarm", "clear", number, "--json")).json["cleared_at_ms"]
    assert (await poleward(rig, "alarm", "list", "--json")).json["alarms"] == []
    assert "ended" in (await poleward(rig, "alarm", "list", "--all")).out
    assert (await poleward(rig, "alarm", "ack", "99")).code != 0
