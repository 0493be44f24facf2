"""Files of the guest when no exception may pass through LittleFS: collected files, Ctrl-C."""

import contextlib

import pytest

from .conftest import MakeFlash
from .running_board import Terminal, running

pytestmark = pytest.mark.system


async def test_files_closed_by_the_garbage_collector_are_written(make_flash: MakeFlash) -> None:
    """The collector locks the heap while it closes them; the flash is written all the same."""
    program = (
        b"def write(count):\n"
        b"    for number in range(count):\n"
        b"        for name in 'abc':\n"
        b"            open(name, 'ab').write(bytes(60))\n"
        b"        bytes(5000)\n"
        b"write(200)\n"
        b"import gc\n"
        b"gc.collect()\n"
        b"print('all', 'written')\n"
    )
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            shown = await terminal.read_until(b"all written")
        assert b"Traceback" not in shown
        assert bench.board.starts == 1
        # Two handles on one file write over each other; what is there are whole writes.
        assert all(len(bench.files()[f"/{name}"]) % 60 == 0 for name in "abc")


async def test_ctrl_c_while_files_are_written_reaches_the_program_and_harms_no_file(
    make_flash: MakeFlash,
) -> None:
    program = (
        b"import os\n"
        b"caught = number = 0\n"
        b"while caught < 100:\n"
        b"    try:\n"
        b"        print('go')\n"
        b"        while True:\n"
        b"            with open('new', 'wb') as file:\n"
        b"                file.write(bytes([number & 0xFF]) * 700)\n"
        b"            os.rename('new', 'config')\n"
        b"            number += 1\n"
        b"    except KeyboardInterrupt:\n"
        b"        caught += 1\n"
        b"print('caught', 'all')\n"
    )
    async with running(make_flash({"/main.py": program})) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            for _ in range(100):
                await terminal.read_until(b"go")
                terminal.type(b"\x03")
            await terminal.read_until(b"caught all")
        assert bench.board.starts == 1
        config = bench.files()["/config"]
        assert len(config) == 700
        assert len(set(config)) == 1
