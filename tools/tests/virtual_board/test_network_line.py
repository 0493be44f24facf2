"""The serial port over RFC 2217: reset lines that work, noise that does no harm."""

import asyncio
import contextlib
import struct
import sys
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.virtual_board.application import MicroPythonApplication
from poleward_tools.virtual_board.board import Board, Mode
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import NorFlash
from poleward_tools.virtual_board.network_line import NetworkLine, ResetCircuit
from poleward_tools.virtual_board.rfc2217 import BaudSet, ControlLine, Received, Rfc2217Session

from .conftest import FLASH_SIZE_BYTES, MakeFlash

MAC = bytes.fromhex("24ec4a112233")
IAC, SB, SE, COM_PORT = 255, 250, 240, 44


def subnegotiation(code: int, value: bytes) -> bytes:
    return bytes([IAC, SB, COM_PORT, code]) + value.replace(b"\xff", b"\xff\xff") + bytes([IAC, SE])


@contextlib.asynccontextmanager
async def board_on_network(make_flash: MakeFlash, chip: str) -> AsyncIterator[Board]:
    path = make_flash({"/main.py": b"print('program runs')\n"}, chip)
    async with NetworkLine() as line:
        with NorFlash.open(path, size_bytes=FLASH_SIZE_BYTES) as flash:
            application = MicroPythonApplication(flash, path, MAC)
            board = Board(CHIPS[chip], flash, MAC, line, application)
            line.circuit = ResetCircuit(board)
            living = asyncio.create_task(board.run())
            try:
                yield board
            finally:
                living.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await living


async def run_tool(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.system
async def test_esptool_resets_into_download_mode_and_back_into_the_program(
    make_flash: MakeFlash,
) -> None:
    async with board_on_network(make_flash, "esp32s3") as board:
        await asyncio.wait_for(board.wait_until(Mode.RUNNING), 60)
        port = board.line.path
        kept = await run_tool(
            "esptool", "--no-stub", "--port", port, "--after", "no-reset", "read-mac"
        )
        assert "24:ec:4a:11:22:33" in kept
        assert "NOT reset" not in kept
        assert board.mode is Mode.DOWNLOAD
        left = await run_tool("esptool", "--no-stub", "--port", port, "--baud", "460800", "chip-id")
        assert "Hard resetting via RTS pin" in left
        await asyncio.wait_for(board.wait_until(Mode.RUNNING), 60)


@pytest.mark.system
async def test_mpremote_works_over_the_network(make_flash: MakeFlash) -> None:
    async with board_on_network(make_flash, "esp32") as board:
        await asyncio.wait_for(board.wait_until(Mode.RUNNING), 60)
        assert "1024" in await run_tool(
            "mpremote", "connect", board.line.path, "exec", "print(2**10)"
        )


@pytest.mark.system
async def test_second_client_is_turned_away(make_flash: MakeFlash) -> None:
    async with board_on_network(make_flash, "esp32") as board:
        port = int(board.line.path.rpartition(":")[2])
        first, first_writer = await asyncio.open_connection("127.0.0.1", port)
        first_writer.write(bytes([IAC, 251, COM_PORT]))
        assert await first.readexactly(3) == bytes([IAC, 253, COM_PORT])
        second, second_writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(second.read(), 60) == b""
        for writer in (first_writer, second_writer):
            writer.close()
            await writer.wait_closed()


def test_known_options_are_agreed_to_once_and_others_refused() -> None:
    session = Rfc2217Session(115_200)
    assert session.receive(bytes([IAC, 251, COM_PORT, IAC, 253, 0, IAC, 253, 99])) == []
    assert session.take_output() == bytes([IAC, 253, COM_PORT, IAC, 251, 0, IAC, 252, 99])
    session.receive(bytes([IAC, 251, COM_PORT]))
    assert session.take_output() == b""


def test_rate_and_lines_are_events_between_the_bytes_around_them() -> None:
    session = Rfc2217Session(115_200)
    stream = (
        b"a" + subnegotiation(1, struct.pack("!I", 460_800)) + b"b\xff\xffc"
        + subnegotiation(5, bytes([8])) + subnegotiation(5, bytes([12]))
    )  # fmt: skip
    assert session.receive(stream) == [
        Received(b"a"),
        BaudSet(460_800),
        Received(b"b\xffc"),
        ControlLine("dtr", True),
        ControlLine("rts", False),
    ]
    assert session.take_output() == (
        subnegotiation(101, struct.pack("!I", 460_800))
        + subnegotiation(105, bytes([8]))
        + subnegotiation(105, bytes([12]))
    )


def test_rate_with_an_escape_in_it_is_read_and_a_question_answered() -> None:
    session = Rfc2217Session(115_200)
    assert session.receive(subnegotiation(1, b"\0\0\xff\xff")) == [BaudSet(0xFFFF)]
    session.take_output()
    assert session.receive(subnegotiation(1, bytes(4))) == []
    assert session.take_output() == subnegotiation(101, b"\0\0\xff\xff")


@given(st.binary(max_size=300), st.integers(1, 20))
def test_bytes_survive_the_escape_in_any_pieces(data: bytes, size: int) -> None:
    session = Rfc2217Session(115_200)
    stream = Rfc2217Session.escape(data)
    found = b""
    for at in range(0, len(stream), size):
        for event in session.receive(stream[at : at + size]):
            assert isinstance(event, Received)
            found += event.data
    assert found == data


@given(st.lists(st.sampled_from([IAC, SB, SE, 251, 253, COM_PORT, 1, 5, 0, 65]), max_size=200))
def test_noise_does_no_harm(noise: list[int]) -> None:
    session = Rfc2217Session(115_200)
    session.receive(bytes(noise))
    session.receive(bytes([IAC, SE]) * 40)
    session.take_output()
    assert Received(b"after") in session.receive(b"after")
