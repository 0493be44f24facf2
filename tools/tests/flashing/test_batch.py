"""Batches: signed, within a permit, imported once; commands of the factory."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import CliRunner

from poleward_commissioning.claim_code import claim_code_hash
from poleward_tools.cli import factory
from poleward_tools.client.errors import ClientError, Failure
from poleward_tools.client.views import ManufacturedNode, StationPermit
from poleward_tools.exit_codes import CommandError
from poleward_tools.flash_image.node_nvs import NodeIdentity
from poleward_tools.flashing import batch as batches
from poleward_tools.flashing.claim_code import grouped, hash_claim_code, label_payload
from poleward_tools.flashing.errors import BatchError
from poleward_tools.flashing.record import PASSED
from poleward_tools.flashing.sealing import SealError, seal, unseal
from poleward_tools.flashing.station import PERMIT, Station
from poleward_tools.releases import keys

from .conftest import MACS

NOW_S = 1_800_000_000.0
FACTORY = Ed25519PrivateKey.generate()
FACTORY_PUBLIC = FACTORY.public_key().public_bytes_raw()
FLEET = X25519PrivateKey.generate()
FLEET_PUBLIC = FLEET.public_key().public_bytes_raw()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station.open(tmp_path / "station") as opened:
        yield opened


def permit(station: Station, *, quota: int = 3, expires_at_s: int = int(NOW_S) + 60) -> None:
    public_key = station.key().public_key().public_bytes_raw()
    made = batches.Permit(public_key, FLEET_PUBLIC, "bench", quota, expires_at_s)
    (station.folder / PERMIT).write_text(batches.issue_permit(made, FACTORY))


def pass_board(station: Station, mac: bytes) -> NodeIdentity:
    identity = station.keep_identity(mac, "pole-basic")
    hashed = hash_claim_code(identity.mac, identity.claim_code)
    station.record.append(PASSED, mac=mac.hex(), claim_code_hash=hashed)
    return identity


def export(station: Station) -> str:
    text, macs = batches.export_batch(station, NOW_S)
    batches.note_export(station, text, macs)
    return text


def open_batch(
    text: str,
    *,
    factory_key: bytes = FACTORY_PUBLIC,
    fleet_key: X25519PrivateKey = FLEET,
    now_s: float = NOW_S,
) -> batches.Batch:
    return batches.open_batch(text, factory_key, fleet_key, now_s=now_s)


def test_each_node_that_passed_is_in_one_batch(station: Station) -> None:
    permit(station)
    identity = pass_board(station, MACS[0])
    # Begun and never passed: not a node.
    station.keep_identity(MACS[1], "pole-basic")
    batch = open_batch(export(station))
    (node,) = batch.nodes
    assert (node.mac, node.bootstrap_secret) == (MACS[0], identity.bootstrap_secret)
    assert node.claim_code_hash == claim_code_hash(MACS[0].hex(), identity.claim_code)
    assert batches.export_batch(station, NOW_S) == ("", [])
    pass_board(station, MACS[1])
    later = open_batch(export(station))
    assert [node.mac for node in later.nodes] == [MACS[1]]
    assert (batch.made_before, later.made_before) == (0, 1)


def test_batch_that_was_not_recorded_comes_out_with_the_same_rows(station: Station) -> None:
    permit(station)
    pass_board(station, MACS[0])
    first, second = (batches.export_batch(station, NOW_S)[0] for _ in range(2))
    opened = [open_batch(text) for text in (first, second)]
    assert opened[0].nodes == opened[1].nodes


def test_quota_and_expiry_hold_at_the_station_and_at_the_import(station: Station) -> None:
    permit(station, quota=1)
    batches.check_permit(station, NOW_S)
    pass_board(station, MACS[0])
    text = export(station)
    with pytest.raises(BatchError, match="made all 1 nodes"):
        batches.check_permit(station, NOW_S)
    with pytest.raises(BatchError, match="is over"):
        batches.check_permit(station, NOW_S + 61)
    pass_board(station, MACS[1])
    with pytest.raises(BatchError, match="1 nodes are exported and 1 are new"):
        batches.export_batch(station, NOW_S)
    with pytest.raises(BatchError, match="its batches are refused"):
        open_batch(text, now_s=NOW_S + 61)


def test_forged_batches_are_refused(station: Station, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="is missing"):
        batches.export_batch(station, NOW_S)
    permit(station)
    pass_board(station, MACS[0])
    text = export(station)
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(BatchError, match="not of this factory's key"):
        open_batch(text, factory_key=stranger)
    changed = text.replace('made_before\\":0', 'made_before\\":1')
    assert changed != text
    with pytest.raises(BatchError, match="not signed by station bench"):
        open_batch(changed)
    for damaged in ("", "{}", text[:100], (station.folder / PERMIT).read_text()):
        with pytest.raises(BatchError):
            open_batch(damaged)
    with Station.open(tmp_path / "other") as other:
        (other.folder / PERMIT).write_text((station.folder / PERMIT).read_text())
        with pytest.raises(BatchError, match="another station's key"):
            batches.export_batch(other, NOW_S)


def test_batch_shows_its_secrets_to_its_fleet_only(station: Station) -> None:
    permit(station)
    identity = pass_board(station, MACS[0])
    text = export(station)
    for secret in (identity.bootstrap_secret.hex(), identity.bootstrap_salt.hex(), MACS[0].hex()):
        assert secret not in text
    with pytest.raises(BatchError, match="take this fleet's key"):
        open_batch(text, fleet_key=X25519PrivateKey.generate())
    assert open_batch(text).nodes[0].bootstrap_secret == identity.bootstrap_secret


def test_what_was_sealed_is_opened_whole_or_not_at_all() -> None:
    sealed = seal(b"content", FLEET_PUBLIC)
    assert unseal(sealed, FLEET) == b"content"
    assert seal(b"content", FLEET_PUBLIC) != sealed
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(SealError):
            unseal(bytes(changed), FLEET)
    for short in (b"", sealed[:31], sealed[:32], sealed[:40]):
        with pytest.raises(SealError):
            unseal(short, FLEET)


class KeepingClient:
    """Takes nodes as the fleet does: the same again is the same number, and not above the quota."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, ManufacturedNode] = {}

    def import_nodes(self, nodes: tuple[ManufacturedNode, ...], permit: StationPermit) -> list[int]:
        if len({*self.nodes, *(node.mac for node in nodes)}) > permit.quota:
            raise ClientError(Failure.REFUSED, f"its permit is for {permit.quota}")
        for node in nodes:
            assert self.nodes.setdefault(node.mac, node) == node
        return [list(self.nodes).index(node.mac) + 1 for node in nodes]


