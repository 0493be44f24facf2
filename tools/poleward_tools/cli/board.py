"""Commands about virtual ESP32 boards: `poleward board run`, `serve` and `tell`.

What the board does is in `virtual_board`.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.output import print_json, results
from poleward_tools.exit_codes import UNREACHABLE, USAGE, CommandError
from poleward_tools.virtual_board import rack
from poleward_tools.virtual_board.application import DEFAULT_HEAP_BYTES, MicroPythonApplication
from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.chips import CHIPS, Chip
from poleward_tools.virtual_board.control import (
    BoardControl,
    ControlError,
    serve_control,
    tell,
)
from poleward_tools.virtual_board.flash_chip import FlashFaults, FlashRangeError, NorFlash
from poleward_tools.virtual_board.interpreters import InterpreterError
from poleward_tools.virtual_board.line import Line, PtyLine
from poleward_tools.virtual_board.network_line import NetworkLine, ResetCircuit
from poleward_tools.virtual_board.node_folder import NodeFolderError

# Espressif's own block, so that tools take the address for one of theirs.
_MAC_PREFIX = bytes.fromhex("24ec4a")
_MIB = 1 << 20

app = typer.Typer(no_args_is_help=True, help="Virtual ESP32 boards for esptool and mpremote.")


class ChipName(StrEnum):
    """The chips a board can be."""

    ESP32 = "esp32"
    ESP32C3 = "esp32c3"
    ESP32S3 = "esp32s3"


class ResetLines(StrEnum):
    """Whether the serial line has control lines."""

    NONE = "none"
    RFC2217 = "rfc2217"


@app.callback()
def _board() -> None:
    """Virtual ESP32 boards for esptool and mpremote."""


@app.command("run")
def run_board(
    *,
    flash: Annotated[Path, typer.Option(help="The flash chip's content; made when missing.")],
    chip: Annotated[ChipName, typer.Option(help="Which chip it is.")] = ChipName.ESP32,
    flash_mib: Annotated[int, typer.Option(min=1, max=16, help="Size of the flash in MiB.")] = 4,
    mac: Annotated[str | None, typer.Option(help="Address as 12 hex digits; else random.")] = None,
    pace: Annotated[
        int | None,
        typer.Option(min=300, help="Highest baud rate of the line; without it there is no wait."),
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="Symbolic link to make for the serial port.")
    ] = None,
    download: Annotated[
        bool, typer.Option(help="Start in download mode, as with the boot button held.")
    ] = False,
    cut_at: Annotated[
        int | None, typer.Option(min=1, help="Cut the power at this flash operation.")
    ] = None,
    reset: Annotated[
        ResetLines, typer.Option(help="How tools reset the board: not at all, or over RFC 2217.")
    ] = ResetLines.NONE,
    control: Annotated[
        Path | None, typer.Option(help="Socket to make for `poleward board tell`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say what it is as JSON.")] = False,
) -> None:
    """Run a board until Ctrl-C; the first line says which serial port it is on.

    esptool reaches it at any time with `--no-stub`. Over a pseudo-terminal it cannot reset the
    board, so end with `esptool run`; with `--reset rfc2217` it can.

    Example: `poleward board run --flash board.bin --chip esp32s3 --link /tmp/board`
    """
    address = _mac_address(mac)
    size_bytes = flash_mib * _MIB
    faults = FlashFaults(cut_at_operation=cut_at)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        memory = NorFlash.open(flash, size_bytes=size_bytes, faults=faults)
    except (FlashRangeError, OSError) as error:
        raise CommandError(str(error), USAGE) from error
    setup = _Setup(CHIPS[chip.value], memory, flash, address, download, control, as_json)
    with memory:
        if reset is ResetLines.RFC2217:
            asyncio.run(_run_on_network(setup, NetworkLine(pace_baud=pace)))
        else:
            with PtyLine(link=link, pace_baud=pace) as line:
                asyncio.run(_run(setup, line))


@app.command("serve")
def serve_boards(
    folder: Annotated[Path, typer.Argument(help="Folder of the boards' folders.")],
    *,
    heap_bytes: Annotated[
        int, typer.Option(min=64 * 1024, help="Heap of each MicroPython VM.")
    ] = DEFAULT_HEAP_BYTES,
) -> None:
    """Run all boards of a folder, also those that appear later, until Ctrl-C.

    Each has in its folder: flash.bin, its chip; port, its serial port; control, its socket for
    `poleward board tell`; console.log, what it has printed.

    Example: `poleward board serve data/nodes`
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder.", USAGE)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        with _alone(folder):
            asyncio.run(rack.serve(folder, heap_bytes=heap_bytes))
    except (NodeFolderError, FlashRangeError) as error:
        raise CommandError(str(error), USAGE) from error
    except InterpreterError as error:
        raise CommandError(str(error)) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process away: a node that runs twice uses sequence numbers twice.

    The lock ends with the process, however that ends.
    """
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"The boards of {folder} are run by another `poleward board serve`.", USAGE
            ) from error
        yield


@app.command("tell")
def tell_board(
    control: Annotated[Path, typer.Argument(help="The board's control socket.")],
    commands: Annotated[list[str], typer.Argument(help="Switches and faults as NAME=JSON.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Switch or break a running board, and print its state.

    power=false|true, power_cut=true, reset=true, brown_out=true, boot_button=true, hang=true,
    cut_after=N, flip_bit_rate=P, worn_sectors=[N,…], nat_rebind=true, state=true;
    link={"loss":P,"duplicate":P,"reorder":P,"latency_ms":N,"jitter_ms":N,"is_down":true};
    surroundings={"lamp_is_broken":true}.

    Example: `poleward board tell /tmp/board.control cut_after=20 reset=true`
    """
    wanted = {}
    for command in commands:
        name, _, value = command.partition("=")
        try:
            wanted[name] = json.loads(value)
        except ValueError as error:
            raise typer.BadParameter(f"'{command}' is no NAME=JSON") from error
    try:
        state = asyncio.run(tell(control, wanted))
    except ControlError as error:
        raise CommandError(str(error), USAGE) from error
    except OSError as error:
        message = f"no board answers at {control}: {error.strerror}"
        raise CommandError(message, UNREACHABLE) from error
    if as_json:
        print_json(state)
        return
    for name, value in state.items():
        results.print(f"{name}: {value}")


