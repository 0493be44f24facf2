"""Builds a release of the gateway: the same sources give the same bytes.

It signs nothing and fetches nothing: wheels of dependencies come from a folder, if at all.
"""

import base64
import hashlib
import importlib.util
import io
import re
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from poleward_manifest import wheel_set
from poleward_manifest.envelope import Component, Manifest, encode_manifest
from poleward_tools.releases.build import BuildError, BuiltRelease

_PACKAGES = (
    "poleward_gateway", "poleward_manifest", "poleward_commissioning", "nodelink", "poleward",
)  # fmt: skip
_DISTRIBUTION = "poleward"
_EXTRA = re.compile(r"""\s*;\s*extra\s*==\s*['"]gateway['"]\s*""")
# The oldest time that a zip file can hold: no build's own time may be in it.
_TIME = (1980, 1, 1, 0, 0, 0)


def build_gateway_release(
    version: str,
    sequence: int,
    *,
    sources: Mapping[str, bytes] | None = None,
    dependencies: Path | None = None,
) -> BuiltRelease:
    """Pack the gateway's sources into a wheel, and that into a set with those it needs.

    Args:
        version: three numbers, for example `1.4.0`.
        sequence: higher than that of every gateway release before.
        sources: files of the wheel by path; else those of this installation.
        dependencies: folder of wheels to take along; without it gateways use what is installed
            beside their launcher.

    Raises:
        BuildError: the sources or the folder are not there.
        EnvelopeError: version or sequence is not allowed, or the set is too big.
    """
    files = gateway_sources() if sources is None else sources
    wheels = {} if dependencies is None else _wheels_in(dependencies)
    wheels[f"{_DISTRIBUTION}-{version}-py3-none-any.whl"] = _wheel(version, files)
    packed = wheel_set.pack(wheels)
    manifest = Manifest(sequence, version, wheel_set.PROFILE, Component.of_wheels(packed))
    encode_manifest(manifest)  # refuses what no gateway would take before anybody signs it
    return BuiltRelease(manifest, packed, {})


def gateway_sources() -> dict[str, bytes]:
    """Find the gateway's packages that belong to this installation.

    Raises:
        BuildError: one of them is not installed.
    """
    found: dict[str, bytes] = {}
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise BuildError(f"package {package} is not installed here")
        folder = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            if "tests" not in name.parts:
                found[f"{package}/{name.as_posix()}"] = path.read_bytes()
    return found


def _wheels_in(folder: Path) -> dict[str, bytes]:
    wheels = {path.name: path.read_bytes() for path in folder.glob("*.whl")}
    if not wheels:
        raise BuildError(
            f"{folder} holds no wheels; fill it with `pip download --only-binary :all: --dest`"
        )
    return wheels


def _wheel(version: str, files: Mapping[str, bytes]) -> bytes:
    """Make a wheel (PyPA, Binary distribution format)."""
    about = f"{_DISTRIBUTION}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {name}\n" for name in _requirements())
    contents = {
        **files,
        f"{about}/METADATA": (
            f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: {version}\n"
            f"Requires-Python: >=3.11\n{requires}"
        ).encode(),
        f"{about}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: poleward\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(
        f"{path},sha256={_record_digest(content)},{len(content)}\n"
        for path, content in sorted(contents.items())
    )
    contents[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(contents):
            entry = zipfile.ZipInfo(path, _TIME)
            entry.external_attr = 0o644 << 16
            # Stored, not compressed: another zlib would give other bytes.
            archive.writestr(entry, contents[path])
    return packed.getvalue()


def _requirements() -> list[str]:
    """List what the gateway needs, as this installation's metadata says."""
    return [
        _EXTRA.sub("", line)
        for line in metadata.requires(_DISTRIBUTION) or ()
        if _EXTRA.search(line)
    ]


def _record_digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
