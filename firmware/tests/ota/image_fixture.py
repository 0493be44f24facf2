"""The node of `release_fixture` with two partitions for images, and a release that has an image.

Not the partitions: `fake_partitions`.
"""

import hashlib

import boot
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_partitions import Partitions
from release_fixture import VECTORS, Node

from node.ota import ed25519, image
from poleward_manifest import patch
from poleward_manifest.bundle import deflate
from poleward_manifest.envelope import Component, Manifest, sign

_PIECE_BYTES = 4096  # the real ones would make every test long
IMAGES = {
    name: name.encode() * 900 + hashlib.sha512(name.encode()).digest() * 3 + b"both" * 900
    for name in ("old", "new")
}
_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"first").digest())
ENVELOPE = sign(
    Manifest(
        4,
        "1.4.0",
        "pole-basic",
        Component.of_bundle(VECTORS["new"]["bundle"]),
        Component.of_image(IMAGES["new"]),
    ),
    [_KEY],
)
IMAGE_URI = "coap:///r/" + hashlib.sha256(ENVELOPE).hexdigest()
PIECES = [
    deflate(IMAGES["new"][at : at + _PIECE_BYTES])
    for at in range(0, len(IMAGES["new"]), _PIECE_BYTES)
]
PATCH = patch.make(IMAGES["old"], IMAGES["new"])
_DIGEST = hashlib.sha256(IMAGES["new"]).hexdigest()
PIECES_PATH = ("a", "d", _DIGEST)
PATCH_PATH = ("a", "p", _DIGEST, "3")
_verify = ed25519.verify
_verified: dict[tuple[bytes, bytes, bytes], bool] = {}


async def _verify_once(key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify as ever, but the same signature only once: it is not what is tried here."""
    asked = (key, message, signature)
    if asked not in _verified:
        _verified[asked] = await _verify(*asked)
    return _verified[asked]


def make_node(has_patch: bool = False) -> Node:
    """Make a node that runs the old release, and a gateway that has the new one with its image."""
    node = Node(False, has_patch)
    ed25519.verify = _verify_once
    image.IMAGE_PIECE_BYTES = _PIECE_BYTES
    node.envelopes["new"].append(ENVELOPE)
    node.gateway.resources[("r", IMAGE_URI[-64:])] = ENVELOPE
    for number, piece in enumerate(PIECES):
        node.gateway.resources[("a", "d", _DIGEST, str(number))] = piece
    if has_patch:
        node.gateway.resources[PATCH_PATH] = PATCH
    node.partitions = Partitions(node.flash, IMAGES["old"])
    node.start_on(0)
    return node


def boot_up(node: Node) -> int:
    """Do what bootloader and boot.py do at a reset; give the slot whose application runs."""
    offset = node.partitions.start()
    slot: int = boot.choose_slot(node.flash, boot.is_whole, offset)
    node.start_on(slot)
    return slot


def image_in(node: Node, number: int) -> str | None:
    """Tell which image is at the start of a partition; None for neither."""
    for name, content in IMAGES.items():
        if node.partitions.contents[number][: len(content)] == content:
            return name
    return None