@dataclass(frozen=True)
class _Setup:
    chip: Chip
    flash: NorFlash
    flash_path: Path
    mac: bytes
    is_download: bool
    control_path: Path | None
    is_json: bool


async def _run_on_network(setup: _Setup, line: NetworkLine) -> None:
    async with line:
        await _run(setup, line)


async def _run(setup: _Setup, line: Line) -> None:
    application = MicroPythonApplication(setup.flash, setup.flash_path, setup.mac)
    board = Board(setup.chip, setup.flash, setup.mac, line, application)
    board.is_boot_button_held = setup.is_download
    if isinstance(line, NetworkLine):
        line.circuit = ResetCircuit(board)
    if setup.control_path is None:
        await _until_stopped(setup, board)
        return
    control = BoardControl(board, setup.flash, application)
    async with serve_control(control, setup.control_path):
        await _until_stopped(setup, board)


def _announce(setup: _Setup, port: str) -> None:
    if setup.is_json:
        typer.echo(json.dumps({"port": port, "chip": setup.chip.name, "mac": setup.mac.hex()}))
    else:
        typer.echo(f"{setup.chip.display_name} {setup.mac.hex(':')} on {port}")


def _mac_address(text: str | None) -> bytes:
    if text is None:
        return _MAC_PREFIX + secrets.token_bytes(3)
    with contextlib.suppress(ValueError):
        address = bytes.fromhex(text.replace(":", ""))
        if len(address) == 6:
            return address
    raise typer.BadParameter(f"'{text}' is no address of 12 hex digits", param_hint="--mac")


async def _until_stopped(setup: _Setup, board: Board) -> None:
    living = asyncio.create_task(board.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, living.cancel)
    _announce(setup, board.line.path)
    with contextlib.suppress(asyncio.CancelledError):
        await living
