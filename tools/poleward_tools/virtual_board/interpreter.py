"""The process that becomes the MicroPython of boards: it holds the VM ready and forks for each.

Not imported: `interpreters` runs this file with a bare CPython, whose standard library it uses
sparingly, because what it has loaded is what every board costs. The VM's state is one per process.
Arguments: its end of a socket to the board's side, the folder of the VM's module.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import termios

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_RAW = 1
_MAX_REQUEST_BYTES = 16384
_MAX_DESCRIPTORS = 8


def main() -> None:
    """Fork a VM for each request until the other end closes."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    sys.path.append(sys.argv[2])
    die_with_parent()
    # What ends the board's host from a terminal is for the host to hand on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import micropython_run  # noqa: F401 - loaded here once, for all that follow

    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, _MAX_REQUEST_BYTES, _MAX_DESCRIPTORS)
        if not request:
            return
        reap()
        pid = os.fork()
        if pid == 0:
            channel.close()
            # What a request holds is for this VM alone: nobody waits for our errors.
            try:
                become_board(json.loads(request), descriptors)
            finally:
                os._exit(1)
        # Opened before anybody waits for the process: the number cannot belong to another yet.
        process = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [process])
        for descriptor in (process, *descriptors):
            os.close(descriptor)


def die_with_parent() -> None:
    """See that the kernel ends this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def schedule_ctrl_c(vm: ctypes.CDLL) -> None:
    """See that the VM raises Ctrl-C between two steps of its own; the console sends SIGQUIT for it.

    What the VM itself does at SIGINT is a jump out of whatever it is in the middle of: a request to
    the board that is half sent, LittleFS, its heap.
    """
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGQUIT, vm.mp_sched_keyboard_interrupt)
    # Calls that wait end, and look for it then.
    libc.siginterrupt(signal.SIGQUIT, 1)


def reap() -> None:
    """Take note of VMs that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def become_board(request: "dict[str, object]", descriptors: "list[int]") -> None:
    """Run the VM on the terminal that came first; a soft reboot starts it anew.

    Request: `heap_bytes`, `script`, `arguments`, `environment`. An argument `{n}` becomes the
    number of the n-th descriptor.
    """
    die_with_parent()
    os.setsid()
    terminal = descriptors[0]
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(terminal, standard)

    def fill(text: object) -> str:
        return str(text).format(*descriptors)

    os.environ.clear()
    environment: dict[str, str] = request["environment"]  # type: ignore[assignment]
    for name, value in environment.items():
        os.environ[name] = fill(value)
    # After the script the VM opens its console.
    os.environ["MICROPYINSPECT"] = "1"
    arguments: list[object] = request["arguments"]  # type: ignore[assignment]
    filled = [fill(argument) for argument in arguments]
    import micropython_run

    vm = ctypes.CDLL(micropython_run.__file__)
    schedule_ctrl_c(vm)
    # The console's mode outlives the VM: a tool that was in raw mode finds it again.
    mode = ctypes.c_int.in_dll(vm, "pyexec_mode_kind")
    heap = f"heapsize={request['heap_bytes']}"
    while True:
        name = "raw" if mode.value == _RAW else "friendly"
        micropython_run.run_main(["micropython", "-X", heap, str(request["script"]), *filled, name])
        os.write(1, b"MPY: soft reboot\r\n")


if __name__ == "__main__":
    main()
