"""Collects from files what a production run is made of: chip firmware, a release, trust anchors.

It signs and verifies no release beyond what a node itself would ask for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poleward_manifest import bundle as bundles
from poleward_manifest import envelope as envelopes
from poleward_manifest import trust as trust_documents
from poleward_manifest.errors import StaleError
from poleward_tools.flash_image.errors import TrustError
from poleward_tools.flash_image.firmware_files import load_firmware
from poleward_tools.flash_image.node_image import (
    FLASH_SIZE_BYTES,
    NodeSoftware,
    node_files,
    prepare_software,
)
from poleward_tools.flash_image.node_nvs import NO_SETTINGS, Settings, Trust
from poleward_tools.releases import build, folder, keys, trust_folder


@dataclass(frozen=True, slots=True)
class Production:
    """What all boards of a run get.

    Attributes:
        software: the regions of the flash.
        trust: gateway and release keys.
        profile: board profile of the release.
        version: of the release; the self-test expects a node to name it.
        settings: what the boards have and how they reach the gateway.
    """

    software: NodeSoftware
    trust: Trust
    profile: str
    version: str
    settings: Settings = field(default_factory=dict)


def collect(
    *,
    chip: str,
    firmware: Path,
    release: Path,
    gateway_uri: str,
    release_keys: Sequence[Path] = (),
    threshold: int = 1,
    document: Path | None = None,
    flash_size_bytes: int = FLASH_SIZE_BYTES,
    settings: Settings = NO_SETTINGS,
) -> Production:
    """Read everything and refuse what a node could not live with.

    A trust document, or a folder with it, takes the place of keys and threshold: the boards follow
    it from their first boot on.

    Raises:
        FlashImageError: chip firmware or sizes.
        EnvelopeError: the release is not signed by as many of the keys as the nodes will want or
            has no bundle of theirs, or the document is not sound or has expired.
        ReleaseFolderError, ReleaseKeyError, TrustFileError, BuildError: a file is missing or not
            what it should be.
    """
    if (document is None) != bool(release_keys):
        raise TrustError("name release keys or a trust document, one of the two")
    if document is None:
        trusted = tuple(keys.load_public_key(path) for path in release_keys)
        trust = Trust(gateway_uri, trusted, threshold)
    else:
        trust = following(gateway_uri, trust_folder.load(trust_folder.newest(document)))
    stored = folder.load(release)
    manifest = envelopes.verify(stored.envelope, trust.release_keys, trust.threshold)
    bundles.unpack(stored.bundle)  # boot.py mounts no other form
    sources = build.find_firmware()
    software = prepare_software(
        load_firmware(firmware, chip),
        node_files(
            root_files={name: (sources / name).read_bytes() for name in build.ROOT_FILES},
            bundle=stored.bundle,
            envelope=stored.envelope,
        ),
        flash_size_bytes=flash_size_bytes,
    )
    return Production(software, trust, manifest.board_profile, manifest.version, settings)


def following(gateway_uri: str, document: bytes) -> Trust:
    """Have nodes follow a trust document from their first boot on.

    Raises:
        EnvelopeError: it is not sound, not signed by its own root keys, or has expired.
    """
    said = trust_documents.verify_alone(document)
    if said.expires_at_s <= time.time():
        raise StaleError(f"trust document {said.version} has expired: nodes would install nothing")
    role = said.release
    return Trust(gateway_uri, role.keys, role.threshold, trust_documents.encode(said))
