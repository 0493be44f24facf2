from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from poleward_manifest.signatures import HssLmsKey, is_valid, public_bytes
from poleward_tools.releases import keys


def test_key_pair_comes_back_from_its_files(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    public_key = public_bytes(keys.create_key(path))
    assert public_bytes(keys.load_key(path)) == public_key
    assert keys.load_public_key(keys.public_path(path)) == public_key


def test_private_half_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    keys.create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(keys.ReleaseKeyError, match="chmod 600"):
        keys.load_key(path)


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    keys.create_key(path)
    before = path.read_bytes()
    with pytest.raises(keys.ReleaseKeyError, match="there already"):
        keys.create_key(path)
    assert path.read_bytes() == before


def test_what_is_no_release_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(keys.ReleaseKeyError, match="cannot be read"):
        keys.load_key(tmp_path / "missing.pem")
    with pytest.raises(keys.ReleaseKeyError, match="cannot be read"):
        keys.load_public_key(tmp_path / "missing.pub")
    with pytest.raises(keys.ReleaseKeyError, match="cannot be written"):
        keys.create_key(tmp_path / "nowhere" / "release.pem")
    other = tmp_path / "other.pem"
    other.touch(mode=0o600)
    with pytest.raises(keys.ReleaseKeyError, match="not a private key"):
        keys.load_key(other)
    other.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    with pytest.raises(keys.ReleaseKeyError, match="not an Ed25519 key"):
        keys.load_key(other)
    other.write_text("12 34")
    with pytest.raises(keys.ReleaseKeyError, match="64 hexadecimal digits"):
        keys.load_public_key(other)


def test_hss_lms_key_never_signs_twice_in_one_state(tmp_path: Path) -> None:
    path = tmp_path / "quantum.pem"
    made = keys.create_hss_lms_key(path)
    public_key = keys.load_public_key(keys.public_path(path))
    assert (len(public_key), public_bytes(made)) == (60, public_key)
    for left in (1023, 1022):
        before = path.read_bytes()
        key = keys.load_signing_key(path)
        assert isinstance(key, HssLmsKey)
        signature = key.sign(b"message")
        assert is_valid(public_key, b"message", signature)
        # The next state was on disk before the signature was given out.
        assert path.read_bytes() != before
        assert key.signatures_left == left
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["quantum.pem", "quantum.pem.pub"]


def test_hss_lms_key_that_cannot_be_written_does_not_sign(tmp_path: Path) -> None:
    path = tmp_path / "quantum.pem"
    keys.create_hss_lms_key(path)
    key = keys.load_signing_key(path)
    path.with_name("quantum.pem.new").mkdir()
    with pytest.raises(OSError):
        key.sign(b"message")
