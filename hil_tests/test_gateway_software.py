"""Gateways that are updated while their nodes report: good releases, bad ones, power cuts."""

from collections.abc import Callable

import pytest

from hil_tests.conftest import MakeNode, RigNode
from hil_tests.instruments.launched_gateway import (
    DEADLINE_S,
    LaunchedGateway,
    launched_gateway,
    publish,
    roll_out,
    wait_over,
    wait_rollout,
)
from poleward_gateway.adapters.software import record_file
from poleward_tools.client.rollout_views import RolloutWave
from poleward_tools.demo.city import City
from poleward_tools.demo.story import lost_readings
from poleward_tools.releases.gateway_build import gateway_sources

pytestmark = [pytest.mark.system]

STARTS = "poleward_gateway/bootstrap.py"
WELL = "    log.configure(config.log_format)\n"
BADLY = "    if (config.data_dir / 'ill').exists():\n        raise SystemExit(7)\n"


def is_installing(gateway: LaunchedGateway) -> bool:
    return any((gateway.folder / "software").glob("*/*"))


def is_on_trial(gateway: LaunchedGateway) -> bool:
    return record_file.load(gateway.folder / "software").is_begun


def wait_version(gateway: LaunchedGateway, version: str) -> None:
    gateway.city.wait_until(
        lambda: gateway.version() == version, what=f"it runs {version}", timeout_s=DEADLINE_S
    )


def wait_whole(node: RigNode) -> None:
    """Wait until a node has reported since; nothing of it is missing and it never started anew."""
    node.wait_reports(2)
    node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")
    assert len(node.counts()) == 1, "the node needed no reboot"


def cut_power(gateway: LaunchedGateway, moment: Callable[[LaunchedGateway], bool]) -> None:
    """Bring a release to a gateway whose power fails at a moment; it runs one of both."""
    city, installed = gateway.city, gateway.version()
    version, digest = publish(city, gateway_sources())
    number = roll_out([gateway], digest)
    rollouts = city.client.rollouts
    city.wait_until(
        lambda: moment(gateway) or rollouts.get(number).is_over,
        what=moment.__name__,
        timeout_s=DEADLINE_S,
        poll_s=0.01,
    )
    gateway.kill()
    gateway.start()
    # Mostly it installs again; a trial that had begun by then is not repeated.
    state = wait_over(city, number).state
    wait_version(gateway, {"finished": version, "stopped": installed}[state])


def test_a_gateway_is_updated_while_its_nodes_report_though_its_power_is_cut(
    city: City, make_node: MakeNode
) -> None:
    with launched_gateway(city, "gw-new", trial_s=120) as gateway:
        node = make_node(gateway_uri=gateway.coap, gateway_name=gateway.name)
        node.wait_online()
        for moment in (is_installing, is_on_trial):
            node.wait_reports(2)
            cut_power(gateway, moment)
        node.wait_reports(2)
        version, digest = publish(city, gateway_sources())
        rollout = wait_over(city, roll_out([gateway], digest))
        assert (rollout.state, rollout.counts) == ("finished", {"confirmed": 1}), rollout
        assert gateway.version() == version
        wait_whole(node)
        node.dim(40)


def test_a_release_that_fails_in_its_second_wave_is_taken_back_from_the_first(
    city: City, make_node: MakeNode
) -> None:
    with (
        launched_gateway(city, "gw-one", trial_s=120) as one,
        launched_gateway(city, "gw-two", trial_s=120) as two,
    ):
        nodes = [make_node(gateway_uri=gw.coap, gateway_name=gw.name) for gw in (one, two)]
        for node in nodes:
            node.wait_online()
        installed = two.version()
        sources = gateway_sources()
        text = sources[STARTS].decode()
        assert text.count(WELL) == 1
        ill = {**sources, STARTS: text.replace(WELL, BADLY + WELL).encode()}
        bad_version, bad = publish(city, ill)
        good_version, good = publish(city, sources)
        waves = (RolloutWave(nodes=1, needs_approval=True), RolloutWave())
        number = roll_out([one, two], bad, waves=waves, on_failure="return", return_digest=good)
        wait_rollout(city, number, lambda rollout: rollout.waits_for == "approval")
        first, other = (one, two) if one.version() == bad_version else (two, one)
        (other.folder / "ill").touch()
        city.client.rollouts.approve(number)
        rollout = wait_over(city, number)
        assert rollout.state == "stopped", rollout
        (failed,) = [node for node in rollout.nodes if node.state == "returned"]
        assert (failed.pole_code, "exit code 7" in failed.reason) == (other.name, True)

        def way_back() -> list[int]:
            rollouts = city.client.rollouts.list_all()
            return [found.number for found in rollouts if found.returns_rollout == number]

        city.wait_until(lambda: bool(way_back()), what="the way back", timeout_s=DEADLINE_S)
        back = wait_over(city, way_back()[0])
        assert (back.state, back.counts) == ("finished", {"confirmed": 1}), back
        assert first.version() == good_version
        wait_version(other, installed)
        for node in nodes:
            wait_whole(node)
