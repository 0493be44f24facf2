"""What a release is made of, as its bill of materials says.

Not how a bill is kept or asked (ports.components).
"""

import json
import re
from dataclasses import dataclass

from poleward_fleet.domain.errors import InvalidError

SBOM_MAX_BYTES = 1024 * 1024
_COMPONENTS_MAX = 10_000
_PARTS_MAX = 8
_PART_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class SoftwareComponent:
    """A component with its version, e.g. mpy-cross 1.26.0."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class AffectedNode:
    """A node that runs a component in an affected version."""

    number: int
    endpoint_name: str
    pole_code: str
    release_version: str
    component_version: str


@dataclass(frozen=True, slots=True)
class Affected:
    """Who runs a component below a version.

    Attributes:
        total: All of them; `nodes` may be only the first.
    """

    total: int
    nodes: tuple[AffectedNode, ...]


def version_order(version: str) -> tuple[int, ...]:
    """Give what versions are compared by: the numbers in it, e.g. (1, 26, 0) for "v1.26.0-rc1".

    Raises:
        InvalidError: There is none.
    """
    release = re.match(r"v?(\d+(?:[.]\d+)*)", version.strip())
    if release is None:
        raise InvalidError.of("no_version", version=version)
    parts = tuple(min(int(part), _PART_MAX) for part in release[1].split(".")[:_PARTS_MAX])
    # 1.2 and 1.2.0 are the same.
    while len(parts) > 1 and parts[-1] == 0:
        parts = parts[:-1]
    return parts


def read_sbom(sbom: bytes, bundle_digest: bytes) -> tuple[SoftwareComponent, ...]:
    """List the components with a version in a CycloneDX document.

    Raises:
        InvalidError: It is none, or that of another bundle.
    """
    if len(sbom) > SBOM_MAX_BYTES:
        raise InvalidError(f"a bill of materials has at most {SBOM_MAX_BYTES} bytes")
    try:
        document = json.loads(sbom)
        metadata = document["metadata"]
        subject = metadata["component"]
        digests = [entry["content"] for entry in subject["hashes"] if entry["alg"] == "SHA-256"]
        listed = [
            subject,
            *metadata.get("tools", {}).get("components", ()),
            *document.get("components", ()),
        ]
        found = {
            SoftwareComponent(str(entry["name"]), str(entry["version"]))
            for entry in listed
            if entry.get("version") and re.match(r"v?\d", str(entry["version"]))
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidError("the bill of materials is no CycloneDX document in JSON") from error
    if digests != [bundle_digest.hex()]:
        raise InvalidError("the bill of materials is of another bundle; build the release again")
    if len(found) > _COMPONENTS_MAX:
        raise InvalidError(f"a bill of materials names at most {_COMPONENTS_MAX} components")
    return tuple(sorted(found, key=lambda one: (one.name, one.version)))
