"""The command `poleward demo`: a small city on this machine, to look at or to check.

What the city is and what is checked is in poleward_tools/demo.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, progress, results
from poleward_tools.demo import street
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.ending import show_ending, wait_first_reading
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.demo.story import tell
from poleward_tools.exit_codes import FAILED, OK


def demo(
    poles: Annotated[
        int,
        typer.Option(envvar="POLES", min=1, max=street.SAMPLE_SIZE, help="Poles, a node in each."),
    ] = 10,
    *,
    once: Annotated[bool, typer.Option("--once", help="Run the scripted check and end.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep everything here and go on from it; else a temporary folder."),
    ] = None,
    report_interval_s: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds between a node's reports.")
    ] = 5,
    web_port: Annotated[
        int, typer.Option(help="Web pages; another port when it is taken, 0 for any.")
    ] = 8080,
    json: JsonOption = False,
) -> None:
    """Run fleet, gateway and simulated nodes at real street lamps, until Ctrl-C.

    With --once: provision all, see readings arrive, dim a lamp, update every node to a second
    signed release, see a badly signed one refused; exit 0 only if all of it held.

    Example: `POLES=50 poleward demo --once --json`
    """
    started_at = time.monotonic()
    with _folder(data) as folder, _termination_as_interrupt() as asked_to_end:
        plan = CityPlan(
            data=folder,
            poles=poles,
            report_interval_s=report_interval_s,
            web_port=0 if once else web_port,
            has_directives=True,
        )
        with City(plan) as city:
            try:
                with TerminalNarrator(progress) as narrator:
                    city.bring_up(narrator)
                    if once:
                        outcome = tell(city, narrator, started_at)
                    else:
                        wait_first_reading(city, narrator)
                if not once:
                    show_ending(city, results, seconds=time.monotonic() - started_at)
                    _stay_up(city, asked_to_end)
                    return
            except KeyboardInterrupt:
                if once:
                    raise
                return
            finally:
                progress.print("Stopping everything …")
    for failure in outcome.failures:
        progress.print(f"Did not hold: {failure}", markup=False)
    if json:
        print_json(outcome.figures())
    else:
        for name, value in outcome.figures().items():
            results.print(f"{name.replace('_', ' '):20} {value}")
    raise typer.Exit(FAILED if outcome.failures else OK)


def _stay_up(city: City, asked_to_end: Event) -> None:
    while not asked_to_end.is_set():
        city.check()
        time.sleep(0.5)


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="poleward-demo-"))
    try:
        yield temporary / "city"
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _termination_as_interrupt() -> Iterator[Event]:
    """Let every signal that asks for an end act as Ctrl-C does, so that nothing is left running.

    SIGINT too: a shell starts a background process with SIGINT ignored.

    Yields:
        Set once a signal came: where it interrupts a callback of gRPC, the exception is lost.
    """
    asked_to_end = Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked_to_end.set()
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield asked_to_end
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
