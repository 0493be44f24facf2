"""Where a node stands in an update and what the gateway does next; pure.

Not the transfer, and not the choice of who is updated when: that is the fleet's rollout.
"""

from dataclasses import dataclass
from enum import Enum


class UpdateState(Enum):
    """Where a node stands in an update (docs/rollouts.md)."""

    IDLE = "idle"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    RETURNED = "returned"
    REJECTED = "rejected"
    FAILED = "failed"
    FROZEN = "frozen"
    """The directive does not hold now; the fleet gives a fresh one with its next attempt."""


FINAL_STATES = frozenset(
    {
        UpdateState.CONFIRMED,
        UpdateState.RETURNED,
        UpdateState.REJECTED,
        UpdateState.FAILED,
        UpdateState.FROZEN,
    }
)


@dataclass(frozen=True, slots=True)
class InstallTime:
    """From when until when a release may be installed, Unix seconds."""

    from_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class DesiredRelease:
    """What the fleet wants a node, or the gateway itself, to run.

    Args:
        digest: SHA-256 of the envelope; empty when nothing is wanted.
        directive: The fleet's signed word about it; empty for none.
        install_times: When it may be installed; none for at any time.
    """

    digest: bytes
    directive: bytes = b""
    install_times: tuple[InstallTime, ...] = ()

    def may_install(self, now_s: float) -> bool:
        """Tell whether it may be installed now."""
        times = self.install_times
        return not times or any(time.from_s <= now_s < time.until_s for time in times)


NO_RELEASE = DesiredRelease(b"")


@dataclass(frozen=True, slots=True)
class NodeUpdate:
    """Progress of one release on one node, or on the gateway itself.

    Args:
        release_digest: SHA-256 of the envelope.
        reason: Why, for rejected, failed, frozen and returned; in words for people.
    """

    release_digest: bytes
    state: UpdateState
    reason: str = ""


class PackageState(Enum):
    """State of the node's updater (OMA LwM2M TS Core 1.1, E.6, resource 3)."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"


class PackageResult(Enum):
    """What the node's updater says about its last attempt, as far as it matters here."""

    NONE = "none"
    SUCCESS = "success"
    REFUSED = "refused"
    NO_ROOM = "no room"
    LINK_LOST = "link lost"
    STALE = "directive is stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UpdateReadout:
    """What a node says about releases at one moment.

    Args:
        sequence: Sequence number of the release that runs.
        explanation: The node's own words for its last failure; may be empty.
        package: SHA-256 of the envelope that it was offered last; None where it does not say:
            then it is taken to be the one that was offered here.
    """

    package_state: PackageState
    package_result: PackageResult
    sequence: int
    on_trial: bool
    explanation: str
    package: bytes | None = None

    @property
    def is_installing(self) -> bool:
        """Whether it cannot be stopped any more: it decides by itself whether it stays."""
        return self.on_trial or self.package_state is PackageState.UPDATING

    def is_about(self, release_digest: bytes) -> bool:
        """Tell whether what is under way on the node is this release."""
        return self.package is None or self.package == release_digest


class Step(Enum):
    """What the gateway does next for a node."""

    WAIT = "wait"
    OFFER = "offer"
    INSTALL = "install"
    FINISH = "finish"


def next_step(
    target: NodeUpdate,
    target_sequence: int,
    readout: UpdateReadout,
    *,
    offer_is_fresh: bool = False,
    may_go_back: bool = False,
) -> tuple[Step, NodeUpdate]:
    """Decide what comes next for one node, and where it stands now.

    A node that reports something else than intended is believed about itself only: what runs is
    its sequence number, and a final state is reached only by what it runs or by what it refused.

    Args:
        target: The update under way, with the state reached so far.
        target_sequence: Sequence number of the release that the node should run.
        readout: What the node says now.
        offer_is_fresh: The node was asked to download or to install so recently that an idle
            updater proves nothing.
        may_go_back: The release permits this node to come from a newer one.
    """
    digest = target.release_digest
    if target.state in FINAL_STATES and not (
        # The node runs it after all: a confirmation that came after we gave up.
        readout.sequence == target_sequence and not readout.on_trial
    ):
        return Step.FINISH, target
    if readout.sequence == target_sequence:
        if readout.on_trial:
            return Step.WAIT, NodeUpdate(digest, UpdateState.TRIAL)
        return Step.FINISH, NodeUpdate(digest, UpdateState.CONFIRMED)
    if readout.on_trial:
        return Step.WAIT, target  # something else, which was wanted before
    if readout.sequence > target_sequence and not may_go_back:
        reason = f"the node runs release {readout.sequence}, newer than {target_sequence}"
        return Step.FINISH, NodeUpdate(digest, UpdateState.REJECTED, reason)
    if target.state is UpdateState.TRIAL:
        reason = readout.explanation or "the node went back to the release before"
        return Step.FINISH, NodeUpdate(digest, UpdateState.RETURNED, reason)
    return _step_of_transfer(target, readout, offer_is_fresh)


def _step_of_transfer(
    target: NodeUpdate, readout: UpdateReadout, offer_is_fresh: bool
) -> tuple[Step, NodeUpdate]:
    """Decide for a node that runs another release."""
    digest = target.release_digest
    if not readout.is_about(digest) and readout.package_state is not PackageState.IDLE:
        # Another release, which is not wanted any more; as long as it may, this takes its place.
        if readout.is_installing:
            return Step.WAIT, target
        return Step.OFFER, NodeUpdate(digest, UpdateState.OFFERED)
    if readout.package_state is PackageState.DOWNLOADING:
        return Step.WAIT, NodeUpdate(digest, UpdateState.DOWNLOADING)
    if readout.package_state is PackageState.DOWNLOADED:
        return Step.INSTALL, NodeUpdate(digest, UpdateState.DOWNLOADED)
    if readout.package_state is PackageState.UPDATING:
        return Step.WAIT, NodeUpdate(digest, UpdateState.DOWNLOADED)
    if target.state is UpdateState.IDLE:
        return Step.OFFER, NodeUpdate(digest, UpdateState.OFFERED)
    if target.state is UpdateState.DOWNLOADED and readout.package_result is PackageResult.SUCCESS:
        # Offered again, it would install the same for ever.
        reason = f"the node took the release but says that it runs {readout.sequence}"
        return Step.FINISH, NodeUpdate(digest, UpdateState.REJECTED, reason)
    words = readout.explanation or f"the node's updater reports: {readout.package_result.value}"
    if readout.package_result is PackageResult.STALE:
        return Step.FINISH, NodeUpdate(digest, UpdateState.FROZEN, words)
    if readout.package_result is PackageResult.REFUSED:
        return Step.FINISH, NodeUpdate(digest, UpdateState.REJECTED, words)
    if readout.package_result is PackageResult.NO_ROOM:
        return Step.FINISH, NodeUpdate(digest, UpdateState.FAILED, words)
    if readout.package_result in {PackageResult.FAILED, PackageResult.LINK_LOST}:
        if target.state is UpdateState.DOWNLOADED:
            return Step.FINISH, NodeUpdate(digest, UpdateState.RETURNED, words)
        return Step.FINISH, NodeUpdate(digest, UpdateState.FAILED, words)
    if offer_is_fresh:
        # It was just asked to download or to restart; it says so in a moment.
        return Step.WAIT, target
    # Idle without a result: the node forgot the offer (it restarted); it is offered again.
    return Step.OFFER, NodeUpdate(digest, UpdateState.OFFERED)
