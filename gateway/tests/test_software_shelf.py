"""Releases of the gateway on disk: installed by a real pip, from tiny wheels."""

import errno
import hashlib
import os
import subprocess
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_gateway.adapters.software import record_file
from poleward_gateway.adapters.software.shelf import INSTALLATION_VARIABLE, SoftwareShelf
from poleward_gateway.domain.errors import ArtifactRejectedError, InstallationError
from poleward_gateway.domain.software import (
    INSTALLED,
    Schema,
    SoftwareRecord,
    confirm,
    try_next,
)
from poleward_manifest import wheel_set
from poleward_manifest.envelope import Component, Manifest, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ABOUT = 'print(\'{"schema": 9, "schema_readable_from": 7}\')\n'
MakeRelease = Callable[..., bytes]


def wheel(
    main: str, *, version: str = "1.0.0", tag: str = "py3-none-any", needs: str = ""
) -> dict[str, bytes]:
    about = f"poleward-{version}.dist-info"
    contents = {
        "poleward_gateway/__init__.py": "",
        "poleward_gateway/__main__.py": main,
        f"{about}/METADATA": (
            f"Metadata-Version: 2.1\nName: poleward\nVersion: {version}\n{needs}"
        ),
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{about}/RECORD": "",
    }
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return {f"poleward-{version}-{tag}.whl": packed.getvalue()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "software"


@pytest.fixture
def shelf(folder: Path) -> SoftwareShelf:
    folder.mkdir(parents=True)
    return SoftwareShelf(folder, {INSTALLATION_VARIABLE: str(folder.parent / "installation")})


@pytest.fixture
def install(shelf: SoftwareShelf) -> MakeRelease:
    def make(main: str, sequence: int = 2) -> bytes:
        packed = wheel_set.pack(wheel(main))
        component = Component.of_wheels(packed)
        envelope = sign(Manifest(sequence, f"1.{sequence}.0", "gateway", component), [KEY])
        release = hashlib.sha256(envelope).digest()
        shelf.install(release, envelope, packed)
        return release

    return make


def test_an_installed_release_has_an_environment_of_its_own(
    shelf: SoftwareShelf, install: MakeRelease
) -> None:
    release = install(ABOUT)
    assert shelf.is_whole(release)
    names = shelf.names(release)
    assert names is not None
    assert (names.version, names.sequence) == ("1.2.0", 2)
    assert shelf.schema(release) == Schema(9, 7)
    inside = SoftwareShelf(
        shelf.python(release).parents[3], {}, prefix=shelf.python(release).parents[1]
    )
    assert (inside.running, shelf.running) == (release, INSTALLED)
    packages = next(shelf.python(release).parents[1].glob("lib/python*/site-packages"))
    assert (packages / "installation.pth").read_text() == f"{packages.parents[5]}/installation\n"


def test_a_wheel_that_was_altered_is_not_installed(
    shelf: SoftwareShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        wheel_set, "requirements", lambda _: "poleward==1.0.0 --hash=sha256:" + "0" * 64
    )
    with pytest.raises(ArtifactRejectedError, match="pip of the release fails"):
        shelf.install(b"r" * 32, b"", wheel_set.pack(wheel("")))
    assert not shelf.is_whole(b"r" * 32)


@pytest.mark.parametrize(
    ("wheels", "words"),
    [
        (wheel(ABOUT, tag="cp39-cp39-win_amd64"), "for another Python or processor than Python 3"),
        (
            wheel(ABOUT, needs="Requires-Python: >=9\n"),
            "requires a different Python",
        ),
        (
            wheel(ABOUT, needs="Requires-Dist: nowhere-at-all>=2\n"),
            "requires nowhere-at-all, which is not installed; build it with --wheels",
        ),
    ],
)
def test_a_release_that_cannot_run_here_is_refused_with_what_does_not_fit(
    shelf: SoftwareShelf, folder: Path, wheels: dict[str, bytes], words: str
) -> None:
    with pytest.raises(ArtifactRejectedError, match=words):
        shelf.install(b"r" * 32, b"", wheel_set.pack(wheels))
    assert list(folder.iterdir()) == []


def test_a_full_disk_fails_an_installation_leaves_nothing_and_may_be_tried_again(
    shelf: SoftwareShelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail_as_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        words = "ERROR: Could not install packages due to an OSError: [Errno 28] "
        return subprocess.CompletedProcess(command, 1, "", words + os.strerror(errno.ENOSPC))

    packed = wheel_set.pack(wheel(ABOUT))
    for target, replacement in (
        ("pathlib.Path.write_bytes", fail),
        ("venv.create", fail),
        ("subprocess.run", fail_as_pip),
    ):
        with monkeypatch.context() as full:
            full.setattr(target, replacement)
            with pytest.raises(InstallationError, match=r"No space left|the disk is full"):
                shelf.install(b"r" * 32, b"", packed)
        assert list(folder.iterdir()) == [], target
    shelf.install(b"r" * 32, b"envelope", packed)
    assert shelf.is_whole(b"r" * 32)


def test_what_is_no_set_of_wheels_is_refused(shelf: SoftwareShelf) -> None:
    with pytest.raises(ArtifactRejectedError):
        shelf.install(b"r" * 32, b"", b"no wheels")


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ("raise SystemExit('no such module')", "no such module"),
        ("print('hello')", "which database"),
    ],
)
def test_a_release_that_does_not_say_what_it_is_is_refused(
    shelf: SoftwareShelf, install: MakeRelease, main: str, words: str
) -> None:
    with pytest.raises(ArtifactRejectedError, match=words):
        shelf.schema(install(main))


def test_an_installation_that_was_cut_is_made_anew(
    shelf: SoftwareShelf, install: MakeRelease
) -> None:
    release = install(ABOUT)
    left = shelf.python(release).parents[2]
    (left / "release.cbor").unlink()
    (left / "environment" / "pyvenv.cfg").write_text("torn")
    assert not shelf.is_whole(release)
    assert install(ABOUT) == release
    assert shelf.schema(release) == Schema(9, 7)


def test_environments_that_are_not_kept_are_removed(
    shelf: SoftwareShelf, install: MakeRelease, folder: Path
) -> None:
    kept, other = install(ABOUT, 2), install(ABOUT, 3)
    shelf.write(SoftwareRecord(confirmed=kept))
    shelf.remove_others(shelf.record().kept)
    assert shelf.is_whole(kept)
    assert not shelf.is_whole(other)
    assert {path.name for path in folder.iterdir()} == {kept.hex(), "record.json"}


def test_a_torn_record_counts_as_none(folder: Path, shelf: SoftwareShelf) -> None:
    for torn in ("", "{", "[]", '{"confirmed": "x"}'):
        (folder / "record.json").write_text(torn)
        assert record_file.load(folder) == SoftwareRecord()
    shelf.write(confirm(try_next(SoftwareRecord(), b"r" * 32, 9)))
    assert shelf.record() == confirm(try_next(SoftwareRecord(), b"r" * 32, 9))
