"""Which test modules share a worker, one after another, and what begins first.

Not what tests need: the conftest.py next to them provides that. The controller of pytest-xdist
divides the work and knows nothing of a test but its id, hence a table and no marks.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

# Modules of a group share what is costly to bring up. The groups that last longest come first, then
# what is in no group: module by module, as collected.
GROUPS = {
    "city": (
        "hil_tests/test_main_path.py",
        "hil_tests/test_autonomy.py",
        "hil_tests/test_attacks.py",
        "hil_tests/test_hostile_input.py",
        "hil_tests/test_two_gateways.py",
        "hil_tests/test_technician.py",
        "hil_tests/test_faults.py",
    ),
    "street": (
        "hil_tests/test_rollout_stops.py",
        "hil_tests/test_rollout_faults.py",
        "hil_tests/test_gateway_software.py",
        "hil_tests/test_board_main_path.py",
        "hil_tests/test_board_link.py",
        "hil_tests/test_board_faults.py",
    ),
}
_ORDER = {module: group for group, modules in GROUPS.items() for module in modules}


class GroupScheduling(LoadScopeScheduling):
    """Gives a worker a whole module, and all modules of its group."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return _ORDER.get(module, module)


def pytest_xdist_make_scheduler(config: pytest.Config) -> GroupScheduling | None:
    """Divide the work by groups, unless somebody asked for another way."""
    return GroupScheduling(config) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first, in their order."""
    places = {module: place for place, module in enumerate(_ORDER)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
