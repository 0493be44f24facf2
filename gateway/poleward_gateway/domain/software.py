"""Which of its own releases a gateway runs, tries and keeps: pure rules.

Not how they are installed (adapters/software), and not who wants them: that is the fleet's rollout.
A release is named by the digest of its envelope; INSTALLED names what was installed by hand, which
the launcher belongs to.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from poleward_gateway.domain.updates import NodeUpdate, UpdateState

INSTALLED = b""
START_OTHER_EXIT = 10
"""Exit code of a gateway that wants another release started in its place."""
HEARD_PERCENT = 90
"""Share of the nodes registered before that a release on trial has to hear."""
_ROOM_FACTOR = 4
"""Download, wheels and environment, each about as big as the set of wheels, and one to spare."""
_ROOM_LEFT_BYTES = 128 * 1024 * 1024
"""What the spool and its ballast keep."""


@dataclass(frozen=True, slots=True)
class SoftwareRecord:
    """What is written down about the gateway's own releases; each change is one atomic write.

    Args:
        confirmed: What runs while nothing is tried.
        previous: What ran before it; kept, in case that `confirmed` is damaged.
        trial: What the next start tries, or this one does; None for nothing.
        is_begun: The launcher started it; it is started once.
        trial_s: So long it may take to prove itself.
        ended: How the last update ended; None when it is forgotten.
    """

    confirmed: bytes = INSTALLED
    previous: bytes = INSTALLED
    trial: bytes | None = None
    is_begun: bool = False
    trial_s: int = 0
    ended: NodeUpdate | None = None

    @property
    def kept(self) -> frozenset[bytes]:
        """Releases whose environments have to stay."""
        named = {self.confirmed, self.previous} | ({self.trial} if self.trial else set())
        return frozenset(named - {INSTALLED})


@dataclass(frozen=True, slots=True)
class Schema:
    """Which database a release writes: its schema, and from which schema on that can be used."""

    version: int
    readable_from: int


@dataclass(frozen=True, slots=True)
class GatewaySoftware:
    """What the gateway says about its own software.

    Args:
        version: That runs, confirmed or not.
        sequence: Sequence number of the confirmed release; 0 for what was installed by hand.
        update: Under way, or ended last.
    """

    version: str
    sequence: int
    update: NodeUpdate | None = None


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """What a release on trial has reached so far; that it runs shows that it has its port.

    Args:
        disk_works: Reports reach the disk.
        registered: Nodes that were registered before, without those that sleep.
        heard: How many of them were heard since.
    """

    fleet_connected: bool
    disk_works: bool
    registered: int
    heard: int


def try_next(record: SoftwareRecord, release: bytes, trial_s: int) -> SoftwareRecord:
    """Have the next start try a release that is installed."""
    return replace(record, trial=release, is_begun=False, trial_s=trial_s, ended=None)


def begin(
    record: SoftwareRecord, is_whole: Callable[[bytes], bool]
) -> tuple[SoftwareRecord, bytes]:
    """Decide what a start runs.

    Rules:
    - A release on trial is started once; one that was started and is not confirmed is given back.
    - What is not whole is never started; then comes the previous release, then what was installed.

    Returns:
        What has to be written down before anything is started, and what to start.
    """
    trial = record.trial
    if trial is not None:
        if not record.is_begun and is_whole(trial):
            return replace(record, is_begun=True), trial
        reason = "it ended before it was confirmed" if record.is_begun else "it is not whole"
        record = give_back(record, reason)
    for release in (record.confirmed, record.previous):
        if release != INSTALLED and is_whole(release):
            return record, release
    return record, INSTALLED


def confirm(record: SoftwareRecord) -> SoftwareRecord:
    """Keep the release on trial for good."""
    assert record.trial is not None
    return SoftwareRecord(
        confirmed=record.trial,
        previous=record.confirmed,
        ended=NodeUpdate(record.trial, UpdateState.CONFIRMED),
    )


def give_back(record: SoftwareRecord, reason: str) -> SoftwareRecord:
    """Return to the confirmed release."""
    assert record.trial is not None
    ended = NodeUpdate(record.trial, UpdateState.RETURNED, reason)
    return replace(record, trial=None, is_begun=False, ended=ended)


def still_lacks(facts: TrialFacts) -> str:
    """Say what a release on trial has not reached yet; empty when it has proved itself."""
    if not facts.disk_works:
        return "reports do not reach the disk"
    if not facts.fleet_connected:
        return "the fleet was not reached"
    if facts.heard * 100 < facts.registered * HEARD_PERCENT:
        return f"{facts.heard} of {facts.registered} nodes were heard"
    return ""


def refusal_of_schema(tried: Schema, running: Schema) -> str:
    """Say why one release cannot take over the database of another; empty when it can.

    Both ways have to be open: forth, and back from the trial.
    """
    if tried.version < running.readable_from:
        return (
            f"it uses databases up to schema {tried.version}, and this one can be used from "
            f"{running.readable_from} on; go back in two steps, or sign a newer release"
        )
    if running.version < tried.readable_from:
        return (
            f"its database can be used from schema {tried.readable_from} on, this gateway has "
            f"{running.version}: there would be no way back; roll out one between the two"
        )
    return ""


def room_needed_bytes(component_bytes: int) -> int:
    """Return how much of the disk has to be free before a release is fetched."""
    return component_bytes * _ROOM_FACTOR + _ROOM_LEFT_BYTES
