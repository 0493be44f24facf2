"""The command `poleward flash`: boards on serial ports become nodes.

The work is in `flashing`; making batches of its results is `poleward factory`.
"""

import glob
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table, progress, results
from poleward_tools.cli.production_options import (
    ChipOption,
    FirmwareOption,
    FlashSizeOption,
    GatewayOption,
    KeyOption,
    ReleaseOption,
    SettingOption,
    ThresholdOption,
    TrustOption,
    explained,
    settings_of,
)
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError
from poleward_tools.flashing.batch import check_permit
from poleward_tools.flashing.outcome import BoardOutcome, Result
from poleward_tools.flashing.production import collect
from poleward_tools.flashing.run import StationRun, slots_of
from poleward_tools.flashing.slot import DEFAULT_BAUD, Plan, prepare_regions
from poleward_tools.flashing.station import Station
from poleward_tools.flashing.writer_link import WriterNursery

_MIB = 1 << 20
_REASON_SHOWN = 200


class SlotBars:
    """One progress bar for each slot on standard error; called from several threads."""

    def __init__(self) -> None:
        self.bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[step]}"), TimeElapsedColumn(), console=progress,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._guard = threading.Lock()

    def show(self, slot: str, step: str, part: float) -> None:
        """Show what a slot does."""
        with self._guard:
            if slot not in self._tasks:
                self._tasks[slot] = self.bars.add_task(slot, total=1.0, step=step)
            self.bars.update(self._tasks[slot], completed=part, step=step)


def flash(
    *,
    station: Annotated[
        Path, typer.Option(help="Folder of the station: record, identities, labels.")
    ],
    chip: ChipOption,
    firmware: FirmwareOption,
    release: ReleaseOption,
    gateway: GatewayOption,
    key: KeyOption = None,
    threshold: ThresholdOption = 1,
    trust: TrustOption = None,
    port: Annotated[
        list[str],
        typer.Option(
            help="Serial port, NAME=PORT, or a pattern such as '/dev/serial/by-path/*'; "
            "may be given up to 16 times."
        ),
    ],
    setting: SettingOption = None,
    flash_mib: FlashSizeOption = 4,
    baud: Annotated[int, typer.Option(min=9600, help="Rate while writing.")] = DEFAULT_BAUD,
    stub: Annotated[
        bool, typer.Option("--stub", help="Load esptool's flasher stub first.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Do boards as they are plugged in, until Ctrl-C.")
    ] = False,
    rework: Annotated[
        bool, typer.Option("--rework", help="Write boards again that passed before.")
    ] = False,
    retries: Annotated[int, typer.Option(min=0, help="For boards that fail.")] = 1,
    self_test_s: Annotated[
        float, typer.Option(min=0, help="How long a node may take to say its name; 0: no test.")
    ] = 30.0,
    printer: Annotated[
        str, typer.Option(help="Command that prints a label, e.g. 'lp -d labels {}'.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Flash 1 to 16 boards at a time: write, verify, identity, self-test, label, record.

    After an interruption give the same command again: what is there already is not written twice.
    Exit codes: 0 all passed or had passed, 1 a board failed, 4 a board was refused.

    Example: `poleward flash --station bench1 --port '/dev/serial/by-path/*' --chip esp32
    --firmware ESP32_GENERIC.bin --release release-1.4.0 --key release.pem.pub
    --gateway coap://192.168.4.1:5683`
    """
    started_at = time.monotonic()
    bars = SlotBars()
    outcomes: list[BoardOutcome] = []
    with explained(), tempfile.TemporaryDirectory() as folder, Station.open(station) as opened:
        check_permit(opened, time.time())
        production = collect(
            chip=chip.value, firmware=firmware, release=release, gateway_uri=gateway,
            release_keys=key or (), threshold=threshold, document=trust,
            flash_size_bytes=flash_mib * _MIB, settings=settings_of(setting),
        )  # fmt: skip
        plan = Plan(
            production, prepare_regions(production, Path(folder)), baud=baud, use_stub=stub,
            self_test_s=self_test_s, is_rework=rework, printer=printer,
        )  # fmt: skip
        with WriterNursery() as nursery, bars.bars:
            run = StationRun(opened, nursery, plan, bars.show, retries=retries)
            if watch:

                def report(outcome: BoardOutcome) -> None:
                    outcomes.append(outcome)
                    if json:
                        print_json(_facts(outcome))
                    else:
                        results.print(_line(outcome), markup=False)

                stop = threading.Event()
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, lambda *_: stop.set())
                run.watch(lambda: slots_of(_ports(port)), report, stop)
            else:
                outcomes = run.once(slots_of(_ports(port)))
    counts = Counter(outcome.result.value for outcome in outcomes)
    summary = {**counts, "seconds": round(time.monotonic() - started_at, 2)}
    if json:
        boards = {} if watch else {"boards": [_facts(outcome) for outcome in outcomes]}
        print_json({**boards, **summary})
    elif not watch:
        print_table(
            ("slot", "board", "result", "s#", "tries#", "about"),
            (
                (o.slot, o.mac, o.result.value, o.duration_s, o.attempts, o.reason or o.warning)
                for o in outcomes
            ),
        )
    _end(outcomes, opened.folder)


def _end(outcomes: Sequence[BoardOutcome], folder: Path) -> None:
    """Choose the exit code.

    Raises:
        CommandError: not every board is a node now.
    """
    found = {outcome.result for outcome in outcomes}
    if Result.FAILED in found:
        names = ", ".join(o.slot for o in outcomes if o.result is Result.FAILED)
        raise CommandError(f"Failed: {names}. The record {folder}/record.jsonl says why.", FAILED)
    if Result.REFUSED in found:
        names = ", ".join(o.slot for o in outcomes if o.result is Result.REFUSED)
        raise CommandError(f"Refused: {names}.", REFUSED)


def _ports(patterns: Sequence[str]) -> list[str]:
    ports: list[str] = []
    for pattern in patterns:
        is_pattern = any(sign in pattern for sign in "*?[") and "://" not in pattern
        ports.extend(sorted(glob.glob(pattern)) if is_pattern else [pattern])
    if len(ports) > len(set(ports)):
        raise CommandError("A port is named twice.", USAGE)
    return ports


def _facts(outcome: BoardOutcome) -> dict[str, Any]:
    return {**asdict(outcome), "result": outcome.result.value}


def _line(outcome: BoardOutcome) -> str:
    about = (outcome.reason or outcome.warning)[:_REASON_SHOWN]
    return f"{outcome.slot}: {outcome.mac} {outcome.result.value} {about}".rstrip()