def test_from_station_to_fleet_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = KeepingClient()

    @contextmanager
    def connected(fleet: str | None, token: str | None) -> Iterator[KeepingClient]:
        yield client

    monkeypatch.setattr(factory, "open_client", connected)
    run = CliRunner()
    folder, batch = tmp_path / "bench", tmp_path / "monday.batch"
    keys.create_key(tmp_path / "factory.pem")
    fleet_key = tmp_path / "fleet.pem"

    def poleward(*arguments: object, fails: int | None = None) -> str:
        result = run.invoke(factory.app, [str(argument) for argument in arguments])
        if fails is not None:
            assert isinstance(result.exception, CommandError)
            assert result.exception.exit_code == fails
            return str(result.exception)
        assert result.exit_code == 0, result.exception
        return result.stdout

    poleward("import-key", fleet_key, "--json")
    assert "is there already" in poleward("import-key", fleet_key, fails=2)
    poleward("key", folder, "--json")
    poleward("permit", folder / PERMIT, "--station-key", folder / "station.pem.pub",
             "--fleet-key", keys.public_path(fleet_key), "--name", "bench",
             "--quota", 1, "--days", 1, "--key", tmp_path / "factory.pem")  # fmt: skip
    assert json.loads(poleward("export", folder, batch, "--json"))["nodes"] == []
    assert not batch.exists()
    with Station.open(folder) as opened:
        pass_board(opened, MACS[0])
    exported = json.loads(poleward("export", folder, batch, "--json"))
    assert exported["nodes"] == [MACS[0].hex()]
    assert batch.stat().st_mode & 0o077 == 0
    trusted = ("--factory-key", tmp_path / "factory.pem.pub", "--import-key", fleet_key, "--json")
    importing = ("import", batch, *trusted)
    assert json.loads(poleward(*importing))["nodes"] == [{"mac": MACS[0].hex(), "number": 1}]
    assert json.loads(poleward(*importing))["nodes"] == [{"mac": MACS[0].hex(), "number": 1}]
    assert len(client.nodes) == 1
    # A station that forgot what it exported is stopped by the fleet.
    with Station.open(tmp_path / "restored") as opened:
        (opened.folder / "station.pem").write_bytes((folder / "station.pem").read_bytes())
        (opened.folder / "station.pem").chmod(0o600)
        (opened.folder / PERMIT).write_text((folder / PERMIT).read_text())
        pass_board(opened, MACS[1])
    poleward("export", tmp_path / "restored", tmp_path / "more.batch")
    more = ["import", str(tmp_path / "more.batch"), *(str(word) for word in trusted)]
    refused = run.invoke(factory.app, more).exception
    assert isinstance(refused, ClientError)
    assert refused.failure is Failure.REFUSED
    labels = json.loads(poleward("label", folder, MACS[0].hex(), "--json"))
    assert Path(labels["pdf"]).exists()
    assert "passed" in poleward("label", folder, MACS[1].hex(), fails=2)
    assert "no label printer" in poleward(
        "label", folder, MACS[0].hex(), "--printer", "no-such-printer", fails=1
    )


def test_label_carries_no_long_term_secret(station: Station) -> None:
    identity = pass_board(station, MACS[0])
    payload = label_payload(identity)
    assert payload == f"PW1:{MACS[0].hex().upper()}:{identity.claim_code}"
    assert identity.bootstrap_secret.hex().upper() not in payload
    assert grouped("ABCDEFGHJKLM") == "ABCD-EFGH-JKLM"
