"""What `poleward gateway software` says about a gateway's folder."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from poleward_gateway.adapters.software import record_file
from poleward_gateway.domain.software import SoftwareRecord, confirm, give_back, try_next
from poleward_manifest.envelope import Component, Manifest, envelope_digest, sign
from poleward_tools.cli.main import app


def run(data: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["gateway", "software", "--data", str(data), *arguments])
    return done.exit_code, done.output


def put(data: Path, sequence: int) -> bytes:
    """Put the mark of an installed release there."""
    manifest = Manifest(sequence, f"1.{sequence}.0", "gateway", Component.of_wheels(b"w"))
    envelope = sign(manifest, [Ed25519PrivateKey.generate()])
    digest = envelope_digest(envelope)
    folder = data / "software" / digest.hex()
    folder.mkdir(parents=True)
    (folder / "release.cbor").write_bytes(envelope)
    return digest


def test_a_gateway_that_was_never_updated_runs_what_was_installed(tmp_path: Path) -> None:
    code, output = run(tmp_path)
    assert code == 0
    assert "as installed" in output


def test_releases_and_the_last_update_are_named(tmp_path: Path) -> None:
    first, second = put(tmp_path, 2), put(tmp_path, 3)
    running = confirm(try_next(SoftwareRecord(), first, 9))
    record_file.save(tmp_path / "software", try_next(running, second, 9))
    found = json.loads(run(tmp_path, "--json")[1])
    assert (found["confirmed"]["version"], found["trial"]["version"]) == ("1.2.0", "1.3.0")
    assert found["previous"]["version"] == "as installed"
    returned = give_back(try_next(running, second, 9), "it ended with exit code 7")
    record_file.save(tmp_path / "software", returned)
    code, output = run(tmp_path)
    assert code == 0
    assert "returned" in output
    assert "exit code 7" in output


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, output = run(tmp_path / "nowhere")
    assert code != 0
    assert "as installed" not in output
