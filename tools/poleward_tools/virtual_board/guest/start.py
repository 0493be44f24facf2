"""Does at reset what the chip's firmware does: mounts `/` from the flash, boot.py, then main.py.

Arguments: bus and flash file descriptors, offset and size of the file system, address in hex,
reset cause, `raw` or `friendly` for the console's mode. Runs on MicroPython.
"""

import os
import sys

import vfs

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import block_device
import bus
import esp32
import machine
import surroundings  # noqa: F401

_EXIT_FOR_RESET = 3
_CAUSES = {machine.HARD_RESET: "reset", machine.WDT_RESET: "watchdog"}


class Keyboard:
    """The `micropython` module with Ctrl-C under the board's control."""

    def kbd_intr(self, character: int) -> None:
        """Choose the character that interrupts, -1 for none."""
        bus.ask(bus.KEYBOARD_INTERRUPT, bytes([character & 0xFF]))


def extend_micropython() -> None:
    """Put `Keyboard` in front of the built-in module, which cannot be extended."""
    import micropython

    keyboard = Keyboard()
    for name in dir(micropython):
        if name not in ("__name__", "kbd_intr"):
            setattr(keyboard, name, getattr(micropython, name))
    sys.modules["micropython"] = keyboard  # type: ignore[assignment]


def mount_root(blocks: "block_device.FlashBlocks") -> bool:
    """Mount the file system; an erased partition is formatted, a damaged one left alone."""
    vfs.umount("/")
    try:
        vfs.mount(blocks, "/")
        return True
    except OSError:
        head = bytearray(64)
        blocks.readblocks(0, head)
        if head != b"\xff" * 64:
            print("The file system is damaged; it is left as it is.")
            return False
    vfs.VfsLfs2.mkfs(blocks)
    vfs.mount(blocks, "/")
    with open("/boot.py", "w") as file:
        file.write("# This file is executed on every boot.\n")
    return True


def run(name: str) -> None:
    """Run a file of the root when there is one; what it raises is shown and the console opens."""
    try:
        os.stat(name)
    except OSError:
        return
    try:
        execfile(name)  # type: ignore[name-defined]  # noqa: F821
    except SystemExit as error:
        # How `node.board.sim` resets.
        if error.args == (_EXIT_FOR_RESET,):
            machine.reset()
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        sys.print_exception(error)  # type: ignore[attr-defined]


bus.open_bus(int(sys.argv[1]))
machine._identity = bytes.fromhex(sys.argv[5])
machine._reset_cause = int(sys.argv[6])
extend_micropython()
esp32.open_flash(int(sys.argv[2]))
if mount_root(block_device.FlashBlocks(esp32.flash, int(sys.argv[3]), int(sys.argv[4]))):
    os.chdir("/")
    mode = sys.argv[7]
    sys.path[:] = ["", ".frozen", "/lib"]
    # Where `node.board.sim` looks for the reason it was started.
    sys.argv[:] = ["", "", _CAUSES.get(machine.reset_cause(), "power on")]
    run("boot.py")
    if mode == "friendly":
        run("main.py")
