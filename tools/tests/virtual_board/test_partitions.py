"""`esp32.Partition` of the guest: an image update by the program itself, kept or rolled back."""

import contextlib

import pytest

from poleward_tools.flash_image import otadata
from poleward_tools.flash_image.partition_table import NODE_4_MIB
from poleward_tools.virtual_board.control import BoardControl
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

from .conftest import MakeFlash
from .running_board import Bench, Terminal, running

pytestmark = pytest.mark.system

OTADATA = next(part for part in NODE_4_MIB if part.label == "otadata")
NEW_IMAGE = stand_in_firmware("esp32", "1.30").application
# What each start finds, then what the person at the console asks for.
HELPERS = b"""
from esp32 import Partition
def here():
    return Partition(Partition.RUNNING).info()[4], Partition(Partition.BOOT).info()[4]
def install(image):
    part = Partition(Partition.RUNNING).get_next_update()
    for at in range(0, len(image), 4096):
        part.writeblocks(at // 4096, image[at : at + 4096])
    part.set_boot()
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno
print('runs', *here())
"""


def states(bench: Bench) -> list[int]:
    content = bench.flash.read(OTADATA.offset, OTADATA.size_bytes)
    return [entry.state for entry in otadata.read_entries(content)]


async def starts(terminal: Terminal, expected: bytes) -> None:
    await terminal.read_until(expected + b"\r\n")
    await terminal.read_until(b">>> ")


async def ask(terminal: Terminal, line: bytes) -> bytes:
    """Type a line at the prompt and return what it prints."""
    terminal.type(line + b"\r")
    await terminal.read_until(line + b"\r\n")
    return (await terminal.read_until(b">>> ")).removesuffix(b">>> ").strip()


async def test_a_program_installs_an_image_and_a_confirmed_one_stays(
    make_flash: MakeFlash,
) -> None:
    path = make_flash({"/main.py": HELPERS, "/new.bin": NEW_IMAGE})
    async with running(path) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await starts(terminal, b"runs ota_0 ota_0")
            assert await ask(terminal, b"install(open('new.bin', 'rb').read())") == b""
            assert await ask(terminal, b"here()") == b"('ota_0', 'ota_1')"
            terminal.type(b"import machine; machine.reset()\r")
            await starts(terminal, b"runs ota_1 ota_1")
            assert states(bench) == [
                otadata.SlotState.VALID,
                otadata.SlotState.PENDING_VERIFY,
            ]
            await ask(terminal, b"Partition.mark_app_valid_cancel_rollback()")
            assert states(bench) == [otadata.SlotState.VALID, otadata.SlotState.VALID]
            terminal.type(b"import machine; machine.reset()\r")
            await starts(terminal, b"runs ota_1 ota_1")
            # The next one goes into the slot that is free now.
            assert b"ota_0" in await ask(
                terminal, b"Partition(Partition.RUNNING).get_next_update().info()"
            )


async def test_an_image_that_is_not_confirmed_is_left_at_the_next_reset(
    make_flash: MakeFlash,
) -> None:
    path = make_flash({"/main.py": HELPERS, "/new.bin": NEW_IMAGE})
    async with running(path) as bench:
        control = BoardControl(bench.board, bench.flash, bench.application)
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b">>> ")
            await ask(terminal, b"install(open('new.bin', 'rb').read())")
            control.tell({"power_cut": True})
            await starts(terminal, b"runs ota_1 ota_1")
            control.tell({"power_cut": True})
            await starts(terminal, b"runs ota_0 ota_0")
            assert states(bench) == [otadata.SlotState.VALID, otadata.SlotState.ABORTED]


async def test_what_esp_idf_refuses_is_refused_with_its_errors(make_flash: MakeFlash) -> None:
    damaged = bytearray(NEW_IMAGE)
    damaged[100] ^= 1
    path = make_flash({"/main.py": HELPERS, "/new.bin": bytes(damaged)})
    async with running(path) as bench:
        with contextlib.closing(Terminal(bench.line.path)) as terminal:
            await terminal.read_until(b">>> ")
            for line, answer in (
                (b"refused(lambda: install(open('new.bin', 'rb').read()))", b"-5379"),  # VALIDATE
                (b"refused(lambda: Partition('vfs').set_boot())", b"-258"),  # ESP_ERR_INVALID_ARG
                (b"refused(lambda: Partition('nowhere'))", b"2"),
                (b"refused(lambda: Partition('ota_0').writeblocks(0, bytes(16), 0))", b"5"),
                (b"refused(lambda: Partition('ota_1').writeblocks(384, bytes(16), 0))", b"-260"),
                (b"refused(lambda: Partition('ota_1').ioctl(6, -1))", b"-260"),
                (b"Partition('ota_1').ioctl(4), Partition('ota_1').ioctl(5)", b"(384, 4096)"),
                (b"[p.info()[4] for p in Partition.find()]", b"['ota_0', 'ota_1']"),
                (
                    b"Partition.find(Partition.TYPE_DATA, label='vfs')[0].info()",
                    b"(1, 131, 3211264, 983040, 'vfs', False)",
                ),
                (b"here()", b"('ota_0', 'ota_0')"),
            ):
                assert await ask(terminal, line) == answer, line
