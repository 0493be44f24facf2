"""What the demo's factory makes: a signing key, signed releases, what all its nodes share.

It talks to no fleet; `city.py` does.
"""

from dataclasses import dataclass
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest import envelope as envelopes
from poleward_tools.flash_image.node_image import node_files, prepare_software
from poleward_tools.flash_image.node_nvs import Trust
from poleward_tools.releases import build, keys
from poleward_tools.virtual_board.node_folder import ProductionRun
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

_AUTHENTICATION_WRAPPER = 2  # draft-ietf-suit-manifest, Appendix A


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """A signed release.

    Attributes:
        version: for people.
        sequence: monotonic.
        bundle: the node application.
        envelope: signed, names the bundle.
        built: what was signed, with its files.
        image: the MicroPython that comes with it, if any.
    """

    version: str
    sequence: int
    bundle: bytes
    envelope: bytes
    built: build.BuiltRelease
    image: bytes | None = None


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Load the demo's release key from a file, or make one there."""
    if path.exists():
        return keys.load_key(path)
    path.parent.mkdir(parents=True, mode=0o700)
    return keys.create_key(path)


def build_release(version: str, *, sequence: int, key: Ed25519PrivateKey) -> BuiltRelease:
    """Build the node's sources of this installation and sign them."""
    built = build.build_release(version, sequence)
    envelope = envelopes.sign(built.manifest, [key])
    return BuiltRelease(version, sequence, built.bundle, envelope, built)


def with_bad_signature(envelope: bytes) -> bytes:
    """Change one bit of the first signature and nothing else."""
    wrapper = cbor2.loads(cbor2.loads(envelope).value[_AUTHENTICATION_WRAPPER])
    signature: bytes = cbor2.loads(wrapper[1]).value[3]  # RFC 9052, 4.2: the last of four
    return envelope.replace(signature, bytes((signature[0] ^ 1,)) + signature[1:])


def files_of_node(release: BuiltRelease) -> dict[str, bytes]:
    """Return the files of a node that has this release first."""
    return node_files(
        root_files=release.built.root_files,
        bundle=release.built.bundle,
        envelope=release.envelope,
    )


def production_run(release: BuiltRelease, trust: Trust) -> ProductionRun:
    """Put together what all nodes of this city share."""
    software = prepare_software(stand_in_firmware("esp32"), files_of_node(release))
    return ProductionRun(software, trust)
