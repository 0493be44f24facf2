"""What goes wrong around a rollout: programs die in its middle, nodes lie, plans change.

Not bad releases that stop it: test_rollout_stops.py.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from hil_tests.conftest import making_nodes
from hil_tests.test_rollout_stops import Street
from poleward_tools.client.rollout_views import RolloutPolicy, RolloutTarget, RolloutWave
from poleward_tools.demo.city import City

pytestmark = [pytest.mark.system]

# File, what stands there, what a release has instead.
Change = tuple[str, str, str]
BOARDS = 3
# Programs start many times meanwhile.
DISTURBED_S = 500.0
ONE_THEN_ALL = (RolloutWave(nodes=1), RolloutWave())
# Slow enough that the transfer is seen while it lasts.
SLOW_LINK = {"latency_ms": 300}
SHORT_TRIAL = (
    "node/updates.py",
    "_TRIAL_LIMIT_MS = const(120000)",
    "_TRIAL_LIMIT_MS = const(30000)",
)
# A node for which it is too bright crashes.
GLARE_LX = 90_000
GLARE = (
    "node/app.py",
    "self._sensors_answer = answers",
    "self._sensors_answer = answers\n"
    "        if (air[3] or 0) > 50000000:\n"
    "            self._reset_now()",
)
STAGES = {"offered", "downloading", "downloaded", "trial", "confirmed", "returned", "cancelled"}
LEAK: tuple[Change, ...] = (
    ("node/app.py", "def run() -> None:", "_LEAKED = []\n\n\ndef run() -> None:"),
    (
        "node/app.py",
        "            air = board.read_air()",
        "            if not _LEAKED:\n"
        "                _LEAKED.extend(bytearray(2000) for _ in range(12))\n"
        "            air = board.read_air()",
    ),
)


def filling() -> Change:
    """Make a patch take several blocks, in a module that nothing loads meanwhile."""
    return (
        "node/ota/hss.py",
        "import hashlib\n",
        f"import hashlib\n\nFILLING = {os.urandom(4096)!r}\n",
    )


@pytest.fixture(scope="module")
def boards(rig: City, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """The boards of this module; each test leaves them on some release."""
    with making_nodes(rig) as make:
        nodes = tuple(make() for _ in range(BOARDS))
        yield Street(rig, nodes, tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def street(city: City, boards: Street) -> Street:
    for node in boards.nodes:
        node.tell(link={})
        node.wait_online()
    return boards


def disturb(street: Street, number: int, stages: set[str], strike: Callable[[], None]) -> set[str]:
    """Strike whenever a rollout has a node in one of these stages for the first time.

    Returns:
        The stages that were seen until it was over.
    """
    seen: set[str] = set()

    def is_over() -> bool:
        found = street.city.client.rollouts.get(number)
        if fresh := stages & found.counts.keys() - seen:
            seen.update(fresh)
            strike()
        return found.is_over

    street.city.wait_until(
        is_over, what=f"rollout {number} over", timeout_s=DISTURBED_S, poll_s=0.05
    )
    return seen


def test_a_gateway_that_is_killed_during_transfers_brings_its_nodes_there(street: Street) -> None:
    city = street.city
    release = street.publish(filling())
    for node in street.nodes:
        node.tell(link=SLOW_LINK)

    def strike() -> None:
        city.gateway.kill()
        city.start_gateway_again()

    number = street.roll_out(release, RolloutPolicy(waves=(RolloutWave(),)))
    assert disturb(street, number, {"downloading", "trial"}, strike)
    ended = street.wait_over(number)
    assert (ended.state, ended.counts) == ("finished", {"confirmed": BOARDS}), ended
    street.wait_all_run({release.version})


@pytest.mark.timeout(1200)
def test_a_fleet_that_is_killed_in_every_stage_comes_to_the_same_end(street: Street) -> None:
    city, rollouts = street.city, street.city.client.rollouts
    before = street.versions()
    release, good = street.publish(filling(), GLARE), street.publish()
    by_code = {node.pole.code: node for node in street.nodes}
    for node in street.nodes:
        node.tell(link=SLOW_LINK)

    def strike() -> None:
        city.fleet.kill()
        city.start_fleet_again()

    waves = (RolloutWave(nodes=1, wait_s=1), RolloutWave(nodes=1), RolloutWave())
    number = street.roll_out(
        release,
        RolloutPolicy(
            waves=waves,
            max_failures=1,
            max_attempts=5,
            retry_s=1,
            on_failure="return",
            return_digest=city.publish(good, notes=""),
        ),
    )
    strike()
    canary, second, third = sorted(rollouts.get(number).nodes, key=lambda node: node.wave)
    by_code[second.pole_code].tell(surroundings={"illuminance_lx": GLARE_LX})
    # What lasts only for a moment may pass between two looks; these stay.
    assert disturb(street, number, STAGES, strike) >= {"confirmed", "returned"}
    back = street.wait_returning(number)
    disturb(street, back, STAGES, strike)
    stopped, returned = street.wait_over(number), street.wait_over(back)
    by_code[second.pole_code].tell(surroundings={"illuminance_lx": 0})
    assert stopped.state == "stopped", stopped
    assert {node.pole_code: node.state for node in stopped.nodes} == {
        canary.pole_code: "confirmed",
        second.pole_code: "returned",
        third.pole_code: "cancelled",
    }
    assert {node.pole_code: node.state for node in returned.nodes} == {
        canary.pole_code: "confirmed"
    }
    street.wait_all_run(before | {good.version})
    assert by_code[canary.pole_code].view().bundle_version == good.version


def test_a_release_that_leaks_is_given_up_while_it_is_tried(street: Street) -> None:
    before = street.versions()
    release = street.publish(*LEAK, SHORT_TRIAL)
    ended = street.wait_over(street.roll_out(release, RolloutPolicy(waves=ONE_THEN_ALL)))
    assert (ended.state, ended.counts) == ("stopped", {"returned": 1, "cancelled": BOARDS - 1})
    (returned,) = (node for node in ended.nodes if node.state == "returned")
    assert "of heap free" in returned.reason
    street.wait_all_run(before)


def test_a_newer_rollout_takes_over_the_nodes_that_wait(street: Street) -> None:
    older, newer = street.publish(), street.publish()
    digest = street.city.publish(newer, notes="")
    target = RolloutTarget(pole_codes=tuple(node.pole.code for node in street.nodes))
    first = street.roll_out(older, RolloutPolicy(waves=(RolloutWave(),), concurrency=1))
    second = street.city.client.rollouts.create(digest, target, supersede=True).number
    left = street.wait_over(first)
    assert left.state == "finished", left
    waited = [node for node in left.nodes if node.state == "superseded"]
    assert waited
    assert f"rollout {second}" in waited[0].reason
    ended = street.wait_over(second)
    assert (ended.state, ended.counts) == ("finished", {"confirmed": BOARDS}), ended
    street.wait_all_run({newer.version})


# Last: nobody can update a node any more that says it runs something newer.
@pytest.mark.parametrize("reported", [1, 9_999_999], ids=["an older one", "a newer one"])
def test_a_node_that_reports_what_it_was_not_given_is_not_believed(
    street: Street, reported: int
) -> None:
    release = street.publish(
        (
            "node/app.py",
            "from node.version import SEQUENCE, VERSION\n",
            f"from node.version import VERSION\n\nSEQUENCE = {reported}\n",
        )
    )
    ended = street.wait_over(street.roll_out(release, RolloutPolicy(waves=ONE_THEN_ALL)))
    assert (ended.state, ended.counts) == ("stopped", {"rejected": 1, "cancelled": BOARDS - 1})
    (liar,) = (node for node in ended.nodes if node.state == "rejected")
    assert str(reported) in liar.reason
