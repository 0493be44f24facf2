"""How a run is divided over workers and made repeatable.

Not what tests need: the conftest.py next to them provides that.
"""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run; how fast they are says nothing on a machine that others use too.
settings.register_profile(
    "poleward", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("poleward")

# Modules of a group share what is costly to bring up. The groups that last longest come first, then
# what is in no group: module by module, as collected. The controller of pytest-xdist divides the
# work and knows nothing of a test but its id, hence a table and no marks.
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
        "hil_tests/test_wrong_artefacts.py",
        "hil_tests/test_images.py",
        "hil_tests/test_gateway_software.py",
    ),
    "boards": (
        "hil_tests/test_board_main_path.py",
        "hil_tests/test_board_link.py",
        "hil_tests/test_board_faults.py",
    ),
    "power cuts": ("firmware/tests/ota/test_power_cut_vm.py",),
}
_ORDER = {module: group for group, modules in GROUPS.items() for module in modules}


class GroupScheduling(LoadScopeScheduling):
    """Gives a worker a whole module, and all modules of its group."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return _ORDER.get(module, module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """Divide the work by groups, unless somebody asked for another way."""
    return GroupScheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first, in their order."""
    places = {module: place for place, module in enumerate(_ORDER)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
