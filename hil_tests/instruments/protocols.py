"""What a rig can do beyond labgrid's own protocols: flash, break and disturb.

Drivers implement them; a test asks for the protocol and runs on any rig that has it.
"""

import abc
from collections.abc import Mapping


class FlashProtocol(abc.ABC):
    """Reads and writes a board's flash with a real tool."""

    @abc.abstractmethod
    def read_mac(self) -> bytes:
        """Read the address that is burnt into the chip.

        Raises:
            InfrastructureError: no port or no sync; check wiring and power.
        """

    @abc.abstractmethod
    def read(self, offset: int, size_bytes: int) -> bytes:
        """Read a part of the flash; the board stays in download mode.

        Raises:
            InfrastructureError: no port or no sync; check wiring and power.
            FlashError: the board answered and then reading failed.
        """

    @abc.abstractmethod
    def flash(self, parts: Mapping[int, bytes]) -> None:
        """Write each content at its offset and verify it; the board stays in download mode.

        Raises:
            InfrastructureError: no port or no sync; check wiring and power.
            FlashError: the board answered and then writing failed; power-cycle it and try again.
        """


class FaultProtocol(abc.ABC):
    """Breaks a board on purpose; only a virtual one can do it."""

    @abc.abstractmethod
    def cut_power_after(self, operations: int) -> None:
        """Take the power away in the n-th flash operation from now."""

    @abc.abstractmethod
    def wait_power_cut(self, timeout_s: float) -> None:
        """Wait until an ordered cut has happened.

        Raises:
            BoardError: the board never did that many flash operations.
        """

    @abc.abstractmethod
    def hang(self) -> None:
        """Let the program stand still; only the watchdog goes on."""

    @abc.abstractmethod
    def brown_out(self) -> None:
        """Let the supply dip, so that the chip resets."""


class LinkProtocol(abc.ABC):
    """The datagrams between a board and its gateway, passed on, disturbed and recorded."""

    @property
    @abc.abstractmethod
    def uri(self) -> str:
        """Where the board finds its gateway."""

    @abc.abstractmethod
    def attach(self, gateway: tuple[str, int]) -> None:
        """Pass datagrams on to this gateway from now on."""

    @abc.abstractmethod
    def disturb(
        self,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay_s: float = 0.0,
    ) -> None:
        """Treat datagrams like this from now on; without arguments the link is good again."""

    @abc.abstractmethod
    def cut(self) -> None:
        """Lose everything until `disturb` is called."""

    @abc.abstractmethod
    def rebind(self) -> None:
        """Speak to the gateway from another port, as after a NAT forgot the node."""
