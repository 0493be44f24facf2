"""Who watches a rollout sees it to the end of its last node."""

from types import SimpleNamespace
from typing import Any

import pytest

from poleward_tools.cli import rollout as commands
from poleward_tools.client.rollout_views import Rollout, RolloutPolicy, RolloutTarget


def rollout(state: str, **counts: int) -> Rollout:
    return Rollout(
        number=1, release_digest=b"", release_version="1.1.0", state=state, reason="",
        waits_for="nothing", counts=counts, waves=(), target=RolloutTarget(),
        policy=RolloutPolicy(), created_at_ms=0, created_by="", approved_by="", returns_rollout=0,
        name="1",
    )  # fmt: skip


def test_an_aborted_rollout_is_watched_until_what_was_begun_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_POLL_S", 0)
    states = iter(
        [
            rollout("running", downloaded=2, confirmed=1),
            rollout("aborted", downloaded=2, confirmed=1),
            rollout("aborted", cancelled=2, confirmed=1),
        ]
    )
    client: Any = SimpleNamespace(rollouts=SimpleNamespace(get=lambda number: next(states)))
    assert commands.follow(client, 1) == rollout("aborted", cancelled=2, confirmed=1)
    assert "2 cancelled, 1 confirmed" in capsys.readouterr().err
