"""main.py: an application that ends by an error leaves a board that starts again."""

import runpy
import sys
import time
import types
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[2] / "main.py"


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    package, module = types.ModuleType("node"), types.ModuleType("node.start")
    package.start = module
    monkeypatch.setitem(sys.modules, "node", package)
    monkeypatch.setitem(sys.modules, "node.start", module)
    monkeypatch.setattr(sys, "print_exception", lambda error: None, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return module


def test_application_that_fails_resets_the_board(
    application: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets = []
    machine = types.ModuleType("machine")
    machine.reset = lambda: resets.append(True)
    monkeypatch.setitem(sys.modules, "machine", machine)

    def fail() -> None:
        raise MemoryError("heap is full")

    application.run = fail
    runpy.run_path(str(MAIN))
    assert resets == [True]


def test_break_over_the_console_does_not_reset(application: types.ModuleType) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    application.run = interrupt
    with pytest.raises(KeyboardInterrupt):
        runpy.run_path(str(MAIN))
