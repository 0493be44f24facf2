"""A production run made of small parts, and virtual boards on pseudo-terminals."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest import envelope as envelopes
from poleward_tools.flash_image.app_image import CHIP_IDS, AppDescription, AppImage, Segment
from poleward_tools.flash_image.firmware_files import BOOTLOADER_OFFSETS
from poleward_tools.flash_image.partition_table import NODE_4_MIB, TABLE_OFFSET
from poleward_tools.flashing.production import Production, collect
from poleward_tools.releases import folder as folders
from poleward_tools.releases import keys
from poleward_tools.releases.build import build_release
from poleward_tools.virtual_board.application import MicroPythonApplication
from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import FlashFaults, NorFlash
from poleward_tools.virtual_board.line import PtyLine
from poleward_tools.virtual_board.network_line import NetworkLine, ResetCircuit

MIB = 1 << 20
VERSION = "1.0.0"
GATEWAY = "coap://127.0.0.1:5683"
MACS = [bytes.fromhex(f"24ec4a0000{number:02x}") for number in range(1, 9)]
DEADLINE_S = 60


def bootloader_for(chip: str) -> bytes:
    return AppImage(CHIP_IDS[chip], 0x40080000, (Segment(0x40080000, bytes(64)),)).encode()


def application_for(chip: str, size_bytes: int = 40_000) -> bytes:
    description = AppDescription("1.29", "micropython", idf_version="v5.5").encode()
    code = description + b"MicroPython v1.29.0 on 2026-11-01; node\0" + bytes(24)
    code += random.Random(3).randbytes(size_bytes)
    return AppImage(CHIP_IDS[chip], 0x40080000, (Segment(0x3F400020, code),)).encode()


def merged_for(chip: str) -> bytes:
    """What micropython.org offers: from the bootloader's place on."""
    first = BOOTLOADER_OFFSETS[chip]
    slot = NODE_4_MIB.ota_slots[0].offset
    content = bytearray(b"\xff" * (slot - first))
    bootloader, table = bootloader_for(chip), NODE_4_MIB.encode()
    content[: len(bootloader)] = bootloader
    content[TABLE_OFFSET - first : TABLE_OFFSET - first + len(table)] = table
    return bytes(content) + application_for(chip)


def firmware_folder(folder: Path, chip: str, application: bytes | None = None) -> Path:
    folder.mkdir()
    (folder / "bootloader.bin").write_bytes(bootloader_for(chip))
    (folder / "micropython.bin").write_bytes(application or application_for(chip))
    return folder


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "release.pem"
    keys.create_key(path)
    return path


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("release")
    built = build_release(VERSION, 1)
    key: Ed25519PrivateKey = keys.load_key(key_file)
    folders.save(folder, folders.StoredRelease(built.bundle, envelopes.sign(built.manifest, [key])))
    return folder


def production_for(
    folder: Path, release: Path, key_file: Path, chip: str = "esp32", *, flash_mib: int = 4
) -> Production:
    return collect(
        chip=chip,
        firmware=firmware_folder(folder / f"firmware-{chip}-{flash_mib}", chip),
        release=release,
        gateway_uri=GATEWAY,
        release_keys=[keys.public_path(key_file)],
        flash_size_bytes=flash_mib * MIB,
    )


@pytest.fixture
def production(tmp_path: Path, release: Path, key_file: Path) -> Production:
    return production_for(tmp_path, release, key_file)


@dataclass
class VirtualBoard:
    flash: NorFlash
    port: str
    board: Board


@dataclass
class Boards:
    """Boards whose event loop runs in a thread of its own, as their tools do not know of it."""

    folder: Path
    loop: asyncio.AbstractEventLoop
    exits: contextlib.ExitStack
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    lines: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def add(
        self,
        mac: bytes,
        chip: str = "esp32",
        *,
        flash_mib: int = 4,
        cut_at: int | None = None,
        on_network: bool = False,
    ) -> VirtualBoard:
        path = self.folder / f"flash-{len(self.tasks)}.bin"
        faults = FlashFaults(cut_at_operation=cut_at)
        flash = self.exits.enter_context(
            NorFlash.open(path, size_bytes=flash_mib * MIB, faults=faults)
        )
        application = MicroPythonApplication(flash, path, mac)

        async def start() -> VirtualBoard:
            line: NetworkLine | PtyLine
            if on_network:
                line = await self.lines.enter_async_context(NetworkLine())
            else:
                line = self.lines.enter_context(PtyLine())
            board = Board(CHIPS[chip], flash, mac, line, application)
            if isinstance(line, NetworkLine):
                line.circuit = ResetCircuit(board)
            self.tasks.append(asyncio.get_running_loop().create_task(board.run()))
            return VirtualBoard(flash, line.path, board)

        return asyncio.run_coroutine_threadsafe(start(), self.loop).result(DEADLINE_S)

    def power_on(self, board: VirtualBoard) -> None:
        board.flash.faults.cut_at_operation = None
        self.loop.call_soon_threadsafe(board.board.power_on)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.lines.aclose()


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Boards]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with contextlib.ExitStack() as exits:
        made = Boards(tmp_path, loop, exits)
        yield made
        asyncio.run_coroutine_threadsafe(made.stop(), loop).result(DEADLINE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
