"""Release keys in a token: SoftHSM2's where it is installed, else one in RAM."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism
from stand_in_token import StandInLibrary
from typer.testing import CliRunner

from poleward_manifest import envelope as envelopes
from poleward_tools.cli import keys as keys_commands
from poleward_tools.cli import release as commands
from poleward_tools.cli import signing_keys
from poleward_tools.exit_codes import USAGE, CommandError
from poleward_tools.releases.keys import ReleaseKeyError
from poleward_tools.releases.token_keys import MODULE_VARIABLE, PIN_VARIABLE

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "49152"
LABEL = "release keys"
TOKEN = "pkcs11:token=release%20keys"
# The curve's name as a PrintableString (PKCS #11 3.0, 2.3.10).
EDWARDS25519 = b"\x13\x0cedwards25519"


@pytest.fixture(scope="module", autouse=True)
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token with the keys one, two and two once more, and the settings that find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODULE_VARIABLE, str(SOFTHSM))
        patch.setenv(PIN_VARIABLE, PIN)
        if SOFTHSM.exists():
            folder = tmp_path_factory.mktemp("softhsm")
            (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}\n")
            patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
            make = ("softhsm2-util", "--init-token", "--free", "--label", LABEL)
            subprocess.run((*make, "--pin", PIN, "--so-pin", PIN), check=True, capture_output=True)
        else:
            library = StandInLibrary(LABEL, PIN)
            patch.setattr(pkcs11, "lib", lambda module: library)
        with (
            pkcs11.lib(str(SOFTHSM))
            .get_token(token_label=LABEL)
            .open(rw=True, user_pin=PIN) as session
        ):
            curve = session.create_domain_parameters(
                KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: EDWARDS25519}, local=True
            )
            for label, number in (("one", b"\x01"), ("two", b"\x02"), ("two", b"\x03")):
                curve.generate_keypair(
                    mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, id=number
                )
        yield
        pkcs11.unload(str(SOFTHSM))


def _run(app: Any, *arguments: object, typed: str = "") -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], input=typed)
    if isinstance(done.exception, CommandError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("releases") / "release"
    _run(commands.app, "build", "1.4.0", "--sequence", "4", "--out", path)
    return path


def test_a_release_is_signed_by_two_keys_of_a_token(folder: Path, tmp_path: Path) -> None:
    uris = (f"{TOKEN};object=one", f"{TOKEN};object=two;id=%03;type=private")
    public = [tmp_path / f"{number}.pub" for number in range(2)]
    for uri, file in zip(uris, public, strict=True):
        _run(commands.app, "public-key", uri, file)
    signed = _run(commands.app, "sign", folder, "--key", uris[0], "--key", uris[1])
    assert len(signed["signed_by"]) == 2
    trusted = [word for file in public for word in ("--key", file)]
    assert _run(commands.app, "verify", folder, *trusted, "--threshold", "2")["verified"]


def test_a_trust_document_is_signed_by_a_key_of_a_token(tmp_path: Path) -> None:
    made = tmp_path / "keys"
    _run(
        keys_commands.app,
        "create",
        made,
        "--factory",
        f"{TOKEN};object=one",
        "--yes",
        "--no-directive",
    )
    signed = _run(keys_commands.app, "sign", made, "--key", f"{TOKEN};object=one")
    _run(commands.app, "public-key", f"{TOKEN};object=one", tmp_path / "one.pub")
    public_key = bytes.fromhex((tmp_path / "one.pub").read_text())
    assert envelopes.key_id(public_key).hex() in json.dumps(signed)


def test_a_pin_that_is_not_set_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PIN_VARIABLE)
    uri = f"{TOKEN};object=one?module-path={SOFTHSM}"
    signed = _run(commands.app, "sign", folder, "--key", uri, typed=f"{PIN}\n")
    assert signed["signed_by"]


def test_a_public_key_overwrites_no_file(tmp_path: Path) -> None:
    file = tmp_path / "release.pem"
    file.write_text("private")
    with pytest.raises(CommandError, match="is there already"):
        _run(commands.app, "public-key", f"{TOKEN};object=one", file)
    assert file.read_text() == "private"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"{TOKEN};object=three", "fits 0 Ed25519 private keys"),
        (f"{TOKEN};object=two", "fits 2 Ed25519 private keys"),
        ("pkcs11:token=another;object=one", "fits 0 tokens"),
        (f"{TOKEN};serial=none;object=one", "fits 0 tokens"),
        (TOKEN, "names no key"),
        (f"{TOKEN};object=one;type=public", "private key"),
        (f"{TOKEN};object=one;colour=red", "unknown attribute colour"),
        (f"{TOKEN};object=one?pin-value={PIN}", "no PIN belongs"),
        (f"{TOKEN};object", "'object' is no attribute"),
        (f"{TOKEN};object=one;object=two", "comes twice"),
    ],
)
def test_a_uri_that_leads_to_no_key_says_why(uri: str, reason: str) -> None:
    with pytest.raises(ReleaseKeyError, match=reason):
        signing_keys.load(uri)


def test_a_wrong_pin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIN_VARIABLE, "00000")
    with pytest.raises(ReleaseKeyError, match="the PIN is wrong"):
        signing_keys.load(f"{TOKEN};object=one")


def test_no_pin_shows_where_a_key_is_printed() -> None:
    assert PIN not in repr(signing_keys.load(f"{TOKEN};object=one"))


def test_without_a_library_it_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{TOKEN};object=one"
    monkeypatch.delenv(MODULE_VARIABLE)
    with pytest.raises(CommandError, match=MODULE_VARIABLE) as caught:
        _run(commands.app, "sign", folder, "--key", key)
    assert caught.value.exit_code == USAGE
    monkeypatch.setenv(MODULE_VARIABLE, str(SOFTHSM))
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(CommandError, match=r"pip install 'poleward\[pkcs11\]'"):
        _run(commands.app, "sign", folder, "--key", key)
