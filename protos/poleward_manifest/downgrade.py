"""Downgrade permissions: who may go back to a release from a newer one.

Not where they stand (`envelope`). A release team signs one with the release that it is for.
"""

import re

from poleward_manifest import wheel_set
from poleward_manifest.directive import ROLLOUT_NAME
from poleward_manifest.errors import MalformedError, WrongClassError

_PATTERNS = {"node": re.compile(r"[0-9a-f]{12}"), "rollout": ROLLOUT_NAME}


def check(permission: str, board_profile: str) -> None:
    """Insist on `node:<MAC>`, `rollout:<name>` or nothing.

    Raises:
        MalformedError: it is something else.
        WrongClassError: it stands in a release for gateways.
    """
    if not permission:
        return
    if board_profile == wheel_set.PROFILE:
        raise WrongClassError("a release for gateways has no downgrade permission; leave it out")
    kind, _, name = permission.partition(":")
    pattern = _PATTERNS.get(kind)
    if pattern is None or not pattern.fullmatch(name):
        raise MalformedError(
            f"downgrade permission {permission!r} is neither node:<MAC in 12 hex digits> nor "
            "rollout:<name>"
        )


def covers(permission: str, mac: bytes, rollout: str) -> bool:
    """Tell whether a node may go back, as its own reader decides.

    Args:
        permission: of the release.
        mac: of the node.
        rollout: that the node's directive names; empty without a directive.
    """
    return permission == f"node:{mac.hex()}" or (
        bool(rollout) and permission == f"rollout:{rollout}"
    )
