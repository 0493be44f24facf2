"""Downgrade permissions: who may go back to a release from a newer one.

Not where they stand (`envelope`). A release team signs one with the release that it is for.
"""

from poleward_manifest import subject as subjects
from poleward_manifest.directive import ROLLOUT_NAME
from poleward_manifest.errors import MalformedError, WrongClassError

_ROLLOUT = "rollout:"


def check(permission: str, board_profile: str) -> None:
    """Insist on `node:<MAC>`, `gateway:<name>`, `rollout:<name>` or nothing.

    Raises:
        MalformedError: it is something else.
        WrongClassError: it is for gateways in a release for nodes, or the other way round.
    """
    if not permission:
        return
    if permission.startswith(_ROLLOUT):
        if ROLLOUT_NAME.fullmatch(permission.removeprefix(_ROLLOUT)):
            return
    elif subjects.is_subject(permission):
        kind = subjects.kind_for(board_profile)
        if not permission.startswith(f"{kind}:"):
            raise WrongClassError(
                f"{permission} cannot go back to a release of class {board_profile}; name a {kind}"
            )
        return
    raise MalformedError(
        f"downgrade permission {permission!r} is none of node:<MAC in 12 hex digits>, "
        "gateway:<name> and rollout:<name>"
    )


def covers(permission: str, subject: str, rollout: str) -> bool:
    """Tell whether a node or gateway may go back, as a node's own reader decides.

    Args:
        permission: of the release.
        subject: who would go back, `node:<MAC>` or `gateway:<name>`.
        rollout: that the directive for it names; empty without a directive.
    """
    return permission == subject or (bool(rollout) and permission == f"{_ROLLOUT}{rollout}")
