"""Who installs a release, as directives and downgrade permissions name it: a node or a gateway.

Not a rollout, which is for many of them.
"""

import re

from poleward_manifest import wheel_set
from poleward_manifest.errors import MalformedError

NODE, GATEWAY = "node", "gateway"
_MAC_BYTES = 6
_PATTERNS = {
    NODE: re.compile(r"[0-9a-f]{12}"),
    GATEWAY: re.compile(r"[a-z0-9][a-z0-9.-]{0,62}"),
}


def of_node(mac: bytes) -> str:
    """Name a node: `node:<MAC>`."""
    return f"{NODE}:{mac.hex()}"


def of_gateway(name: str) -> str:
    """Name a gateway: `gateway:<name>`."""
    return f"{GATEWAY}:{name}"


def kind_for(board_profile: str) -> str:
    """Return of which kind those are that run a release of a class."""
    return GATEWAY if board_profile == wheel_set.PROFILE else NODE


def is_subject(text: str) -> bool:
    """Tell whether a text is one of the two forms."""
    kind, _, name = text.partition(":")
    return kind in _PATTERNS and _PATTERNS[kind].fullmatch(name) is not None


def to_cbor(subject: str) -> bytes | str:
    """Return what stands in a directive: a node's 6 bytes, or `gateway:<name>` as it is.

    Raises:
        MalformedError: it names neither.
    """
    if not is_subject(subject):
        raise MalformedError(f"{subject!r} is neither node:<MAC> nor gateway:<name>")
    kind, _, name = subject.partition(":")
    return bytes.fromhex(name) if kind == NODE else subject


def from_cbor(said: bytes | str) -> str:
    """Return the subject of a directive; the inverse of `to_cbor`.

    Raises:
        MalformedError: it names neither.
    """
    subject = of_node(said) if isinstance(said, bytes) else said
    if to_cbor(subject) != said:
        raise MalformedError(f"{said!r} is neither a MAC nor gateway:<name>")
    return subject
