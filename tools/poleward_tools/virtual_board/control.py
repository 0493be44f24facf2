"""Faults and switches of a running board, on command over a Unix socket.

Not what the faults do; flash, board and application know. One JSON object a line each way, so
that a test, a script and `poleward board tell` use the same.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.boot_rom import ResetReason
from poleward_tools.virtual_board.flash_chip import SECTOR_SIZE_BYTES, NorFlash
from poleward_tools.virtual_board.guest_bus import Outside
from poleward_tools.virtual_board.link import LinkFaults

_log = logging.getLogger(__name__)
_MAX_LINE_BYTES = 64 * 1024


class ControlError(Exception):
    """A command that is not understood; nothing of it was done."""


class Controllable(Protocol):
    """An application that can be made to stop responding and has something around it."""

    outside: Outside

    def hang(self) -> None:
        """Stand still until the next reset."""

    def press_button(self) -> None:
        """Press the emergency call button."""


class BoardControl:
    """Carries out commands; each key of an object is one command, done in the order of the keys.

    | key | value |
    |---|---|
    | `power` | false cuts it, true gives it back |
    | `power_cut` | true: the power goes and comes back at once |
    | `reset` | true: as the reset button does |
    | `brown_out` | true: the supply dips, the chip resets |
    | `boot_button` | whether it is held at the next reset |
    | `hang` | true: the program stands still, only the watchdog still runs |
    | `press_button` | true: somebody presses the emergency call button |
    | `cut_after` | cut the power in the n-th flash operation from now; null takes it back |
    | `flip_bit_rate` | chance that a programmed byte gets one wrong bit |
    | `worn_sectors` | numbers of the sectors that no longer erase |
    | `link` | faults of the network by name, as `link.LinkFaults` has them; those not named end |
    | `nat_rebind` | true: the network gives the node another address |
    | `surroundings` | settings to change by name, as `surroundings.Surroundings` has them |
    | `state` | true: answers with what the board does and has done, nothing else |
    """

    def __init__(self, board: Board, flash: NorFlash, application: Controllable) -> None:
        self._board = board
        self._flash = flash
        self._application = application
        self._commands: dict[str, Callable[[Any], None]] = {
            "power": self._power,
            "power_cut": self._power_cut,
            "reset": self._reset,
            "brown_out": self._brown_out,
            "boot_button": self._boot_button,
            "hang": self._hang,
            "press_button": self._press_button,
            "cut_after": self._cut_after,
            "flip_bit_rate": self._flip_bit_rate,
            "worn_sectors": self._worn_sectors,
            "link": self._link,
            "nat_rebind": self._nat_rebind,
            "surroundings": self._surroundings,
            "state": lambda _: None,
        }

    def tell(self, commands: dict[str, Any]) -> dict[str, Any]:
        """Carry out commands and return the board's state.

        Raises:
            ControlError: a key or value is not understood; commands before it are done.
        """
        for name, value in commands.items():
            command = self._commands.get(name)
            if command is None:
                raise ControlError(f"'{name}' is none of {', '.join(self._commands)}")
            try:
                command(value)
            except (TypeError, ValueError) as error:
                why = f": {error}" if str(error) else ""
                raise ControlError(f"{name}: {value!r} is not understood{why}") from error
        counts = self._flash.counts
        link = self._application.outside.link.counts
        lamp = self._application.outside.lamp
        return {
            "mode": self._board.mode.value,
            "starts": self._board.starts,
            "reset_reason": self._board.reason.value[1],
            "operations": counts.operations,
            "programs": counts.programs,
            "erases": counts.erases,
            "datagrams_from_node": link.from_node,
            "datagrams_to_node": link.to_node,
            "datagrams_lost": link.lost,
            "bytes_from_node": link.bytes_from_node,
            "bytes_to_node": link.bytes_to_node,
            "lamp_levels": list(lamp.levels),
            "lamp_restored_ms": lamp.restored_ms,
        }

    def _power(self, is_on: bool) -> None:
        if is_on:
            self._board.power_on()
        else:
            self._board.power_off()

    def _power_cut(self, _: bool) -> None:
        self._board.power_off()
        self._board.power_on()

    def _reset(self, _: bool) -> None:
        self._board.restart(ResetReason.POWER_ON)

    def _brown_out(self, _: bool) -> None:
        self._board.restart(ResetReason.BROWN_OUT)

    def _boot_button(self, is_held: bool) -> None:
        self._board.is_boot_button_held = bool(is_held)

    def _hang(self, _: bool) -> None:
        self._application.hang()

    def _press_button(self, _: bool) -> None:
        self._application.press_button()

    def _cut_after(self, operations: int | None) -> None:
        if operations is not None and int(operations) < 1:
            raise ValueError
        at = None if operations is None else self._flash.counts.operations + int(operations)
        self._flash.faults.cut_at_operation = at

    def _flip_bit_rate(self, rate: float) -> None:
        if not 0 <= float(rate) <= 1:
            raise ValueError
        self._flash.faults.flip_bit_rate = float(rate)

    def _worn_sectors(self, sectors: list[int]) -> None:
        numbers = frozenset(int(number) for number in sectors)
        if any(not 0 <= number < self._flash.size_bytes // SECTOR_SIZE_BYTES for number in numbers):
            raise ValueError
        self._flash.faults.worn_sectors = numbers

    def _link(self, faults: dict[str, Any] | None) -> None:
        self._application.outside.link.faults = LinkFaults(**(faults or {}))

    def _nat_rebind(self, _: bool) -> None:
        self._application.outside.link.rebind()

    def _surroundings(self, settings: dict[str, Any]) -> None:
        for name, value in dict(settings).items():
            self._application.outside.surroundings.change(name, value)


@asynccontextmanager
async def serve_control(control: BoardControl, path: Path) -> AsyncIterator[None]:
    """Answer commands on a socket at `path` while the context is open.

    Raises:
        OSError: the socket cannot be made there.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(_answer(control, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            _log.warning("control connection ended: %s", error)
        finally:
            writer.close()

    with _listening(path) as listener:
        server = await asyncio.start_unix_server(serve, sock=listener, limit=_MAX_LINE_BYTES)
        try:
            yield
        finally:
            server.close()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Bind a socket at `path`, in the place of one that an earlier board left, and take it away."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        with _short(path) as name:
            listener.bind(name)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a socket's path another name: a whole path may exceed the 107 bytes it is allowed."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def tell(path: Path, commands: dict[str, Any]) -> dict[str, Any]:
    """Send commands to the board whose control socket is at `path` and return its state.

    Raises:
        ControlError: the board did not understand them.
        OSError: no board answers there.
    """
    with _short(path) as name:
        reader, writer = await asyncio.open_unix_connection(name)
    try:
        writer.write(json.dumps(commands).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline() or b"{}")
    finally:
        writer.close()
        await writer.wait_closed()
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer


def _answer(control: BoardControl, line: bytes) -> dict[str, Any]:
    try:
        commands = json.loads(line)
        if not isinstance(commands, dict):
            raise ControlError("a line is one JSON object")
        return control.tell(commands)
    except ControlError as error:
        return {"error": str(error)}
    except ValueError as error:
        return {"error": f"no JSON: {error}"}
