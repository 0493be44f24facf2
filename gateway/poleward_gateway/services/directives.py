"""Decides by its directive whether a node or the gateway itself may install what it should run.

Not who may sign directives (services/trust.py) and not the node's own check, which is the same.
"""

from datetime import UTC, datetime

from poleward_gateway.domain.errors import ArtifactError, ArtifactRejectedError, DirectiveStaleError
from poleward_gateway.domain.trust import Directive
from poleward_gateway.domain.updates import DesiredRelease
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.releases import DirectiveVerifier, ReleaseVerifier, VerifiedRelease
from poleward_gateway.services.trust import TrustChain


class Directives:
    """Checks the directives that came with desired state.

    Who they are about is `node:<MAC>` or `gateway:<name>`.
    """

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

    def require(self, subject: str, wanted: DesiredRelease) -> None:
        """Insist on a directive that holds now, where the trust document asks for one.

        Raises:
            ArtifactRejectedError: There is none, or it is forged or about something else.
            DirectiveStaleError: It is over or has not begun.
            ArtifactUnavailableError: Who may sign it will be known soon.
        """
        directive = self._verified(subject, wanted)
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

    def may_go_back(self, subject: str, release: VerifiedRelease, wanted: DesiredRelease) -> bool:
        """Tell whether somebody may go back to the release that it should run."""
        if not release.downgrade:
            return False
        try:
            directive = self._verified(subject, wanted)
        except ArtifactError:
            return False
        rollout = directive.rollout if directive else ""
        return self._releases.covers(release.downgrade, subject, rollout)

    def _verified(self, subject: str, wanted: DesiredRelease) -> Directive | None:
        """Return the directive about somebody; None where nobody asks for one."""
        signers = self._trust.directive_signers()
        if not signers.keys:
            return None
        if not wanted.directive:
            raise ArtifactRejectedError(f"the fleet gave no directive for {subject}")
        return self._verifier.verify(
            wanted.directive, signers, release=wanted.digest, subject=subject
        )
