"""The client speaks to a fleet over real TLS and tells people what went wrong."""

import json
import stat
from pathlib import Path

import grpc
import pytest

from fake_fleet import RunningFleet
from poleward.v1 import inventory_service_pb2 as inventory
from poleward_tools.client import (
    ClientError,
    Failure,
    FleetClient,
    FleetProfile,
    find_profile,
    save_profile,
)

FINGERPRINT = "0123456789abcdef" * 2


def test_every_call_carries_the_token(fleet: RunningFleet) -> None:
    with FleetClient(fleet.profile) as client:
        client.list_areas()
    assert fleet.fake.tokens == [f"Bearer {fleet.token}"]


def test_pages_of_poles_become_one_list(fleet: RunningFleet) -> None:
    fleet.fake.poles = [
        inventory.PoleView(pole=inventory.Pole(code=f"P{number}")) for number in range(5)
    ]
    with FleetClient(fleet.profile) as client:
        assert [view.pole.code for view in client.list_poles()] == ["P0", "P1", "P2", "P3", "P4"]


def test_an_upload_goes_on_where_it_ended(fleet: RunningFleet) -> None:
    content = bytes(range(256)) * 1000
    fleet.fake.stored = bytearray(content[:70_000])
    with FleetClient(fleet.profile) as client:
        client.upload_artifact(content)
    assert fleet.fake.stored == content


def test_an_upload_that_arrives_damaged_is_an_error(fleet: RunningFleet) -> None:
    fleet.fake.stored = bytearray(b"x" * 10)
    with FleetClient(fleet.profile) as client, pytest.raises(ClientError, match="not complete"):
        client.upload_artifact(b"y" * 20)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, Failure.REFUSED),
        (grpc.StatusCode.PERMISSION_DENIED, Failure.REFUSED),
        (grpc.StatusCode.UNAUTHENTICATED, Failure.REFUSED),
        (grpc.StatusCode.INTERNAL, Failure.FAILED),
        (grpc.StatusCode.UNAVAILABLE, Failure.UNREACHABLE),
    ],
)
def test_an_error_says_what_was_tried_and_what_kind_it_is(
    fleet: RunningFleet, code: grpc.StatusCode, failure: Failure
) -> None:
    fleet.fake.failure = (code, "no such pole")
    with FleetClient(fleet.profile) as client, pytest.raises(ClientError) as caught:
        client.set_pole_lamp("P1", 30)
    assert caught.value.failure is failure
    assert "set the lamp of P1" in caught.value.message


def test_advice_follows_in_a_sentence_of_its_own(fleet: RunningFleet) -> None:
    fleet.fake.failure = (grpc.StatusCode.PERMISSION_DENIED, "mei may not")
    with FleetClient(fleet.profile) as client, pytest.raises(ClientError) as caught:
        client.list_areas()
    assert "mei may not. Ask an administrator" in str(caught.value)


def test_a_fleet_with_another_ca_is_refused_before_the_token_is_sent(fleet: RunningFleet) -> None:
    profile = FleetProfile(fleet.url, f"secret.{FINGERPRINT}")
    with pytest.raises(ClientError, match="another CA certificate") as caught:
        FleetClient(profile)
    assert caught.value.failure is Failure.REFUSED
    assert fleet.fake.tokens == []


def test_an_api_port_with_another_certificate_gets_no_token(
    fleet: RunningFleet, impostor: RunningFleet
) -> None:
    fleet.well_known["api"] = impostor.well_known["api"]
    with FleetClient(fleet.profile) as client, pytest.raises(ClientError) as caught:
        client.list_areas()
    assert caught.value.failure is Failure.UNREACHABLE
    assert impostor.fake.tokens == []


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(ClientError) as caught:
        FleetClient(FleetProfile("http://127.0.0.1:1", f"secret.{FINGERPRINT}"))
    assert caught.value.failure is Failure.UNREACHABLE


def test_something_else_than_a_fleet_is_said_to_be_so(fleet: RunningFleet) -> None:
    fleet.well_known = ["not a fleet"]
    with pytest.raises(ClientError, match="not what a fleet answers"):
        FleetClient(fleet.profile)


@pytest.mark.parametrize("token", ["", "abc", "abc.def", f".{FINGERPRINT}", "s." + "G" * 32])
def test_a_token_that_was_not_copied_whole_is_refused(token: str) -> None:
    with pytest.raises(ClientError) as caught:
        FleetProfile("http://127.0.0.1:8080", token)
    assert caught.value.failure is Failure.USAGE


def test_an_address_without_scheme_is_refused() -> None:
    with pytest.raises(ClientError, match="no address"):
        FleetProfile("127.0.0.1:8080", f"secret.{FINGERPRINT}")


def test_no_secret_is_in_a_repr() -> None:
    assert "secret" not in repr(FleetProfile("http://a", f"secret.{FINGERPRINT}"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("POLEWARD_FLEET", raising=False)
    monkeypatch.delenv("POLEWARD_TOKEN", raising=False)
    return tmp_path


def test_a_saved_profile_is_found_again_and_private(home: Path) -> None:
    saved = FleetProfile("http://a", f"one.{FINGERPRINT}")
    path = save_profile(saved)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_profile() == saved


def test_arguments_win_over_environment_over_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(FleetProfile("http://file", f"file.{FINGERPRINT}"))
    monkeypatch.setenv("POLEWARD_TOKEN", f"environment.{FINGERPRINT}")
    found = find_profile(url="http://argument/")
    assert found == FleetProfile("http://argument", f"environment.{FINGERPRINT}")


def test_without_any_profile_the_message_says_how_to_get_one(home: Path) -> None:
    with pytest.raises(ClientError, match="poleward login"):
        find_profile()


def test_a_damaged_profile_file_is_said_to_be_so(home: Path) -> None:
    path = home / "poleward" / "profile.json"
    path.parent.mkdir()
    path.write_text(json.dumps(["x"]))
    with pytest.raises(ClientError, match="cannot be read"):
        find_profile()
