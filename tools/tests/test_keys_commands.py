"""`poleward keys` without a fleet: documents and keys in files."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poleward_manifest import trust
from poleward_manifest.errors import UntrustedKeyError
from poleward_tools.cli.main import app
from poleward_tools.exit_codes import CommandError
from poleward_tools.releases import trust_folder

runner = CliRunner()
NO_FLEET = ("--fleet", "http://127.0.0.1:1", "--token", "secret." + "0" * 32)


def run(*arguments: object) -> dict[str, object]:
    result = runner.invoke(app, ["keys", *map(str, arguments), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_chain_is_made_signed_by_several_people_and_shown(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    made = run("create", keys, "--yes", "--no-directive")
    assert (made["version"], len(list(keys.glob("*.pem")))) == (1, 6)
    for private in keys.glob("*.pem"):
        assert private.stat().st_mode & 0o777 == 0o600
    first = trust.verify_first((keys / "trust-1.cbor").read_bytes())
    assert (first.root.threshold, first.release.threshold) == (2, 2)
    dropped = first.release.key_ids[0].hex()
    second = run(
        "rotate", keys, "--drop", dropped, "--add", keys / "root-3.pem.pub",
        "--sign", keys / "root-1.pem",
    )  # fmt: skip
    assert second["version"] == 2
    run("sign", keys, "--key", keys / "root-2.pem")
    document = trust.verify_next((keys / "trust-2.cbor").read_bytes(), first)
    assert dropped not in [key_id.hex() for key_id in document.release.key_ids]
    assert document.root == first.root
    shown = run("list", keys)
    assert shown["version"] == 2
    assert shown["signed_by"] == [key_id.hex() for key_id in first.root.key_ids[:2]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("create", "{keys}", "--yes", "--no-directive"), "is there already"),
        (("create", "{new}", "--yes", "--template", "huge"), "No template"),
        (("create", "{new}", "--yes", *NO_FLEET), "--no-directive"),
        (("create", "{new}", "--yes", "--no-directive", "--directive", "x"), "exclude each other"),
        (("rotate", "{keys}", "--drop", "ffff"), "names 0 keys"),
        (("rotate", "{keys}", "--role", "queen"), "No role"),
        (("rotate", "{keys}", "--threshold", "9"), "cannot sign"),
        (("rotate", "{new}",), "no trust document"),
        (("sign", "{keys}", "--key", "{new}"), "cannot be read"),
        (("list", "{keys}/root-1.pem"), "trust document"),
        (("revoke", "12", "--reason", "x"), "no key id"),
    ],
)  # fmt: skip
def test_wrong_use_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    keys = tmp_path / "keys"
    run("create", keys, "--yes", "--template", "demo", "--no-directive")
    before = sorted(keys.iterdir())
    with pytest.raises(CommandError, match=reason):
        run(*(argument.format(keys=keys, new=tmp_path / "new") for argument in arguments))
    assert sorted(keys.iterdir()) == before


def test_a_chain_is_written_whole_and_another_one_is_not_mixed_with_it(tmp_path: Path) -> None:
    keys, place = tmp_path / "keys", tmp_path / "bench"
    run("create", keys, "--yes", "--template", "demo", "--no-directive")
    run("rotate", keys, "--sign", keys / "root-1.pem")
    chain = [(keys / f"trust-{number}.cbor").read_bytes() for number in (1, 2)]
    assert trust_folder.store_chain(place, chain[:1]).name == "trust-1.cbor"
    newest = trust_folder.store_chain(place, chain)
    assert newest.read_bytes() == chain[1]
    run("create", tmp_path / "other", "--yes", "--template", "demo", "--no-directive")
    stranger = (tmp_path / "other" / "trust-1.cbor").read_bytes()
    with pytest.raises(UntrustedKeyError):
        trust_folder.store_chain(place, [stranger, chain[1]])
    with pytest.raises(trust_folder.TrustFileError, match="another document"):
        trust_folder.store_chain(place, [stranger])
    with pytest.raises(trust_folder.TrustFileError, match="no trust document"):
        trust_folder.store_chain(place, [])
    assert [path.read_bytes() for path in sorted(place.iterdir())] == chain
