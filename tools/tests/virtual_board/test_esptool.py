"""Real, unmodified esptool against a board on a pseudo-terminal."""

import asyncio
import contextlib
import random
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from poleward_tools.virtual_board.board import Board, Mode
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import FlashFaults, NorFlash
from poleward_tools.virtual_board.line import PtyLine

FLASH_SIZE_BYTES = 4 << 20
MAC = bytes.fromhex("24ec4a112233")
# Half of it can be compressed.
CONTENT = random.Random(7).randbytes(24_000) + b"node " * 4_800

pytestmark = pytest.mark.system


@dataclass
class Bench:
    board: Board
    flash: NorFlash
    line: PtyLine

    async def esptool(self, *arguments: str, fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "esptool", "--no-stub", "--port", self.line.path, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        shown = output.decode()
        assert (process.returncode != 0) == fails, shown
        return shown


@contextlib.asynccontextmanager
async def bench_with(
    chip: str, *, faults: FlashFaults | None = None, pace_baud: int | None = None
) -> AsyncIterator[Bench]:
    flash = NorFlash.blank(FLASH_SIZE_BYTES, faults)
    with PtyLine(pace_baud=pace_baud) as line:
        board = Board(CHIPS[chip], flash, MAC, line)
        living = asyncio.create_task(board.run())
        try:
            yield Bench(board, flash, line)
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living


@pytest.fixture(params=sorted(CHIPS))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_with(request.param) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(CONTENT)
    return path


async def test_chip_address_and_flash_are_recognised(bench: Bench) -> None:
    shown = await bench.esptool("flash-id")
    expected = {
        "ESP32": "ESP32-D0WD-V3 (revision v3.1)",
        "ESP32-C3": "ESP32-C3 (QFN32) (revision v0.4)",
        "ESP32-S3": "ESP32-S3 (QFN56) (revision v0.2)",
    }
    name = bench.board.chip.display_name
    assert f"Detecting chip type... {name}\n" in shown
    assert expected[name] in shown
    assert "Crystal frequency:  40MHz" in shown
    assert "Manufacturer: ef" in shown
    assert "Detected flash size: 4MB" in shown
    assert "MAC:                24:ec:4a:11:22:33" in await bench.esptool("read-mac")


@pytest.mark.parametrize("options", [["--no-compress"], ["--compress"]])
@pytest.mark.parametrize("baud", ["115200", "921600"])
async def test_written_file_is_in_the_flash_verified_and_read_back(
    bench: Bench, image: Path, options: list[str], baud: str, tmp_path: Path
) -> None:
    # Behind the 2 MiB that the ROM takes the flash for until it is told better.
    address = 0x310000
    shown = await bench.esptool("--baud", baud, "write-flash", *options, hex(address), str(image))
    assert "Hash of data verified." in shown
    assert ("compressed)" in shown) == (options == ["--compress"])
    assert bench.flash.read(address, len(CONTENT)) == CONTENT
    shown = await bench.esptool("--baud", baud, "verify-flash", hex(address), str(image))
    assert "Verification successful" in shown
    copy = tmp_path / "copy.bin"
    await bench.esptool("--baud", baud, "read-flash", hex(address), "0x1800", str(copy))
    assert copy.read_bytes() == CONTENT[:0x1800]


async def test_different_content_fails_verification(bench: Bench, image: Path) -> None:
    await bench.esptool("write-flash", "0x10000", str(image))
    bench.flash.program(0x10010, b"\0")
    shown = await bench.esptool("verify-flash", "0x10000", str(image), fails=True)
    assert "Verification failed" in shown


async def test_content_that_is_there_is_not_written_again(bench: Bench, image: Path) -> None:
    await bench.esptool("write-flash", "0x10000", str(image))
    before = bench.flash.counts.operations
    shown = await bench.esptool("write-flash", "--skip-flashed", "0x10000", str(image))
    assert "already in flash, skipping write" in shown
    assert bench.flash.counts.operations == before


async def test_erased_region_is_blank_and_its_neighbours_are_not(bench: Bench) -> None:
    bench.flash.program(0x20000, bytes(0x4000))
    await bench.esptool("erase-region", "0x21000", "0x2000")
    assert bench.flash.read(0x20000, 0x1000) == bytes(0x1000)
    assert bench.flash.read(0x21000, 0x2000) == b"\xff" * 0x2000
    assert bench.flash.read(0x23000, 0x1000) == bytes(0x1000)


async def test_run_leaves_download_mode(bench: Bench) -> None:
    await bench.esptool("read-mac")
    assert bench.board.mode is Mode.DOWNLOAD
    await bench.esptool("run")
    async with asyncio.timeout(60):
        await bench.board.wait_until(Mode.RUNNING)


async def test_flash_description_and_registers_can_be_read(bench: Bench) -> None:
    shown = await bench.esptool("read-flash-sfdp", "0", "4")
    assert "SFDP[0..3]: 0x53 0x46 0x44 0x50" in shown
    assert "Flash memory status: 0x0000" in await bench.esptool("read-flash-status")
    shown = await bench.esptool("read-mem", "0x40001000")
    assert f"0x40001000 = 0x{bench.board.chip.magic:08x}" in shown


async def test_wrong_chip_and_too_large_file_are_refused_by_the_tool(
    bench: Bench, tmp_path: Path
) -> None:
    other = "esp32c6"
    shown = await bench.esptool("--chip", other, "read-mac", fails=True)
    assert "not ESP32-C6. Wrong chip argument?" in shown
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(0x2000))
    shown = await bench.esptool("write-flash", "0x3ff000", str(large), fails=True)
    assert "will not fit" in shown


async def test_stub_is_refused_and_the_tool_says_so() -> None:
    async with bench_with("esp32c3") as bench:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "esptool", "--port", bench.line.path, "flash-id",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode != 0
        assert b"Failed to enter RAM download mode" in output


async def test_flipped_bits_are_found_while_writing(image: Path) -> None:
    async with bench_with("esp32s3", faults=FlashFaults(flip_bit_rate=0.001, seed=3)) as bench:
        shown = await bench.esptool("write-flash", "0x10000", str(image), fails=True)
        assert re.search(r"Failed to write to target flash.*|MD5 of file does not match", shown)


async def test_power_cut_while_writing_leaves_a_board_that_can_be_written(image: Path) -> None:
    async with bench_with("esp32", faults=FlashFaults(cut_at_operation=50)) as bench:
        shown = await bench.esptool("write-flash", "0x10000", str(image), fails=True)
        assert "No more data to read from the serial port" in shown
        assert bench.board.mode is Mode.OFF
        bench.flash.faults.cut_at_operation = None
        bench.board.power_on()
        shown = await bench.esptool("write-flash", "0x10000", str(image))
        assert "Hash of data verified." in shown


async def test_paced_line_takes_the_time_of_a_wire(image: Path) -> None:
    async with bench_with("esp32c3", pace_baud=460_800) as bench:
        shown = await bench.esptool("--baud", "460800", "write-flash", "0x10000", str(image))
        rate = re.search(r"\(([\d.]+) kbit/s\)", shown)
        assert rate is not None
        # 460.8 kbit/s less start and stop bits.
        assert float(rate[1]) < 460.8 * 0.8
