"""The benchmark `ota-fleet`: a node on a bad link is updated, and the gateway fetches once."""

import pytest

from poleward_tools.bench import ota_fleet


@pytest.mark.system
def test_a_node_on_a_bad_link_is_updated_with_what_the_gateway_fetched_once() -> None:
    figures = ota_fleet.run(boards=2)
    assert figures["confirmed"] == 1, figures
    assert figures["unconfirmed"] == {}
    assert figures["wan_bytes"] == figures["artifact_bytes"]
    assert figures["lan_bytes_ideal"] > figures["artifact_bytes"]
