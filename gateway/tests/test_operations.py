"""What people who run a gateway rely on: settings, health, the service manager, the doctor."""

import contextlib
import dataclasses
import json
import socket
import sqlite3
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import until

from poleward_gateway import bootstrap, doctor
from poleward_gateway.adapters.systemd import ServiceManager
from poleward_gateway.config import GatewayConfig
from poleward_gateway.doctor import Verdict
from poleward_gateway.domain.errors import ConfigurationError, StorageError

PACKAGING = Path(__file__).parents[2] / "packaging"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("coap_prot = 5683", "no setting coap_prot; there is coap_host, coap_port"),
        ('coap_port = "5683"', "coap_port is '5683', not an integer"),
        ("coap_port = true", "coap_port is True, not an integer"),
        ("production = 1", "production is 1, not true or false"),
        ("coap_port = 70000", "coap_port is 70000; choose one from 0 to 65535"),
        ("reports_max = 5", "reports_max is 5; choose 10000 or more"),
        ('log_format = "xml"', "log_format is 'xml'; choose text or json"),
        ("coap_port", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n{text}\n')
    with pytest.raises(ConfigurationError, match=words):
        GatewayConfig.from_file(path, {})


def test_a_file_without_a_folder_is_refused_and_the_command_line_counts_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("coap_port = 1\n")
    with pytest.raises(ConfigurationError, match="data_dir is missing"):
        GatewayConfig.from_file(path, {"data_dir": None})
    found = GatewayConfig.from_file(path, {"data_dir": tmp_path, "coap_port": 2})
    assert (found.data_dir, found.coap_port) == (tmp_path, 2)


def test_the_settings_we_package_are_accepted(tmp_path: Path) -> None:
    found = GatewayConfig.from_file(PACKAGING / "gateway.toml", {"data_dir": tmp_path})
    names = {field.name for field in dataclasses.fields(GatewayConfig)} - {"insecure_nosec"}
    # Those that nobody should copy as they are stand behind a "#".
    text = (PACKAGING / "gateway.toml").read_text()
    assert set(tomllib.loads(text.replace("# site_port", "site_port"))) == names
    assert found.production


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def test_health_says_when_the_disk_fails_and_when_the_loop_hangs(
    config: GatewayConfig, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = dataclasses.replace(config, metrics_port=0)
    async with bootstrap.running(served) as gateway:
        await until(fleet.connected.is_set)
        port = json.loads(config.run_file.read_text())["metrics_port"]
        assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 200
        assert b"poleward_gateway_nodes" in get(port, "/metrics")[1]
        assert json.loads(get(port, "/status")[1])["reports_waiting"] == 0
        assert get(port, "/elsewhere")[0] == 404
        gateway.telemetry._note_disk(StorageError("full"))
        assert get(port, "/readyz")[0] == 503
        assert get(port, "/healthz")[0] == 200
        monkeypatch.setattr(bootstrap, "DEAD_AFTER_S", -1.0)
        assert get(port, "/healthz")[0] == 503


async def test_the_service_manager_is_told(
    config: GatewayConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        said: list[bytes] = []

        def has_said(words: bytes) -> bool:
            with contextlib.suppress(BlockingIOError):
                said.append(manager.recv(1000))
            return any(one.startswith(words) for one in said)

        async with bootstrap.running(config):
            await until(lambda: has_said(b"READY=1\nSTATUS=gw-test serves UDP port"))
            await until(lambda: has_said(b"WATCHDOG=1"))
        await until(lambda: has_said(b"STOPPING=1"))


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    ServiceManager({}).alive()
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
    ServiceManager({"NOTIFY_SOCKET": "@gone"}).alive()


def verdicts(config: GatewayConfig) -> dict[str, tuple[Verdict, str]]:
    return {found.check: (found.verdict, found.words) for found in doctor.examine(config)}


async def test_the_doctor_finds_a_running_gateway_well(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    async with bootstrap.running(dataclasses.replace(config, metrics_port=0)):
        await until(fleet.connected.is_set)
        found = verdicts(config)
    assert not [check for check, (verdict, _) in found.items() if verdict is Verdict.FAILED]
    assert found["process"][0] is Verdict.OK
    assert found["spool"] == (Verdict.OK, "0 reports wait, 0 were ever dropped")
    assert found["fleet"][0] is Verdict.OK
    assert "gw-test" in found["certificate"][1]


async def test_the_doctor_says_what_is_wrong_with_a_stopped_one(
    config: GatewayConfig, fleet: FakeFleet, tmp_path: Path
) -> None:
    never_started = verdicts(config)
    assert never_started["spool"][0] is Verdict.FAILED
    assert "has not been started" in never_started["spool"][1]
    async with bootstrap.running(config):
        pass
    with sqlite3.connect(config.database_path) as database:
        database.execute("INSERT INTO meta VALUES ('reports_dropped', '7')")
    database.close()
    await fleet.stop()
    found = verdicts(config)
    assert found["process"][0] is Verdict.LOOK
    assert "0 reports wait, 7 were ever dropped" in found["spool"][1]
    assert found["fleet"][0] is Verdict.LOOK
    stranger = verdicts(GatewayConfig(tmp_path))
    assert "poleward gateway enroll" in stranger["certificate"][1]
