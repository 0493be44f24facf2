"""Becomes one MicroPython VM; started by the board host, never imported.

Run as `python -I -S vm_process.py PARENT_PID PACKAGES HEAP START FOLDER CAUSE`: the VM that the
`micropython` command runs, without loading this Python's site packages and bound to the host's
life.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

parent_pid, packages, heap, start, folder, cause = sys.argv[1:]
ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(parent_pid):
    # The host died before prctl took effect.
    os._exit(0)
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path.append(packages)

import micropython_run  # noqa: E402

arguments = ["micropython", "-X", f"heapsize={heap}", start, folder, cause]
os._exit(micropython_run.run_main(arguments) & 0xFF)
