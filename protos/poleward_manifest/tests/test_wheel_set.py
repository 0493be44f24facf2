import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest import envelope, errors, wheel_set

WHEELS = {
    "poleward-1.4.0-py3-none-any.whl": b"ours",
    "grpcio-1.80.0-cp311-cp311-manylinux_2_28_x86_64.whl": b"theirs",
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def test_wheels_come_back_from_their_set_in_order() -> None:
    packed = wheel_set.pack(WHEELS)
    assert list(wheel_set.unpack(packed)) == sorted(WHEELS)
    assert wheel_set.pack(dict(sorted(WHEELS.items()))) == packed


def test_each_wheel_is_required_with_its_digest() -> None:
    lines = wheel_set.requirements(WHEELS).splitlines()
    assert [line.split()[0] for line in lines] == ["grpcio==1.80.0", "poleward==1.4.0"]
    assert all("--hash=sha256:" in line for line in lines)


@pytest.mark.parametrize(
    "name", ["../poleward-1.4.0-py3-none-any.whl", "poleward.zip", "setup.py", "a-b-c-d-e.whl"]
)
def test_what_is_no_wheel_is_refused(name: str) -> None:
    with pytest.raises(errors.MalformedError, match="only wheels"):
        wheel_set.pack({name: b""})
    with pytest.raises(errors.MalformedError, match="no name of a wheel"):
        wheel_set.requirements({name: b""})


def test_a_gateway_release_is_of_a_class_of_its_own() -> None:
    component = envelope.Component.of_wheels(wheel_set.pack(WHEELS))
    manifest = envelope.Manifest(7, "1.4.0", wheel_set.PROFILE, component)
    signed = envelope.sign(manifest, [KEY])
    assert envelope.verify(signed, [KEY.public_key().public_bytes_raw()]) == manifest


def test_wheels_for_nodes_and_a_bundle_for_gateways_are_refused() -> None:
    wheels = envelope.Component.of_wheels(b"w")
    bundle = envelope.Component.of_bundle(b"b")
    for profile, component in (("pole-basic", wheels), (wheel_set.PROFILE, bundle)):
        with pytest.raises(errors.WrongClassError, match="takes no"):
            envelope.encode_manifest(envelope.Manifest(1, "1.0.0", profile, component))
