"""Keys get lost and stolen: `poleward keys drill` on a city whose keys it may change."""

import pytest

from poleward_tools.demo.key_drill import drill
from poleward_tools.demo.narration import Silence

pytestmark = [pytest.mark.system]


def test_every_step_of_the_key_drill_holds() -> None:
    steps = drill(Silence())
    assert len(steps) == 10
    assert [step for step in steps if not step.held] == []
