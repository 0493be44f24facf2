"""`poleward image` and `poleward flash` as a person calls them."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from poleward_manifest import envelope as envelopes
from poleward_manifest import trust
from poleward_manifest.signatures import public_bytes
from poleward_manifest.trust import Role, TrustDocument
from poleward_tools.cli.main import app
from poleward_tools.exit_codes import CommandError
from poleward_tools.flash_image.inspection import inspect
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.releases import folder, keys, trust_folder

from .conftest import GATEWAY, MACS, Boards, firmware_folder

RUN = CliRunner()


@pytest.fixture
def shared(tmp_path: Path, release: Path, key_file: Path) -> list[str]:
    """Options that `image build` and `flash` have in common."""
    firmware = firmware_folder(tmp_path / "firmware", "esp32")
    return [
        "--chip", "esp32", "--firmware", str(firmware), "--release", str(release),
        "--key", str(keys.public_path(key_file)), "--gateway", GATEWAY, "--json",
    ]  # fmt: skip


def refusal(result: Result) -> tuple[int, str]:
    assert isinstance(result.exception, CommandError)
    return result.exception.exit_code, str(result.exception)


def test_built_image_is_the_same_again_and_can_be_inspected(
    tmp_path: Path, shared: list[str]
) -> None:
    identity, first, second = (str(tmp_path / name) for name in ("id.json", "a.bin", "b.bin"))
    making = ["image", "build", first, "--identity", identity, "--mac", MACS[0].hex(), "--yes"]
    made = RUN.invoke(app, [*making, *shared])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["mac"] == MACS[0].hex()
    assert Path(first).stat().st_mode & 0o077 == 0
    again = RUN.invoke(app, ["image", "build", second, "--identity", identity, "--yes", *shared])
    assert again.exit_code == 0, again.output
    assert Path(first).read_bytes() == Path(second).read_bytes()
    for options in (["--json"], []):
        shown = RUN.invoke(app, ["image", "inspect", first, *options])
        assert shown.exit_code == 0, shown.output
        assert MACS[0].hex() in shown.stdout


def test_wrong_input_of_images_is_a_clear_error(tmp_path: Path, shared: list[str]) -> None:
    out, identity = str(tmp_path / "a.bin"), str(tmp_path / "id.json")
    missing = RUN.invoke(app, ["image", "build", out, "--identity", identity, "--yes", *shared])
    assert missing.exit_code == 2
    other = [word if word != "esp32" else "esp32s3" for word in shared]
    wrong_chip = RUN.invoke(app, ["image", "build", out, "--identity", identity, "--yes", *other])
    code, message = refusal(wrong_chip)
    assert (code, "image is for esp32, this is esp32s3" in message) == (2, True)
    nothing = RUN.invoke(app, ["image", "inspect", str(tmp_path / "none.bin")])
    assert refusal(nothing)[0] == 2
    assert not Path(out).exists()


def test_an_image_asks_for_as_many_signatures_as_it_is_told(
    tmp_path: Path, shared: list[str], release: Path
) -> None:
    out, second = tmp_path / "a.bin", tmp_path / "second.pem"
    keys.create_key(second)
    command = [
        "image", "build", str(out), "--identity", str(tmp_path / "id.json"),
        "--mac", MACS[0].hex(), "--yes", *shared,
    ]  # fmt: skip
    code, message = refusal(RUN.invoke(app, [*command, "--threshold", "2"]))
    assert (code, "1 different release keys" in message) == (2, True)
    both = [*command, "--key", str(keys.public_path(second))]
    code, _ = refusal(RUN.invoke(app, [*both, "--threshold", "2"]))
    assert code == 4  # only one of the two has signed the release
    assert not out.exists()
    stored = folder.load(release)
    twice = tmp_path / "release-signed-twice"
    envelope = envelopes.add_signature(stored.envelope, keys.load_key(second))
    folder.save(twice, folder.StoredRelease(stored.bundle, envelope))
    both[both.index(str(release))] = str(twice)
    made = RUN.invoke(app, [*both, "--threshold", "2"])
    assert made.exit_code == 0, made.output
    nvs = next(part for part in inspect(out.read_bytes()).parts if part["label"] == "nvs")
    assert nvs["values"]["identity"]["threshold"] == 2


def test_an_image_holds_the_trust_document_that_its_node_follows(
    tmp_path: Path, shared: list[str], release: Path, key_file: Path
) -> None:
    out, place = tmp_path / "a.bin", tmp_path / "keys"
    signer, second = keys.load_key(key_file), keys.create_key(tmp_path / "second.pem")
    at = shared.index("--key")
    shared[at : at + 2] = ["--trust", str(place)]
    command = [
        "image", "build", str(out), "--identity", str(tmp_path / "id.json"),
        "--mac", MACS[0].hex(), "--yes", *shared,
    ]  # fmt: skip
    place.mkdir()
    assert refusal(RUN.invoke(app, command))[0] == 2  # no document there

    def document(version: int, *signers: Ed25519PrivateKey, days: int = 1) -> TrustDocument:
        role = Role(tuple(map(public_bytes, (signer, second))), 2)
        made = TrustDocument(version, trust_folder.in_days(days), role, role, Role((), 1))
        path = trust_folder.document_path(place, version)
        trust_folder.save(path, trust.sign(made, signers))
        return made

    document(4, signer)
    assert refusal(RUN.invoke(app, command))[0] == 4  # one of its two root keys
    document(5, signer, second, days=-1)
    assert "has expired" in refusal(RUN.invoke(app, command))[1]
    wanted = document(6, signer, second)
    assert refusal(RUN.invoke(app, command))[0] == 4  # the release has one signature of two
    stored = folder.load(release)
    envelope = envelopes.add_signature(stored.envelope, second)
    folder.save(tmp_path / "twice", folder.StoredRelease(stored.bundle, envelope))
    command[command.index(str(release))] = str(tmp_path / "twice")
    both = [*command, "--key", str(keys.public_path(key_file))]
    assert "one of the two" in refusal(RUN.invoke(app, both))[1]
    assert not out.exists()
    made = RUN.invoke(app, command)
    assert made.exit_code == 0, made.output
    identity = NvsPartition.decode(out.read_bytes()[0x9000:0xD000]).values("identity")
    assert identity["trust"] == trust.encode(wanted)
    assert identity["relkeys"] == b"".join(wanted.release.keys)


@pytest.mark.system
def test_flash_says_what_became_of_each_board(
    tmp_path: Path, shared: list[str], boards: Boards
) -> None:
    board = boards.add(MACS[0])
    station = str(tmp_path / "station")
    command = ["flash", "--station", station, *shared, "--port"]
    done = RUN.invoke(app, [*command, f"left={board.port}"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["passed"], result["boards"][0]["slot"]) == (1, "left")
    failed = RUN.invoke(app, [*command, str(tmp_path / "none"), "--retries", "0"])
    assert refusal(failed)[0] == 1
    assert json.loads(failed.stdout)["failed"] == 1
    twin = boards.add(MACS[0])
    refused = RUN.invoke(app, [*command, f"right={twin.port}"])
    assert refusal(refused)[0] == 4
    nothing = RUN.invoke(app, [*command, str(tmp_path / "no-such-*")])
    assert refusal(nothing) == (2, "no serial port; plug boards in or name ports with --port.")


def test_settings_are_in_the_nvs_and_their_secrets_in_no_output(
    tmp_path: Path, shared: list[str]
) -> None:
    key, out = tmp_path / "wifi.key", str(tmp_path / "node.bin")
    key.write_text("very secret\n")
    making = ["image", "build", out, "--identity", str(tmp_path / "id.json"),
              "--mac", MACS[0].hex(), "--yes", "--setting", "board/parts=lan,dimmer",
              "--setting", "network/ssid=poles", "--setting", f"network/key=@{key}"]  # fmt: skip
    assert RUN.invoke(app, [*making, *shared]).exit_code == 0
    content = Path(out).read_bytes()
    nvs = NvsPartition.decode(content[0x9000:0xD000])
    assert nvs.values("board") == {"parts": b"lan,dimmer"}
    assert nvs.values("network") == {"ssid": b"poles", "key": b"very secret"}
    shown = RUN.invoke(app, ["image", "inspect", out, "--json"])
    assert shown.exit_code == 0
    assert "lan,dimmer" in shown.stdout
    assert "very secret" not in shown.stdout
    too_long = "network/key=" + "x" * 65
    for bad in ("ssid=x", "network=x", "identity/mac=x", "network/key=@nowhere", too_long):
        code, message = refusal(RUN.invoke(app, [*making, "--setting", bad, *shared]))
        assert code == 2, message
