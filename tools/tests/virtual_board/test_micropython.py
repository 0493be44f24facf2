"""A board that runs MicroPython from its flash file: console, real mpremote, resets, power cuts."""

import asyncio
import contextlib
import hashlib
import random
import socket
from pathlib import Path

import pytest

from poleward_tools.flash_image.node_image import node_files
from poleward_tools.flash_image.node_nvs import Trust, factory_values, new_identity
from poleward_tools.flash_image.nvs import Integer
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.releases.build import build_release
from poleward_tools.virtual_board.board import Mode
from poleward_tools.virtual_board.control import (
    BoardControl,
    ControlError,
    serve_control,
    tell,
)

from .conftest import MakeFlash
from .running_board import DEADLINE_S, MAC, Terminal, running

pytestmark = pytest.mark.system


async def test_console_shows_boot_messages_then_boot_py_main_py_and_prompt(
    make_flash: MakeFlash,
) -> None:
    path = make_flash({"/boot.py": b"print('from boot')\n", "/main.py": b"print('from main')\n"})
    async with running(path) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            shown = await terminal.read_until(b">>> ")
            assert b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" in shown
            assert b"Loaded app from partition at offset 0x10000\r\n" in shown
            assert shown.index(b"from boot\r\n") < shown.index(b"from main\r\n")
            terminal.type(b"1+1\r")
            assert (await terminal.read_until(b">>> ")).endswith(b"\r\n2\r\n>>> ")
            terminal.type(b"while True: pass\r\r")
            await terminal.read_until(b"\r\n... \r\n")
            terminal.type(b"\x03")
            assert b"KeyboardInterrupt" in await terminal.read_until(b">>> ")
            terminal.type(b"\x04")
            shown = await terminal.read_until(b">>> ")
            assert shown.index(b"MPY: soft reboot") < shown.index(b"from main")
        # A file system that was only read is not written.
        assert bench.flash.counts.operations == 2


async def test_programs_find_the_heap_they_were_promised(make_flash: MakeFlash) -> None:
    program = b"import gc\ngc.collect()\nprint('free', gc.mem_free())\n"
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b"free ")
            free_bytes = int(await terminal.read_until(b"\n"))
    # Of 256 KiB the interpreter itself takes 4.75.
    assert 250 * 1024 < free_bytes < 252 * 1024


async def test_mpremote_runs_code_and_moves_files(make_flash: MakeFlash, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(random.Random(5).randbytes(6_000))
    async with running(make_flash({"/boot.py": b""})) as bench:
        assert "4096\n" in (await bench.mpremote("exec", "print(2**12)")).replace("\r", "")
        await bench.mpremote("fs", "cp", str(big), ":big.bin")
        assert bench.files()["/big.bin"] == big.read_bytes()
        listing = await bench.mpremote("fs", "ls")
        assert "6000 big.bin" in listing
        copy = tmp_path / "copy.bin"
        await bench.mpremote("fs", "cp", ":big.bin", str(copy))
        assert copy.read_bytes() == big.read_bytes()
        digest = hashlib.sha256(big.read_bytes()).hexdigest()
        assert digest in await bench.mpremote("fs", "sha256sum", ":big.bin")
        await bench.mpremote("fs", "mkdir", ":d", "+", "fs", "cp", ":big.bin", ":d/again.bin")
        await bench.mpremote("fs", "rm", ":big.bin")
        assert sorted(bench.files()) == ["/boot.py", "/d/again.bin"]


async def test_mpremote_mounts_a_folder_and_soft_resets(
    make_flash: MakeFlash, tmp_path: Path
) -> None:
    (tmp_path / "host_module.py").write_text("value = 'from the host'\n")
    async with running(make_flash({"/main.py": b"print('main ran')\n"})) as bench:
        shown = await bench.mpremote(
            "mount", str(tmp_path), "exec", "import host_module; print(host_module.value)"
        )
        assert "from the host" in shown
        await bench.mpremote("soft-reset")
        assert "4" in await bench.mpremote("exec", "print(2+2)")


async def test_nvs_of_the_flash_is_what_the_program_sees(make_flash: MakeFlash) -> None:
    program = (
        b"from esp32 import NVS\n"
        b"boot = NVS('boot')\n"
        b"boot.set_i32('count', boot.get_i32('count') + 1)\n"
        b"boot.set_blob('long', bytes(3000))\n"
        b"boot.commit()\n"
        b"buffer = bytearray(32)\n"
        b"print(buffer[:NVS('identity').get_blob('profile', buffer)])\n"
        b"try:\n"
        b"    boot.get_i32('nothing')\n"
        b"except OSError as error:\n"
        b"    print('errno', error.errno)\n"
    )
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            shown = await terminal.read_until(b">>> ")
        assert b"pole-basic" in shown
        assert b"errno -4354" in shown
        assert bench.nvs().values("boot") == {
            "count": Integer(ItemType.I32, 42),
            "long": bytes(3000),
        }


async def test_reset_and_watchdog_restart_the_board_with_their_reason(
    make_flash: MakeFlash,
) -> None:
    program = (
        b"import machine\n"
        b"print('cause', machine.reset_cause(), machine.unique_id().hex())\n"
        b"if machine.reset_cause() == machine.PWRON_RESET:\n"
        b"    machine.reset()\n"
        b"if machine.reset_cause() == machine.HARD_RESET:\n"
        b"    machine.WDT(timeout=50)\n"
        b"    while True: pass\n"
    )
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b"cause 1 24ec4a112233")
            await terminal.read_until(b"rst:0xc (SW_CPU_RESET)")
            await terminal.read_until(b"cause 2")
            await terminal.read_until(b"rst:0x8 (TG1WDT_SYS_RESET)")
            await terminal.read_until(b"cause 3")


