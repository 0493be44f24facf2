"""The scripted story of `poleward demo --once`: what must hold of a small city, end to end.

It drives a city that is up and judges what it sees; it starts and stops nothing.
"""

import time
from dataclasses import dataclass, field

from poleward_tools.client import ClientError, Failure
from poleward_tools.client.views import Pole, StoredCount
from poleward_tools.demo import factory
from poleward_tools.demo.city import FACTORY_VERSION, City
from poleward_tools.demo.narration import Narrator
from poleward_tools.exit_codes import CommandError

SECOND_VERSION = "1.1.0"
_BRIGHT_PERCENT = 80
_DIM_PERCENT = 30
_POWER = "supply.active_power_w"
_REPORTS_PER_NODE = 2
# A driver draws a few percent more than its level says; a wrong lamp differs by far more.
_POWER_TOLERANCE = 0.1


@dataclass(slots=True)
class Outcome:
    """What the story found; `failures` says in words what did not hold."""

    poles: int
    registered: int = 0
    readings_stored: int = 0
    readings_lost: int = 0
    command_ms: int = 0
    ota_confirmed: int = 0
    bad_release_refused: bool = False
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, int | float | bool]:
        """The keys that `poleward demo --once --json` prints."""
        return {
            "poles": self.poles,
            "registered": self.registered,
            "readings_stored": self.readings_stored,
            "readings_lost": self.readings_lost,
            "command_ms": self.command_ms,
            "ota_confirmed": self.ota_confirmed,
            "bad_release_refused": self.bad_release_refused,
            "seconds": round(self.seconds, 1),
        }


def lost_readings(counts: list[StoredCount]) -> int:
    """Count the readings missing from what is stored, by report sequence numbers.

    Each boot of a node counts its reports from 0 without gaps; a missing report is counted with as
    many readings as that boot's others have.
    """
    lost = 0
    for count in counts:
        missing = count.last_sequence + 1 - count.reports
        lost += missing * max(1, round(count.readings / max(1, count.reports)))
    return lost


def expected_power_w(pole: Pole, level_percent: int) -> float:
    """Estimate what a lamp at this level draws."""
    return pole.lamp_nominal_w * level_percent / 100


def tell(city: City, narrator: Narrator, started_at: float) -> Outcome:
    """Drive the story to its end, going on after a part that does not hold.

    Args:
        city: brought up.
        narrator: shows the steps.
        started_at: time.monotonic() when everything began, for `seconds`.
    """
    outcome = Outcome(poles=len(city.poles))
    for part in (_register, _report, _dim, _update, _refuse, _count):
        try:
            part(city, narrator, outcome)
        except (CommandError, ClientError) as error:
            outcome.failures.append(str(error))
            city.check()
    outcome.seconds = time.monotonic() - started_at
    return outcome


def _register(city: City, narrator: Narrator, outcome: Outcome) -> None:
    total = len(city.poles)
    with narrator.step("Nodes bootstrap and register", total=total) as step:

        def all_online() -> bool:
            views = list(city.client.list_poles())
            outcome.registered = sum(
                1 for view in views if view.node is not None and view.node.link_state == "online"
            )
            step.reached(outcome.registered)
            return outcome.registered == total

        city.wait_until(all_online, what="all nodes registered", timeout_s=60 + 3 * total)


def _report(city: City, narrator: Narrator, outcome: Outcome) -> None:
    total = len(city.poles)
    with narrator.step("Readings arrive from every node", total=total) as step:

        def all_reported() -> bool:
            counts = city.client.stored_counts()
            outcome.readings_stored = sum(count.readings for count in counts)
            nodes = {count.node_number for count in counts if count.reports >= _REPORTS_PER_NODE}
            step.reached(len(nodes))
            return len(nodes) == total

        timeout_s = 60 + 3 * city.plan.report_interval_s
        city.wait_until(all_reported, what="readings of every node stored", timeout_s=timeout_s)


def _dim(city: City, narrator: Narrator, outcome: Outcome) -> None:
    pole = city.poles[0]
    with narrator.step(f"Lamp of {pole.code} to {_BRIGHT_PERCENT} %, its power follows"):
        _set_lamp(city, pole, _BRIGHT_PERCENT)
    with narrator.step(f"Lamp of {pole.code} to {_DIM_PERCENT} %, its power follows"):
        outcome.command_ms = _set_lamp(city, pole, _DIM_PERCENT)


