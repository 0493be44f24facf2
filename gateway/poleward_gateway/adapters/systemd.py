"""Tells systemd that the gateway is ready and alive: sd_notify(3), in the few lines it takes.

Not the decision whether it is alive: the scheduler's tick calls `alive`, so a loop that hangs does
not.
"""

import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """The service manager that started this program; nobody where none did.

    Args:
        environment: Holds NOTIFY_SOCKET where systemd wants to be told.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """Say that the gateway serves."""
        self._say(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Say that the gateway still lives; must come more often than WatchdogSec."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that an orderly stop has begun."""
        self._say("STOPPING=1")

    def _say(self, words: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is in the abstract namespace (unix(7)).
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(words.encode(), address)
            except OSError:
                # Nobody listens: then nobody waits either.
                return
