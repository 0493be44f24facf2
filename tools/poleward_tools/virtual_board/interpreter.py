"""The process in which a board's MicroPython runs; a soft reboot starts the VM anew within it.

Not imported: `application` runs this file with a bare CPython, whose standard library it uses
sparingly because its start is the board's start.
Arguments: folder of the VM's module, heap in bytes, start script, arguments for the script.
"""

import ctypes
import fcntl
import os
import signal
import sys
import termios

_PR_SET_PDEATHSIG = 1
_FRIENDLY, _RAW = 0, 1


def main() -> None:
    """Run the VM until its process is killed."""
    folder, heap_bytes, script, *arguments = sys.argv[1:]
    # CPython must not see Ctrl-C; the VM installs its own handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # After the script the VM opens its console.
    os.environ["MICROPYINSPECT"] = "1"
    sys.path.append(folder)
    import micropython_run

    # The console's mode outlives the VM: a tool that was in raw mode finds it again.
    mode = ctypes.c_int.in_dll(ctypes.CDLL(micropython_run.__file__), "pyexec_mode_kind")
    while True:
        name = "raw" if mode.value == _RAW else "friendly"
        micropython_run.run_main(
            ["micropython", "-X", f"heapsize={heap_bytes}", script, *arguments, name]
        )
        os.write(1, b"MPY: soft reboot\r\n")


if __name__ == "__main__":
    main()
