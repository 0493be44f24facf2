"""The benchmark `group-command`, small: it ends, and every node confirms."""

import pytest

from poleward_tools.bench import group_command

pytestmark = [pytest.mark.system]


def test_every_lamp_of_a_small_street_confirms() -> None:
    figures = group_command.run(nodes=8, virtual_boards=1)
    assert (figures["confirmed"], figures["nodes"], figures["virtual_boards"]) == (8, 8, 1)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
