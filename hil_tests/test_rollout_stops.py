"""Bad releases on a street of virtual boards: they stop at their canaries and nobody has to act.

Not how one node updates (test_main_path.py) nor how decisions are made (fleet/tests).
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hil_tests.conftest import MakeNode, RigNode
from poleward_manifest import envelope as envelopes
from poleward_tools.client.rollout_views import (
    UNDER_WAY,
    Rollout,
    RolloutPolicy,
    RolloutTarget,
    RolloutWave,
)
from poleward_tools.demo.city import City
from poleward_tools.demo.factory import BuiltRelease
from poleward_tools.releases import build

pytestmark = [pytest.mark.system]

# `POLES=50 make test` and so on, as with the demo; there have to be more than canaries.
BOARDS = max(8, int(os.environ.get("POLES", "12")))
CANARIES = 3
ENDED_S = 240.0
_sequences = iter(range(10_001, 20_000))
# File, what stands there, what a bad release has instead.
Change = tuple[str, str, str]
FAULTS: dict[str, tuple[Change, ...]] = {
    "crashes": (
        ("node/app.py", "def run() -> None:", "def run() -> None:\n    raise SystemError"),
    ),
    "hangs": (
        ("node/app.py", "_WATCHDOG_MS = const(30000)", "_WATCHDOG_MS = const(8000)"),
        ("node/app.py", "await supervisor.run()", "while True:\n            pass"),
    ),
    "never registers": (
        (
            "node/lwm2m/client.py",
            "if not await self._register():",
            "await asyncio.sleep(3600)\n                if not await self._register():",
        ),
    ),
    "fails its sensors": (
        ("node/app.py", "            air = board.read_air()", "            raise OSError(5)"),
    ),
}
QUICK_TRIAL = (
    "node/updates.py",
    "_TRIAL_LIMIT_MS = const(120000)",
    "_TRIAL_LIMIT_MS = const(15000)",
)
# The sensors answer during the trial and stop about 25 s after the start.
LATE_FAULT = (
    "node/app.py",
    "            air = board.read_air()",
    "            if self.report.sequence > 25:\n                raise OSError(5)\n"
    "            air = board.read_air()",
)


@dataclass(frozen=True, slots=True)
class Street:
    """Nodes of this module's own, and ways to update only them."""

    city: City
    nodes: tuple[RigNode, ...]
    firmware: Path

    def publish(self, *changes: Change, image: bytes | None = None) -> BuiltRelease:
        """Publish a release of the node's sources with changes; it is newer than all before."""
        folder = self.firmware / f"{next(_sequences)}"
        shutil.copytree(build.find_firmware(), folder, ignore=shutil.ignore_patterns("tests"))
        for name, old, new in changes:
            source = (folder / name).read_text(encoding="utf-8")
            assert source.count(old) == 1, f"{old!r} in {name}"
            (folder / name).write_text(source.replace(old, new), encoding="utf-8")
        sequence = int(folder.name)
        made = build.build_release(f"3.0.{sequence}", sequence, firmware=folder, image=image)
        release = BuiltRelease(
            f"3.0.{sequence}",
            sequence,
            made.bundle,
            envelopes.sign(made.manifest, [self.city.signing_key]),
            made,
            image,
        )
        self.city.publish(release, notes="")
        return release

    def roll_out(
        self, release: BuiltRelease, policy: RolloutPolicy, nodes: Sequence[RigNode] = ()
    ) -> int:
        digest = self.city.publish(release, notes="")
        codes = tuple(node.pole.code for node in nodes or self.nodes)
        return self.city.client.rollouts.create(
            digest, RolloutTarget(pole_codes=codes), policy
        ).number

    def wait_over(self, number: int) -> Rollout:
        """Wait until a rollout is over and the last node under way came to its end."""
        rollouts = self.city.client.rollouts
        self.city.wait_until(
            lambda: rollouts.get(number).is_settled,
            what=f"rollout {number} over",
            timeout_s=ENDED_S,
        )
        return rollouts.get(number)

    def wait_returning(self, number: int) -> int:
        """Wait for the rollout that returns the nodes of another one; give its number."""
        rollouts = self.city.client.rollouts

        def returning() -> list[int]:
            every = rollouts.list_all()
            return [found.number for found in every if found.returns_rollout == number]

        self.city.wait_until(
            lambda: bool(returning()), what=f"rollout {number} is returned", timeout_s=ENDED_S
        )
        return returning()[0]

    def wait_all_run(self, versions: set[str]) -> None:
        """Wait until every node is online and runs one of these versions."""
        for node in self.nodes:
            node.wait_until(
                lambda node=node: (  # type: ignore[misc]
                    node.view().link_state == "online" and node.view().bundle_version in versions
                ),
                f"online with {versions}",
                ENDED_S,
            )

    def versions(self) -> set[str]:
        return {node.view().bundle_version for node in self.nodes}


