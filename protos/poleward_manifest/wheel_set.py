"""The gateway's component: a set of wheels and the hashes under which pip may install them.

Not how it is built (poleward_tools.releases) nor installed (the gateway).
"""

import hashlib
import re
import uuid
from collections.abc import Mapping

from nodelink.release_format import VENDOR_ID
from poleward_manifest.errors import MalformedError
from poleward_manifest.file_set import FileSet

PROFILE = "gateway"
"""Stands where releases for nodes name a kind of board."""
CLASS_ID = uuid.uuid5(uuid.UUID(bytes=VENDOR_ID), PROFILE).bytes
COMPONENT = "wheels"
MAX_BYTES = 48 * 1024 * 1024
"""All of the gateway's dependencies have about 20 MB."""

# PEP 427: distribution, version, tags; PEP 440 as far as our versions and our dependencies' go.
_WHEEL = re.compile(r"([A-Za-z0-9_.]+)-([0-9][A-Za-z0-9.!+]*)(-[A-Za-z0-9_.]+){3,4}\.whl")
_FORM = FileSet("set of wheels", _WHEEL, "wheels", MAX_BYTES)


def pack(wheels: Mapping[str, bytes]) -> bytes:
    """Join wheels by file name; the same wheels always give the same bytes.

    Raises:
        MalformedError: a name is no wheel's.
        TooBigError: they exceed MAX_BYTES.
    """
    return _FORM.pack(wheels)


def unpack(packed: bytes) -> dict[str, bytes]:
    """Split a set into its wheels by file name.

    Raises:
        MalformedError: the bytes are not what `pack` makes.
        TooBigError: there are more than MAX_BYTES.
    """
    return _FORM.unpack(packed)


def requirements(wheels: Mapping[str, bytes]) -> str:
    """Write what `pip install --require-hashes` reads: each wheel, its version and its digest."""
    lines = []
    for name, content in sorted(wheels.items()):
        found = _WHEEL.fullmatch(name)
        if found is None:
            raise MalformedError(f"{name!r} is no name of a wheel")
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"{found[1]}=={found[2]} --hash=sha256:{digest}\n")
    return "".join(lines)
