import json
from pathlib import Path
from typing import Any

import pytest
import taylor
from typer.testing import CliRunner

from poleward_manifest import envelope as envelopes
from poleward_tools.cli import release as commands
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError
from poleward_tools.virtual_board.stand_ins import stand_in_firmware


def _run(*arguments: object) -> Any:
    """Run a command and give what its --json prints; a CommandError passes through."""
    done = CliRunner().invoke(commands.app, [*map(str, arguments), "--json"])
    if isinstance(done.exception, CommandError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.pem"
    _run("key", path, "--yes")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    _run("build", "1.4.0", "--sequence", "4", "--out", path)
    return path


def test_release_is_built_signed_and_verified(folder: Path, key: Path) -> None:
    assert json.loads((folder / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    signed = _run("sign", folder, "--key", key)
    assert (signed["version"], signed["sequence"], len(signed["signed_by"])) == ("1.4.0", 4, 1)
    verified = _run("verify", folder, "--key", f"{key}.pub")
    assert verified["verified"] is True
    assert verified["envelope_digest"] == signed["envelope_digest"]
    inspected = _run("inspect", folder)
    assert sum(entry["bytes"] for entry in inspected["files"]) < inspected["bundle_bytes"]
    assert inspected["transfer_bytes"] < inspected["bundle_bytes"]


def test_release_with_an_image_is_built_and_checked(key: Path, tmp_path: Path) -> None:
    folder, image = tmp_path / "release", tmp_path / "micropython.bin"
    content = stand_in_firmware("esp32").application
    build = ("build", "1.4.0", "--sequence", "4", "--out", folder, "--image", image)
    with pytest.raises(CommandError, match="cannot be read"):
        _run(*build)
    for wrong in (b"", content[:-1], content + bytes(16), b"\x00" + content):
        image.write_bytes(wrong)
        with pytest.raises(CommandError, match="the image"):
            _run(*build)
    image.write_bytes(content)
    assert _run(*build)["image_bytes"] == len(content)
    _run("sign", folder, "--key", key)
    assert _run("verify", folder, "--key", f"{key}.pub")["image_bytes"] == len(content)
    shown = _run("inspect", folder / "envelope.cbor")
    assert (shown["components"], shown["refusal"]) == (["bundle", "image"], "")
    (folder / "image.bin").write_bytes(content[:-1] + b"x")
    with pytest.raises(CommandError, match="names bundle of"):
        _run("verify", folder, "--key", f"{key}.pub")
    (folder / "image.bin").unlink()
    with pytest.raises(CommandError, match="names bundle of"):
        _run("inspect", folder)


def test_two_of_two_keys_can_be_asked_for(folder: Path, key: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.pem"
    _run("key", second, "--yes")
    both = ("--key", f"{key}.pub", "--key", f"{second}.pub", "--threshold", "2")
    _run("sign", folder, "--key", key)
    with pytest.raises(CommandError, match="1 of 2"):
        _run("verify", folder, *both)
    _run("sign", folder, "--key", second)
    assert len(_run("verify", folder, *both)["signed_by"]) == 2


def test_release_without_a_trusted_signature_is_refused(folder: Path, key: Path) -> None:
    with pytest.raises(CommandError, match="signed by nobody") as caught:
        _run("verify", folder, "--key", f"{key}.pub")
    assert caught.value.exit_code == REFUSED


def test_altered_bundle_or_envelope_is_refused(folder: Path, key: Path) -> None:
    _run("sign", folder, "--key", key)
    for name in ("bundle.cbor", "envelope.cbor"):
        file = folder / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
        with pytest.raises(CommandError, match="Refused") as caught:
            _run("verify", folder, "--key", f"{key}.pub")
        assert caught.value.exit_code == REFUSED
        file.write_bytes(whole)


def test_wrong_usage_says_what_to_do(tmp_path: Path, folder: Path) -> None:
    for arguments, advice, exit_code in (
        (("build", "1.4", "--sequence", "4", "--out", tmp_path / "x"), "form 1.2.3", USAGE),
        (("inspect", tmp_path / "missing"), "poleward release build", USAGE),
        (("sign", folder, "--key", tmp_path / "missing.pem"), "cannot be read", USAGE),
        (
            ("build", "1.4.0", "--sequence", "4", "--firmware", tmp_path),
            "not a firmware folder",
            FAILED,
        ),
    ):
        with pytest.raises(CommandError, match=advice) as caught:
            _run(*arguments)
        assert caught.value.exit_code == exit_code


def test_key_is_written_only_after_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    done = CliRunner().invoke(commands.app, ["key", str(path)], input="n\n")
    assert isinstance(done.exception, CommandError)
    assert not path.exists()


def test_envelope_on_disk_is_the_one_that_is_published(folder: Path, key: Path) -> None:
    signed = _run("sign", folder, "--key", key)
    envelope = (folder / "envelope.cbor").read_bytes()
    assert envelopes.envelope_digest(envelope).hex() == signed["envelope_digest"]


def test_envelope_of_another_tool_is_shown_with_why_a_node_refuses_it(tmp_path: Path) -> None:
    path = tmp_path / "other.suit"
    path.write_bytes(
        taylor.build_envelope(
            {
                "version": 1,
                "sequence-number": 7,
                "suit-common": {"suit-components": [["00"]], "suit-shared-sequence": []},
            }
        )
    )
    shown = _run("inspect", path)
    assert (shown["sequence"], shown["version"], shown["signatures"]) == (7, "", 0)
    assert shown["is_intact"] is True
    assert "understands" in shown["refusal"]
    path.write_bytes(b"nothing")
    with pytest.raises(CommandError) as caught:
        _run("inspect", path)
    assert caught.value.exit_code == REFUSED


def test_release_is_signed_with_both_kinds_of_keys(folder: Path, key: Path, tmp_path: Path) -> None:
    quantum = tmp_path / "quantum.pem"
    _run("key", quantum, "--hss-lms", "--yes")
    signed = _run("sign", folder, "--key", key, "--key", quantum)
    assert len(signed["signed_by"]) == 2
    both = ("--key", f"{key}.pub", "--key", f"{quantum}.pub", "--threshold", "2")
    assert _run("verify", folder, *both)["verified"] is True