@pytest.fixture
def street(city: City, make_node: MakeNode, tmp_path: Path) -> Street:
    nodes = tuple(make_node() for _ in range(BOARDS))
    for node in nodes:
        node.wait_online()
    return Street(city, nodes, tmp_path)


def policy(**changes: object) -> RolloutPolicy:
    """Canaries, then the rest, with deadlines for boards that are near."""
    waves = (RolloutWave(nodes=CANARIES, wait_s=5), RolloutWave())
    quick = dict.fromkeys(("offered_s", "downloading_s", "downloaded_s", "trial_s"), 180)
    return RolloutPolicy(**({"waves": waves, "max_failures": 100} | quick | changes))  # type: ignore[arg-type]


def test_a_bad_release_stops_at_its_canaries_which_go_back_by_themselves(street: Street) -> None:
    begun = {}
    for at, (fault, changes) in enumerate(FAULTS.items()):
        nodes = street.nodes[at :: len(FAULTS)]
        canaries = (RolloutWave(nodes=len(nodes) - 1, wait_s=5), RolloutWave())
        release = street.publish(*changes, QUICK_TRIAL)
        begun[fault] = street.roll_out(release, policy(waves=canaries), nodes)
    for fault, number in begun.items():
        rollout = street.wait_over(number)
        assert rollout.state == "stopped", (fault, rollout)
        assert rollout.counts["cancelled"] >= 1, (fault, rollout)
        assert "confirmed" not in rollout.counts, (fault, rollout)
    street.wait_all_run({"1.0.0"})


def test_a_release_that_fails_later_is_taken_back_with_no_person_acting(street: Street) -> None:
    bad = street.publish(LATE_FAULT)
    good = street.publish()
    watched = (RolloutWave(nodes=CANARIES, wait_s=180), RolloutWave())
    good_digest = street.city.publish(good, notes="")
    number = street.roll_out(
        bad, policy(waves=watched, on_failure="return", return_digest=good_digest)
    )
    stopped = street.wait_over(number)
    assert stopped.state == "stopped", stopped
    assert "values" in stopped.reason
    assert stopped.counts == {"confirmed": CANARIES, "cancelled": BOARDS - CANARIES}
    ended = street.wait_over(street.wait_returning(number))
    assert (ended.state, ended.counts) == ("finished", {"confirmed": CANARIES}), ended
    street.wait_all_run({"1.0.0", good.version})
    assert street.versions() == {"1.0.0", good.version}


def test_a_third_of_a_wave_going_silent_stops_it(street: Street) -> None:
    release = street.publish()
    size = BOARDS - 1
    silent = -(-size * 3 // 10)
    number = street.roll_out(
        release,
        policy(
            waves=(RolloutWave(nodes=size, success_percent=90), RolloutWave()),
            max_failure_percent=30,
            offered_s=20,
            downloading_s=20,
            downloaded_s=20,
            trial_s=20,
        ),
    )
    rollouts = street.city.client.rollouts
    by_code = {node.pole.code: node for node in street.nodes}
    went: set[str] = set()

    def went_silent() -> bool:
        for node in rollouts.get(number).nodes:
            if node.state in UNDER_WAY and len(went) < silent:
                by_code[node.pole_code].switch_off()
                went.add(node.pole_code)
        return len(went) == silent

    street.city.wait_until(went_silent, what="a third is under way", timeout_s=ENDED_S)
    stopped = street.wait_over(number)
    assert stopped.state == "stopped", stopped
    assert stopped.counts["timed_out"] >= silent
    # What was still on its way when it stopped is taken back.
    assert stopped.counts["cancelled"] >= BOARDS - size
