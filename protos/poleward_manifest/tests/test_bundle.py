import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodelink.limits import BUNDLE_MAX_BYTES
from poleward_manifest import bundle, errors

NAMES = st.from_regex(r"(node|nodelink)(/[a-z0-9_]{1,8}){1,3}\.mpy", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=300), min_size=1, max_size=6))
def test_files_come_back_from_their_bundle(files: dict[str, bytes]) -> None:
    packed = bundle.pack(files)
    assert bundle.unpack(packed) == files
    assert bundle.pack(dict(reversed(files.items()))) == packed


@pytest.mark.parametrize(
    "path",
    [
        "../node/app.mpy", "node/../app.mpy", "/node/app.mpy", "node/app.py", "boot.mpy",
        "other/app.mpy", "node//app.mpy", "node/App.mpy", "node/app.mpy/", "", "node/.mpy",
        "node/app.mpy\n",
    ],
)  # fmt: skip
def test_path_a_node_would_not_write_is_refused(path: str) -> None:
    with pytest.raises(errors.MalformedError, match=r"only \.mpy files"):
        bundle.pack({path: b""})
    with pytest.raises(errors.MalformedError, match=r"only \.mpy files"):
        bundle.unpack(cbor2.dumps(path) + cbor2.dumps(b""))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        cbor2.dumps("node/a.mpy"),
        cbor2.dumps("node/a.mpy") + b"\x45abc",
        cbor2.dumps(b"") + cbor2.dumps("node/a.mpy"),
        cbor2.dumps("node/a.mpy") + b"\x58\x01x",  # not the shortest head
        cbor2.dumps("node/b.mpy") + b"\x40" + cbor2.dumps("node/a.mpy") + b"\x40",  # not sorted
        (cbor2.dumps("node/a.mpy") + b"\x40") * 2,  # twice
    ],
)
def test_bundle_of_another_form_is_refused(packed: bytes) -> None:
    with pytest.raises(errors.MalformedError):
        bundle.unpack(packed)


def test_bundle_bigger_than_a_node_takes_is_refused() -> None:
    with pytest.raises(errors.TooBigError):
        bundle.pack({"node/a.mpy": bytes(BUNDLE_MAX_BYTES)})
    with pytest.raises(errors.TooBigError):
        bundle.unpack(bytes(BUNDLE_MAX_BYTES + 1))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_envelope_errors(garbage: bytes) -> None:
    with pytest.raises(errors.EnvelopeError):
        bundle.unpack(garbage)


@given(st.binary(max_size=5000))
def test_contents_survive_the_transfer_encoding(contents: bytes) -> None:
    archive = bundle.deflate(contents)
    assert bundle.inflate(archive, len(contents)) == contents
    assert zlib.decompress(archive, -12) == contents


def test_transfer_of_another_size_is_refused() -> None:
    archive = bundle.deflate(bytes(1000))
    for altered in (archive[:-1], archive + b"x", b"\xff" * 10):
        with pytest.raises(errors.DigestMismatchError):
            bundle.inflate(altered, 1000)
    with pytest.raises(errors.DigestMismatchError):
        bundle.inflate(archive, 999)
