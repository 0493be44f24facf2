"""MicroPython processes for boards, forked from one that has the VM loaded.

Not what runs in them. A fork takes half a millisecond and shares its parent's memory; a VM that
loads everything itself takes 40 ms and ten times the memory.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_INTERPRETER = Path(__file__).with_name("interpreter.py")
_FORK_S = 30.0
_ENDED = "the process that starts VMs has ended"


class InterpreterError(Exception):
    """No VM can be started; the board host has to end."""


class Interpreter:
    """One running VM.

    Attributes:
        pid: for people; signals go through `kill` and `freeze`, which cannot hit another process.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._note_end)

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._send(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it where it is; only `kill` helps then."""
        self._send(signal.SIGSTOP)

    def _send(self, number: signal.Signals) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def _note_end(self) -> None:
        # A pidfd becomes readable when its process ends (pidfd_open(2)).
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._ended.set()


class Interpreters:
    """Starts VMs; a context manager whose end takes all of them down.

    They end with this process too, however it ends. Enter it in the main thread or in one that
    lives as long: Linux binds a child's life to the thread that made it (prctl(2)).
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._channel: socket.socket | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Messages stay whole, so that descriptors belong to their request.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_INTERPRETER), str(theirs.fileno()),
                sysconfig.get_path("platlib"),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )  # fmt: skip
        ours.setblocking(False)
        self._channel = ours
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process
        assert self._channel
        self._channel.close()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def start(
        self,
        script: Path,
        arguments: Sequence[str],
        *,
        heap_bytes: int,
        descriptors: Sequence[int],
        environment: Mapping[str, str],
    ) -> Interpreter:
        """Start a VM.

        Args:
            script: what it runs.
            arguments: of the script; `{n}` stands for its number of the n-th descriptor.
            heap_bytes: the VM's heap.
            descriptors: open files it gets; the first is its terminal.
            environment: its variables, with `{n}` as in `arguments`.

        Raises:
            InterpreterError: the process that forks is gone.
        """
        assert self._channel
        request = json.dumps(
            {
                "heap_bytes": heap_bytes, "script": str(script), "arguments": list(arguments),
                "environment": dict(environment),
            }
        ).encode()  # fmt: skip
        async with self._one_at_a_time:
            asking = asyncio.ensure_future(self._ask(request, descriptors))
            # A cancelled start must still take its answer, or the next one gets it.
            try:
                return await asyncio.shield(asking)
            except asyncio.CancelledError:
                (await asking).kill()
                raise

    async def _ask(self, request: bytes, descriptors: Sequence[int]) -> Interpreter:
        assert self._channel
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        try:
            socket.send_fds(self._channel, [request], list(descriptors))
            loop.add_reader(self._channel, answered.set)
            async with asyncio.timeout(_FORK_S):
                await answered.wait()
            answer, received, _, _ = socket.recv_fds(self._channel, 64, 1)
        except (OSError, TimeoutError) as error:
            raise InterpreterError(_ENDED) from error
        finally:
            loop.remove_reader(self._channel)
        if not answer:
            raise InterpreterError(_ENDED)
        return Interpreter(int(answer), received[0])
