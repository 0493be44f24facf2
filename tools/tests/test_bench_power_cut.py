"""The benchmark `power-cut` at some of the operations; all of them take minutes."""

from pathlib import Path

import pytest

from poleward_tools.bench.power_cut import KINDS, Kind, cut_everywhere


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_whole_release_boots_after_a_cut_and_the_update_ends(kind: Kind, tmp_path: Path) -> None:
    figures = cut_everywhere(kind, tmp_path, every=25)
    assert figures["operations"] > 100
    assert figures["cuts"] >= 5
    assert (figures["bricked"], figures["wrong_version"]) == (0, 0)
