"""What a release brings is held against its manifest and against the form of what can run."""

import hashlib

import pytest

from poleward_manifest import bundle, contents, errors, image, wheel_set
from poleward_manifest.envelope import Component, Manifest

BUNDLE = bundle.pack({"node/app.mpy": b"M"})
BODY = bytes([0xE9, 1, *bytes(21), 1]) + b"segments"
IMAGE = BODY + hashlib.sha256(BODY).digest()


def release(held: bytes, of: bytes | None = None, profile: str = "pole-basic") -> Manifest:
    made = Component.of_wheels if profile == wheel_set.PROFILE else Component.of_bundle
    return Manifest(2, "1.2.0", profile, made(held), None if of is None else Component.of_image(of))


def test_contents_of_another_release_are_refused() -> None:
    contents.check(release(BUNDLE), BUNDLE, None)
    contents.check(release(BUNDLE, IMAGE), BUNDLE, IMAGE)
    for held, of in ((BUNDLE + b"x", IMAGE), (BUNDLE, IMAGE + b"x"), (BUNDLE, None)):
        with pytest.raises(errors.DigestMismatchError, match="fetch it again"):
            contents.check(release(BUNDLE, IMAGE), held, of)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (b"garbage", "cut or not CBOR"),
        (BUNDLE[:-1], "cut or not CBOR"),
        (bundle.pack({"nodelink/app.mpy": b"M"}), "has no node/app.mpy"),
        (wheel_set.pack({"a-1.0-py3-none-any.whl": b"PK"}), r"only \.mpy files"),
    ],
)
def test_a_bundle_that_no_node_starts_is_refused(held: bytes, reason: str) -> None:
    with pytest.raises(errors.MalformedError, match=reason):
        contents.check(release(held), held, None)


def test_gateways_get_wheels_and_no_bundle() -> None:
    wheels = wheel_set.pack({"a-1.0-py3-none-any.whl": b"PK"})
    contents.check(release(wheels, profile="gateway"), wheels, None)
    with pytest.raises(errors.MalformedError, match="only wheels"):
        contents.check(release(BUNDLE, profile="gateway"), BUNDLE, None)


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (b"", "does not begin"),
        (b"\x7fELF" + bytes(100), "does not begin"),
        (b"\xe9\x00" + IMAGE[2:], "does not begin"),
        (IMAGE[:-1], "does not end with its SHA-256"),
        (IMAGE + b"\xff", "does not end with its SHA-256"),
        (BODY, "does not end with its SHA-256"),
    ],
)
def test_an_image_that_no_bootloader_starts_is_refused(of: bytes, reason: str) -> None:
    with pytest.raises(errors.MalformedError, match=reason):
        contents.check(release(BUNDLE, of), BUNDLE, of)


def test_an_image_that_fits_no_partition_is_refused() -> None:
    with pytest.raises(errors.TooBigError, match="a node's partition holds"):
        image.check(IMAGE + bytes(image.IMAGE_MAX_BYTES))
