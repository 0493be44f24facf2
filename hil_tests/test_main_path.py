"""Provision, report, command, update: the main path on the virtual rig."""

from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hil_tests.conftest import MakeNode, RigNode
from poleward_tools.client import ClientError, Failure, FleetClient, FleetProfile
from poleward_tools.client.rollout_views import Rollout, RolloutTarget
from poleward_tools.demo import factory
from poleward_tools.demo.city import City
from poleward_tools.demo.story import lost_readings

pytestmark = [pytest.mark.system]

UPDATE_S = 240.0
_versions = iter(range(1, 1000))


def new_release(city: City, key: Ed25519PrivateKey | None = None) -> factory.BuiltRelease:
    """Build a release newer than every one before it in this run."""
    number = next(_versions)
    return factory.build_release(
        f"2.0.{number}", sequence=100 + number, key=key or city.signing_key
    )


def roll_out(node: RigNode, release: factory.BuiltRelease) -> int:
    """Publish a release, which changes nothing when it is, and send it to this node only."""
    digest = node.city.publish(release, notes="")
    return node.city.client.rollouts.create(digest, RolloutTarget(node.pole.area_code)).number


def wait_ended(node: RigNode, number: int) -> Rollout:
    client = node.city.client
    node.wait_until(
        lambda: client.rollouts.get(number).is_over,
        f"rollout {number} ended",
        UPDATE_S,
    )
    return client.rollouts.get(number)


def test_a_commissioned_node_registers_and_reports(make_node: MakeNode) -> None:
    node = make_node()
    node.wait_online()
    node.wait_reports(3)
    view = node.view()
    assert view.bundle_version == "1.0.0"
    assert view.release_sequence == 1
    assert view.gateway_name == "gw-centre"
    voltage = node.value("supply.voltage_v")
    temperature = node.value("air.temperature_c")
    assert voltage is not None
    assert 200 < voltage < 260
    assert temperature is not None
    assert -30 < temperature < 50
    assert lost_readings(node.counts()) == 0


def test_a_wrong_claim_code_commissions_nothing(city: City, make_node: MakeNode) -> None:
    node = make_node()
    free = node.pole.code.replace("HIL", "FREE")
    with pytest.raises(ClientError) as caught:
        city.client.commission(
            mac=node.board.mac,
            claim_code="WRONGWRONG22",
            pole_code=free,
            gateway_name="gw-centre",
        )
    assert caught.value.failure is Failure.REFUSED


def shows_level(node: RigNode, level: int) -> bool:
    """Tell whether the node reports this level and the power that belongs to it."""
    nominal_w = node.pole.lamp_nominal_w
    power_w = node.value("supply.active_power_w") or 0
    return (
        node.value("lamp.level_percent") == level
        and abs(power_w - nominal_w * level / 100) < 0.1 * nominal_w
    )


def test_a_lamp_follows_a_command_and_so_does_its_power(node: RigNode) -> None:
    for level in (100, 30):
        node.dim(level)
        node.wait_until(partial(shows_level, node, level), "level and power")


def test_a_command_to_a_node_without_power_says_so(node: RigNode) -> None:
    node.switch_off()
    outcome = node.city.client.set_pole_lamp(node.pole.code, 50, timeout_s=4)
    assert outcome.status in ("unreachable", "expired")
    assert outcome.detail


def test_a_node_updates_to_a_signed_release_and_confirms_it(node: RigNode) -> None:
    release = new_release(node.city)
    rollout = wait_ended(node, roll_out(node, release))
    assert (rollout.state, rollout.counts.get("confirmed")) == ("finished", 1), rollout
    assert node.view().bundle_version == release.version
    assert node.view().release_sequence == release.sequence
    node.wait_reports(2)
    assert lost_readings(node.counts()) == 0


