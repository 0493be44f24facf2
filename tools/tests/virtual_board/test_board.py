"""A board's power and resets; its application is one that writes to the flash and ends slowly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from poleward_tools.flash_image.node_image import prepare_software, whole_flash
from poleward_tools.virtual_board.board import Board, Mode
from poleward_tools.virtual_board.boot_rom import ResetReason, StartedApplication
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import NorFlash
from poleward_tools.virtual_board.line import Line, PtyLine
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

from .running_board import DEADLINE_S, MAC, VFS


class Writer:
    """Writes when it is told to; its end waits for permission, as a process that is killed does."""

    def __init__(self, flash: NorFlash) -> None:
        self._flash = flash
        self.write = asyncio.Event()
        self.is_ending = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self, started: StartedApplication, line: Line) -> ResetReason:
        try:
            await self.write.wait()
            self.write.clear()
            self._flash.program(VFS.offset, b"\0")
            return ResetReason.SOFTWARE
        finally:
            self.is_ending.set()
            await self.may_end.wait()

    def receive(self, data: bytes) -> None:
        pass


@pytest.fixture
async def running() -> AsyncIterator[tuple[Board, NorFlash, Writer]]:
    flash = NorFlash(bytearray(whole_flash(prepare_software(stand_in_firmware("esp32"), {}), [])))
    with PtyLine() as line:
        writer = Writer(flash)
        board = Board(CHIPS["esp32"], flash, MAC, line, writer)
        living = asyncio.create_task(board.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                await board.wait_until(Mode.RUNNING)
                yield board, flash, writer
        finally:
            writer.may_end.set()
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living


async def cut_while_ending(board: Board, flash: NorFlash, writer: Writer) -> None:
    flash.faults.cut_at_operation = flash.counts.operations + 1
    writer.write.set()
    await writer.is_ending.wait()
    assert board.mode is Mode.OFF


async def test_reset_does_not_undo_a_power_cut_whose_program_still_ends(
    running: tuple[Board, NorFlash, Writer],
) -> None:
    board, flash, writer = running
    await cut_while_ending(board, flash, writer)
    board.restart(ResetReason.BROWN_OUT)
    writer.may_end.set()
    board.power_on()
    await board.wait_until(Mode.RUNNING)
    assert (board.starts, board.reason) == (2, ResetReason.POWER_ON)


async def test_board_without_power_is_not_reset(running: tuple[Board, NorFlash, Writer]) -> None:
    board, flash, writer = running
    await cut_while_ending(board, flash, writer)
    writer.may_end.set()
    board.restart(ResetReason.BROWN_OUT)
    # Whoever is asked later runs later: a board that had started would be running by then.
    for _ in range(100):
        await asyncio.sleep(0)
    assert (board.mode, board.starts) == (Mode.OFF, 1)
