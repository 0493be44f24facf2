"""Shows how far the demo is: a live line per step on a terminal, plain lines elsewhere.

It decides nothing; everything goes to standard error.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Step(Protocol):
    """One step under way."""

    def reached(self, done: int) -> None:
        """Say how much of the step's total is done."""
        ...


class Narrator(Protocol):
    """Shows steps."""

    def step(self, text: str, total: int | None = None) -> AbstractContextManager[Step]:
        """Show a step while the `with` block runs; total makes it countable."""
        ...


class _SilentStep:
    def reached(self, done: int) -> None:
        """Nobody watches."""


class Silence:
    """A narrator that shows nothing."""

    def step(self, text: str, total: int | None = None) -> AbstractContextManager[Step]:
        """Show nothing."""
        return nullcontext(_SilentStep())


class _LiveStep:
    def __init__(self, progress: Progress, text: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=total)
        self._total = total

    def reached(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def finish(self) -> None:
        total = self._total if self._total is not None else 1
        self._progress.update(self._task, total=total, completed=total)


class _QuietStep:
    def reached(self, done: int) -> None:
        """Nothing is shown between the steps."""


class TerminalNarrator:
    """Shows steps on a console; a context manager around all steps."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )

    def __enter__(self) -> "TerminalNarrator":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    @contextmanager
    def step(self, text: str, total: int | None = None) -> Iterator[Step]:
        """Show a step while the block runs."""
        if self._progress is None:
            started_at = time.monotonic()
            yield _QuietStep()
            self._console.print(f"{text}: {time.monotonic() - started_at:.1f} s", markup=False)
            return
        live = _LiveStep(self._progress, text, total)
        yield live
        live.finish()
