"""Decides by its directive whether a node may be offered what it should run.

Not who may sign directives (services/trust.py) and not the node's own check, which is the same.
"""

from datetime import UTC, datetime

from poleward_gateway.domain.errors import ArtifactError, ArtifactRejectedError, DirectiveStaleError
from poleward_gateway.domain.nodes import DesiredNode
from poleward_gateway.domain.trust import Directive
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.releases import DirectiveVerifier, ReleaseVerifier, VerifiedRelease
from poleward_gateway.services.trust import TrustChain


class Directives:
    """Checks the directives that came with desired state."""

    def __init__(
        self,
        verifier: DirectiveVerifier,
        releases: ReleaseVerifier,
        trust: TrustChain,
        clock: Clock,
    ) -> None:
        self._verifier = verifier
        self._releases = releases
        self._trust = trust
        self._clock = clock

    def require(self, node: DesiredNode) -> None:
        """Insist on a directive that holds now, where the trust document asks for one.

        Raises:
            ArtifactRejectedError: There is none, or it is forged or about something else.
            DirectiveStaleError: It is over or has not begun.
            ArtifactUnavailableError: Who may sign it will be known soon.
        """
        directive = self._verified(node)
        if directive is None:
            return
        now_s = self._clock.now_ms() // 1000
        if not directive.not_before_s <= now_s <= directive.not_after_s:
            begin, end, now = (
                datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
                for time_s in (directive.not_before_s, directive.not_after_s, now_s)
            )
            raise DirectiveStaleError(
                f"the directive holds from {begin} to {end}, and here it is {now}"
            )

    def may_go_back(self, node: DesiredNode, release: VerifiedRelease) -> bool:
        """Tell whether a node may go back to an older release."""
        if not release.downgrade:
            return False
        try:
            directive = self._verified(node)
        except ArtifactError:
            return False
        rollout = directive.rollout if directive else ""
        return self._releases.covers(release.downgrade, node.mac, rollout)

    def _verified(self, node: DesiredNode) -> Directive | None:
        """Return the directive of a node; None where nobody asks for one."""
        signers = self._trust.directive_signers()
        if not signers.keys:
            return None
        if not node.directive:
            raise ArtifactRejectedError("the fleet gave no directive for this node")
        return self._verifier.verify(
            node.directive, signers, release=node.release_digest, mac=node.mac
        )
