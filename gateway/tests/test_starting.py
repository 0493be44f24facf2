"""Enrolment, settings and starts that cannot work: each ends with a message that helps."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from aiocoap.numbers import codes
from cryptography import x509
from gateway_fakes.desired import desired_node, keys_of
from gateway_fakes.fleet import FakeAuthority, FakeFleet, FakeWeb
from gateway_fakes.node import MakeNode, until

from poleward_gateway import bootstrap
from poleward_gateway.__main__ import exit_code_of
from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.secrets.key_sources import read_key
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import (
    ConfigurationError,
    GatewayError,
    NotEnrolledError,
    PeerUnreachableError,
    RefusedError,
)


async def test_enrolment_keeps_the_key_for_its_owner_only(config: GatewayConfig) -> None:
    path = config.identity_dir / "identity.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["name"] == "gw-test"


async def test_a_token_is_good_for_one_gateway(
    config: GatewayConfig, fleet: FakeFleet, tmp_path: Path
) -> None:
    web = FakeWeb(fleet)
    try:
        with pytest.raises(RefusedError, match="used before"):
            await bootstrap.enroll(tmp_path / "other", web.url, fleet.token)
    finally:
        web.close()


async def test_a_fleet_that_the_token_does_not_name_is_refused(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    web = FakeWeb(fleet)
    try:
        with pytest.raises(RefusedError, match="another CA certificate"):
            await bootstrap.enroll(tmp_path, web.url, f"secret.{FakeAuthority().pin}")
        with pytest.raises(ConfigurationError, match="not whole"):
            await bootstrap.enroll(tmp_path, web.url, "secret")
        with pytest.raises(RefusedError, match="is this the fleet's address"):
            await bootstrap.enroll(tmp_path, web.url + "/elsewhere", fleet.token)
    finally:
        web.close()
    assert "secret" in fleet.tokens, "the token was not shown to a stranger"


async def test_an_absent_fleet_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(PeerUnreachableError, match="does not answer"):
        await bootstrap.enroll(tmp_path, "http://127.0.0.1:9", "secret." + "0" * 32)
    with pytest.raises(ConfigurationError, match="http://"):
        await bootstrap.enroll(tmp_path, "fleet.example", "secret." + "0" * 32)


async def test_a_gateway_that_is_not_enrolled_says_how(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolledError, match="poleward gateway enroll"):
        async with bootstrap.running(GatewayConfig(tmp_path, coap_port=0)):
            pass


async def test_a_taken_port_is_named(config: GatewayConfig) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        busy = GatewayConfig(config.data_dir, coap_port=port)
        with pytest.raises(ConfigurationError, match=f"UDP port {port}.*--coap-port"):
            async with bootstrap.running(busy):
                pass


async def test_a_running_gateway_says_where_it_is_and_takes_it_back(config: GatewayConfig) -> None:
    async with bootstrap.running(config) as gateway:
        said = json.loads(config.run_file.read_text())
        assert said["coap"] == f"coap://127.0.0.1:{gateway.endpoint.port}"
        assert said["name"] == "gw-test"
    assert not config.run_file.exists()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("::1", "::1"),
        ("::", "::1"),
        ("::", "127.0.0.2"),
        ("0.0.0.0", "127.0.0.2"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
async def test_nodes_are_answered_from_the_address_they_asked(
    config: GatewayConfig, host: str, asked: str
) -> None:
    served = GatewayConfig(config.data_dir, coap_host=host, coap_port=0)
    async with bootstrap.running(served) as gateway:
        family = socket.AF_INET6 if ":" in asked else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as node:
            node.bind((asked, 0))
            node.connect((asked, gateway.endpoint.port))
            # CoAP ping (RFC 7252, 4.3), answered with Reset.
            node.send(b"\x40\x00\x12\x34")
            node.setblocking(False)
            answers: list[bytes] = []

            def answered() -> bool:
                try:
                    answers.append(node.recv(100))
                except BlockingIOError:
                    return False
                return True

            await until(answered)
            assert answers == [b"\x70\x00\x12\x34"]


async def test_a_certificate_is_renewed_when_its_time_has_come(
    config: GatewayConfig, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    monkeypatch.setattr(identity, "RENEW_AT", 0.0)
    async with bootstrap.running(config):
        await until(lambda: fleet.renewals > 0)
        await until(
            lambda: (
                identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
                != before
            )
        )
    after = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    assert after.key_pem != before.key_pem
    assert after.expires_at() >= before.expires_at()


def test_a_certificate_is_renewed_at_two_thirds_of_its_life(config: GatewayConfig) -> None:
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    life = known.expires_at() - known.begins_at()
    assert known.renew_after() == known.begins_at() + life * 2 / 3


async def test_with_an_expired_certificate_it_serves_its_nodes_and_keeps_what_they_report(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
    box = open_box(config.key_source, config.key_file)
    known = identity.load(config.identity_dir, box)
    public_key = x509.load_pem_x509_certificate(known.certificate_pem).public_key()
    old = fleet.authority.issue(known.name, public_key, age_days=40)
    identity.save(config.identity_dir, replace(known, certificate_pem=old), box)
    async with bootstrap.running(config) as gateway:
        await until(lambda: "so enrol again" in str(gateway.fleet_link._told), timeout_s=60)
        node = await make_node(gateway.endpoint.port)
        await node.bootstrap()
        await node.register()
        assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED
        await gateway.console.answer({"do": "dim", "level_percent": 30})
        assert ("/3416/0/1", 30) in node.writes
        assert gateway.spool.waiting_reports() == 1
    # Enrolled again it passes on what it kept.
    identity.save(config.identity_dir, known, box)
    async with bootstrap.running(config):
        await until(lambda: len(fleet.reports) == 1, timeout_s=60)


async def test_a_gateway_of_another_fleet_is_refused_and_keeps_serving(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    await fleet.stop()
    stranger = FakeFleet()
    await stranger.start(fleet.link_port)
    try:
        async with bootstrap.running(config) as gateway:
            await until(lambda: gateway.fleet_link._told is not None)
            assert "certificate" in str(gateway.fleet_link._told)
            assert not stranger.hellos
    finally:
        await stranger.stop()


async def test_insecure_nosec_serves_a_client_without_oscore(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    insecure = GatewayConfig(config.data_dir, coap_port=0, insecure_nosec=True)
    async with bootstrap.running(insecure) as gateway:
        await until(lambda: len(gateway.table) == 2)
        node = await make_node(gateway.endpoint.port)
        node.insecure = True
        stranger = await node.request(None, codes.POST, ("rd",), query=("ep=urn:x",))
        assert stranger.code == codes.UNAUTHORIZED
        await node.register()
        await until(lambda: 1 in fleet.states and fleet.states[1].bundle_version == "1.0.0")
        assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED
        await until(lambda: (1, 1, 0) in fleet.reports)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="insecure_nosec"):
        GatewayConfig(tmp_path, production=True, insecure_nosec=True)
    with pytest.raises(ConfigurationError, match="65536"):
        GatewayConfig(tmp_path, coap_port=65536)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError(""), 2),
        (NotEnrolledError(""), 2),
        (PeerUnreachableError(""), 3),
        (RefusedError(""), 4),
        (GatewayError(""), 1),
    ],
)
def test_errors_have_the_exit_codes_of_all_programs(error: GatewayError, code: int) -> None:
    assert exit_code_of(error) == code


def test_no_secret_is_in_a_repr(config: GatewayConfig) -> None:
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    assert "PRIVATE" not in repr(known)


def test_secrets_on_disk_open_only_with_their_key(config: GatewayConfig, tmp_path: Path) -> None:
    stored = (config.identity_dir / "identity.json").read_text()
    assert "PRIVATE" not in stored
    other = tmp_path / "other.key"
    other.write_text("0" * 64)
    with pytest.raises(ConfigurationError, match="not the one that sealed"):
        identity.load(config.identity_dir, open_box(f"file:{other}", config.key_file))


async def test_keys_of_nodes_are_sealed_in_the_database(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
    files = [path for path in config.data_dir.glob("gateway.db*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        for purpose in ("bootstrap", "operational"):
            secret = keys_of(1, purpose).master_secret
            assert secret not in content
            assert secret.hex().encode() not in content


@pytest.mark.parametrize("source", ["env:POLEWARD_TEST_KEY", "command:printf %064d 7", "file:KEY"])
def test_a_key_comes_from_where_it_is_kept(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLEWARD_TEST_KEY", f"{7:064d}")
    (tmp_path / "KEY").write_text(f"{7:064d}\n")
    monkeypatch.chdir(tmp_path)
    assert read_key(source, tmp_path / "unused") == bytes.fromhex(f"{7:064d}")
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("env:POLEWARD_NOBODY", "no variable"),
        ("command:false", "ended with 1"),
        ("command:printf secret-but-short", "64 hex digits"),
        ("file:/nowhere/key", "cannot be read"),
        ("vault", "no source of a key"),
    ],
)
def test_a_key_that_is_not_there_says_so_and_shows_nothing(
    source: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read_key(source, tmp_path / "unused")