def _set_lamp(city: City, pole: Pole, level_percent: int) -> int:
    answer = city.client.set_pole_lamp(pole.code, level_percent)
    if answer.status != "done":
        raise CommandError(f"Lamp of {pole.code}: {answer.status}. {answer.detail}")
    expected_w = expected_power_w(pole, level_percent)

    def power_follows() -> bool:
        value = city.client.get_pole(pole.code).value(_POWER)
        return (
            value is not None
            and abs(value.value - expected_w) <= pole.lamp_nominal_w * _POWER_TOLERANCE
        )

    city.wait_until(
        power_follows,
        what=f"power of {pole.code} about {expected_w:.0f} W at {level_percent} %",
        timeout_s=30 + 2 * city.plan.report_interval_s,
    )
    return answer.elapsed_ms


def _update(city: City, narrator: Narrator, outcome: Outcome) -> None:
    with narrator.step(f"Building, signing and publishing release {SECOND_VERSION}"):
        release = factory.build_release(SECOND_VERSION, sequence=2, key=city.signing_key)
        digest = city.publish(release, notes="The demo's second release.")
        rollout = city.client.rollouts.create(digest)
    total = len(city.poles)
    with narrator.step(f"Nodes update from {FACTORY_VERSION}", total=total) as step:

        def ended() -> bool:
            found = city.client.rollouts.get(rollout.number)
            outcome.ota_confirmed = found.counts.get("confirmed", 0)
            step.reached(outcome.ota_confirmed)
            return found.is_over

        city.wait_until(ended, what="rollout finished", timeout_s=120 + 6 * total, poll_s=0.5)
    found = city.client.rollouts.get(rollout.number)
    stragglers = [
        f"{node.pole_code} {node.state} {node.reason}".strip()
        for node in found.nodes
        if node.state != "confirmed"
    ]
    if found.state != "finished" or stragglers:
        raise CommandError(
            f"The rollout is {found.state} {found.reason}: {'; '.join(stragglers[:5])}"
        )
    others = [
        view.pole.code
        for view in city.client.list_poles()
        if view.node is None or view.node.release_sequence != release.sequence
    ]
    if others:
        raise CommandError(f"Not on {SECOND_VERSION} although confirmed: {', '.join(others[:5])}")


def _refuse(city: City, narrator: Narrator, outcome: Outcome) -> None:
    with narrator.step("A release with a bad signature is refused"):
        forged = factory.build_release("6.6.6", sequence=666, key=city.signing_key)
        city.client.upload_artifact(forged.bundle)
        try:
            city.client.publish_release(factory.with_bad_signature(forged.envelope))
        except ClientError as error:
            if error.failure is not Failure.REFUSED:
                raise
        else:
            raise CommandError("A release with a bad signature was published.")
        if any(release.version == "6.6.6" for release in city.client.list_releases()):
            raise CommandError("A refused release is listed.")
        outcome.bad_release_refused = True


def newest_reports(counts: list[StoredCount]) -> dict[int, tuple[int, int]]:
    """Find the newest stored report of each node, as boot and sequence number."""
    newest: dict[int, tuple[int, int]] = {}
    for count in counts:
        reached = (count.boot, count.last_sequence)
        newest[count.node_number] = max(reached, newest.get(count.node_number, reached))
    return newest


def _count(city: City, narrator: Narrator, outcome: Outcome) -> None:
    with narrator.step("No reading is lost"):
        before = newest_reports(city.client.stored_counts())

        def nothing_lost() -> bool:
            counts = city.client.stored_counts()
            outcome.readings_stored = sum(count.readings for count in counts)
            outcome.readings_lost = lost_readings(counts)
            newest = newest_reports(counts)
            # A report lost at the end leaves no gap until the next one is there.
            is_past_the_end = all(newest[node] > reached for node, reached in before.items())
            return is_past_the_end and outcome.readings_lost == 0

        # Reports may overtake each other; a real gap stays.
        city.wait_until(
            nothing_lost,
            what="gaps in the stored sequences closed",
            timeout_s=30 + 2 * city.plan.report_interval_s,
        )
