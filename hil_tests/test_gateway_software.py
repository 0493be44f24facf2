"""Gateways that are updated while their nodes report: good releases, bad ones, power cuts."""

import pytest

from hil_tests.conftest import MakeNode
from hil_tests.instruments.launched_gateway import DEADLINE_S, launched_gateway
from poleward_tools.demo.city import City
from poleward_tools.demo.story import lost_readings
from poleward_tools.releases.gateway_build import gateway_sources

pytestmark = [pytest.mark.system]

# File, what stands there, what a bad release has instead, why it comes back.
FAULTS = (
    (
        "poleward_gateway/bootstrap.py",
        "    log.configure(config.log_format)\n",
        "    raise SystemExit(7)\n",
        "exit code 7",
    ),
    (
        "poleward_gateway/adapters/fleet_link/link.py",
        "                await self._session()\n",
        "                await asyncio.sleep(3600)\n",
        "did not prove itself within",
    ),
)


def test_a_gateway_is_updated_while_its_nodes_report_though_its_power_is_cut(
    city: City, make_node: MakeNode
) -> None:
    with launched_gateway(city, "gw-new", trial_s=120) as gateway:
        node = make_node(gateway_uri=gateway.coap, gateway_name=gateway.name)
        node.wait_online()
        node.wait_reports(2)
        _, number = gateway.roll_out(gateway_sources())
        city.wait_until(
            lambda: any((gateway.folder / "software").glob("*/*")),
            what="installation begun",
            timeout_s=DEADLINE_S,
            poll_s=0.01,
        )
        gateway.kill()
        gateway.start()
        # Mostly it installs again; a trial that had begun by then is not repeated.
        assert gateway.wait_over(number).state in ("finished", "stopped")
        node.wait_reports(2)
        version, number = gateway.roll_out(gateway_sources())
        rollout = gateway.wait_over(number)
        assert (rollout.state, rollout.counts) == ("finished", {"confirmed": 1}), rollout
        assert gateway.version() == version
        node.wait_reports(2)
        node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")
        assert len(node.counts()) == 1, "the node needed no reboot"
        node.dim(40)


def test_a_bad_release_of_a_gateway_returns_by_itself_and_stops_its_rollout(
    city: City, make_node: MakeNode
) -> None:
    with launched_gateway(city, "gw-bad", trial_s=10) as gateway:
        node = make_node(gateway_uri=gateway.coap, gateway_name=gateway.name)
        node.wait_online()
        installed = gateway.version()
        for file, good, bad, why in FAULTS:
            sources = gateway_sources()
            text = sources[file].decode()
            assert text.count(good) == 1, file
            _, number = gateway.roll_out({**sources, file: text.replace(good, bad).encode()})
            rollout = gateway.wait_over(number)
            assert rollout.state == "stopped", rollout
            assert [(found.pole_code, found.state) for found in rollout.nodes] == [
                (gateway.name, "returned")
            ]
            assert why in rollout.nodes[0].reason
            city.wait_until(
                lambda: gateway.version() == installed, what="as before", timeout_s=DEADLINE_S
            )
            node.wait_reports(2)
        node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")
        assert len(node.counts()) == 1, "the node needed no reboot"