def test_an_emergency_call_goes_before_an_update(node: RigNode) -> None:
    client = node.city.client
    node.tell(press_button=True)
    node.wait_until(
        lambda: any(
            (alarm.kind, alarm.pole_code) == ("sos", node.pole.code)
            for alarm in client.alarms.list_alarms()
        ),
        "the call is an alarm",
    )
    release = new_release(node.city)

    def wait_held(number: int) -> None:
        def is_held() -> bool:
            return any(
                at.state == "downloaded" and "an emergency call is active" in at.reason
                for at in client.rollouts.get(number).nodes
            )

        node.wait_until(is_held, "it has the release and says why it waits")

    # It is downloaded meanwhile; asked to install it the node refuses, again and again.
    aborted = roll_out(node, release)
    wait_held(aborted)
    node.wait_reports(2)
    client.rollouts.abort(aborted)
    # The node drops it, or it would be installed when the call ends.
    node.wait_until(
        lambda: client.rollouts.get(aborted).counts == {"cancelled": 1}, "it was taken back"
    )
    number = roll_out(node, release)
    wait_held(number)
    assert node.tell(state=True)["starts"] == 1
    assert client.lighting.answer_call(node.pole.code, reset=True).status == "done"
    assert wait_ended(node, number).counts == {"confirmed": 1}


def test_a_node_survives_power_cuts_during_an_update(node: RigNode) -> None:
    release = new_release(node.city)
    number = roll_out(node, release)
    client = node.city.client
    seen = set()

    def cut_in_each_stage() -> bool:
        rollout = client.rollouts.get(number)
        stage = rollout.nodes[0].state if rollout.nodes else "queued"
        if stage in ("downloading", "downloaded", "trial") and stage not in seen:
            seen.add(stage)
            node.power_cut()
        return rollout.is_over

    node.wait_until(cut_in_each_stage, "rollout ended", UPDATE_S)
    # Whatever became of the update: the node runs one of the two releases, whole, and reports.
    node.wait_online()
    node.wait_reports(2)
    assert node.view().bundle_version in ("1.0.0", release.version)
    assert seen, "the update was over before any cut"


def test_the_fleet_refuses_an_altered_release(city: City) -> None:
    release = new_release(city)
    city.client.upload_artifact(release.bundle)
    before = city.client.list_releases()
    with pytest.raises(ClientError, match="signature") as caught:
        city.client.publish_release(factory.with_bad_signature(release.envelope))
    assert caught.value.failure is Failure.REFUSED
    assert city.client.list_releases() == before


def test_the_fleet_refuses_a_release_whose_bundle_is_not_there(city: City) -> None:
    release = new_release(city)
    with pytest.raises(ClientError) as caught:
        city.client.publish_release(release.envelope)
    assert caught.value.failure is Failure.REFUSED


def test_a_node_refuses_a_release_signed_with_a_key_it_does_not_trust(
    node: RigNode, tmp_path: Path
) -> None:
    stranger = factory.load_or_make_key(tmp_path / "keys" / "release.pem")
    # The fleet and so its gateway trust this key; the factory never gave it to the node.
    node.city.client.trust.trust_key(stranger.public_key().public_bytes_raw(), "stranger")
    rollout = wait_ended(node, roll_out(node, new_release(node.city, key=stranger)))
    assert rollout.counts.get("confirmed", 0) == 0
    assert [found.state for found in rollout.nodes] == ["rejected"], rollout
    assert rollout.nodes[0].reason
    assert node.view().bundle_version == "1.0.0"
    node.wait_reports(1)


def test_an_account_made_by_the_administrator_may_look_and_not_dim(node: RigNode) -> None:
    city = node.city
    assert city.profile is not None
    client = city.client
    assert client.accounts.put("looker", roles=["viewer"], area_code=node.pole.area_code)
    token = client.accounts.create_token("looker")
    (account,) = [found for found in client.accounts.list_accounts() if found.name == "looker"]
    assert (account.roles, account.api_token_count) == (("viewer",), 1)
    with FleetClient(FleetProfile(city.profile.url, token)) as looker:
        assert [found.pole_code for found in looker.list_nodes()] == [node.pole.code]
        with pytest.raises(ClientError) as caught:
            looker.set_pole_lamp(node.pole.code, 10)
        assert caught.value.failure is Failure.REFUSED
        assert len(client.accounts.revoke_tokens(name="looker")) == 1
        with pytest.raises(ClientError):
            list(looker.list_nodes())
    client.accounts.drop("looker")
    assert "looker" not in [found.name for found in client.accounts.list_accounts()]