async def test_watchdog_fed_through_its_pipe_bites_when_the_food_stops(
    make_flash: MakeFlash,
) -> None:
    program = (
        b"import os\n"
        b"file = open(int(os.getenv('POLEWARD_WATCHDOG_FD')), 'wb')\n"
        b"file.write(bytes([100, 0, 0, 0]))\n"
        b"while True: pass\n"
    )
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b"rst:0x8 (TG1WDT_SYS_RESET)")


async def test_power_cuts_while_a_file_is_replaced_leave_the_old_or_the_new(
    make_flash: MakeFlash,
) -> None:
    program = (
        b"import os, time\n"
        b"for number in range(20):\n"
        b"    with open('new', 'wb') as file:\n"
        b"        file.write(bytes([number]) * 3000)\n"
        b"    os.rename('new', 'config')\n"
        b"print('all written')\n"
    )
    path = make_flash({"/main.py": program, "/config": b"o" * 3000})
    seen = set()
    async with running(path) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            async with asyncio.timeout(DEADLINE_S):
                for cut_after in (5, 17, 40, 41, 42, 43, 100, 333):
                    bench.flash.faults.cut_at_operation = bench.flash.counts.operations + cut_after
                    await bench.board.wait_until(Mode.OFF)
                    config = bench.files()["/config"]
                    assert len(config) == 3000
                    assert len(set(config)) == 1
                    seen.add(config[0])
                    bench.board.power_on()
            bench.flash.faults.cut_at_operation = None
            await terminal.read_until(b"all written")
        # Cuts before the first rename, and between later ones.
        assert len(seen) > 1


async def test_esptool_interrupts_the_program_and_run_starts_it_again(
    make_flash: MakeFlash,
) -> None:
    path = make_flash({"/main.py": b"print('program runs')\n"}, "esp32c3")
    async with running(path, "esp32c3") as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b"program runs")
        await bench.tool("esptool", "--no-stub", "--port", bench.line.path, "flash-id")
        assert bench.board.mode is Mode.DOWNLOAD
        await bench.tool("esptool", "--no-stub", "--port", bench.line.path, "run")
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b"program runs")
        assert "3" in await bench.mpremote("exec", "print(1+2)")


async def test_faults_on_command_break_and_mend_a_running_board(
    make_flash: MakeFlash, tmp_path: Path
) -> None:
    program = (
        b"import machine\n"
        b"watchdog = machine.WDT(timeout=1000)\n"
        b"print('cause', machine.reset_cause())\n"
        b"while True: watchdog.feed()\n"
    )
    path = tmp_path / "control"
    async with running(make_flash({"/main.py": program})) as bench:
        control = BoardControl(bench.board, bench.flash, bench.application)
        async with serve_control(control, path):
            with contextlib.closing(Terminal(bench.line.path)) as terminal:
                await terminal.read_until(b"cause 1")
                await tell(path, {"hang": True})
                await terminal.read_until(b"rst:0x8 (TG1WDT_SYS_RESET)")
                await terminal.read_until(b"cause 3")
                await tell(path, {"brown_out": True})
                await terminal.read_until(b"rst:0xf (RTCWDT_BROWN_OUT_RESET)")
                await terminal.read_until(b"cause 1")
                assert (await tell(path, {"power": False}))["mode"] == "off"
                await tell(path, {"boot_button": True, "power": True})
                await terminal.read_until(b"waiting for download")
                state = await tell(path, {"boot_button": False, "reset": True})
                assert state["operations"] == 2
                await terminal.read_until(b"cause 1")
                with pytest.raises(ControlError, match="'explode' is none of power, power_cut"):
                    await tell(path, {"explode": True})
                with pytest.raises(ControlError, match="cut_after: 0 is not understood"):
                    await tell(path, {"cut_after": 0})


async def test_node_starts_from_its_flash_and_asks_its_gateway_to_bootstrap(
    make_flash: MakeFlash,
) -> None:
    """The real node application, built as for the chip; its gateway is a socket here."""
    release = build_release("1.0.0", 1)
    files = node_files(root_files=release.root_files, bundle=release.bundle, envelope=b"\x00")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
        gateway.bind(("127.0.0.1", 0))
        gateway.setblocking(False)
        uri = f"coap://127.0.0.1:{gateway.getsockname()[1]}"
        values = factory_values(new_identity(MAC), Trust(uri, (bytes(32),)))
        path = make_flash(files, nvs_values=values)
        async with running(path) as bench:
            loop = asyncio.get_running_loop()
            datagram = await asyncio.wait_for(loop.sock_recv(gateway, 2048), DEADLINE_S)
            # RFC 7252, 3: version 1, confirmable; RFC 8613, 4.2: the outer code is POST.
            assert datagram[0] & 0xF0 == 0x40
            assert datagram[1] == 0x02
            # RFC 8613, 6.1: the key identifier of the bootstrap context is the address.
            assert MAC in datagram
            assert bench.nvs().get("boot", "count") == Integer(ItemType.I32, 1)
            # Whoever comes with a laptop finds the slot's modules, one of them not loaded yet.
            shown = await bench.mpremote("exec", "import node.ota.patch as p; print(p.__file__)")
            assert "/a/node/ota/patch.mpy" in shown
            assert "bundle" in await bench.mpremote("fs", "ls", ":slot_a")
