"""Becomes another program that gets SIGTERM when the process that started it dies.

Run as `python -I -S bound_process.py PARENT_PID PROGRAM ARGUMENT…`, never imported. The binding is
to the thread that started it (prctl(2), PR_SET_PDEATHSIG): start it from the main thread.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; survives execve

parent_pid, *command = sys.argv[1:]
ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(parent_pid):
    # The parent died before prctl took effect.
    sys.exit(1)
os.execv(command[0], command)  # noqa: S606 - no shell is wanted
