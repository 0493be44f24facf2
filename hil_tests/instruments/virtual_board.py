"""A virtual board as a resource and a driver of labgrid: its process, its power, its faults.

What the board does is in tools/poleward_tools/virtual_board.
"""

import asyncio
import hashlib
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.resource import Resource

from hil_tests.instruments.errors import BoardError, InfrastructureError
from hil_tests.instruments.protocols import FaultProtocol
from poleward_tools.demo.program import Program, ProgramError
from poleward_tools.virtual_board.control import ControlError, tell

_START_S = 60.0
_POLL_S = 0.05
_OFF_S = 0.2


@target_factory.reg_resource
@attr.s(eq=False)
class VirtualBoard(Resource):
    """A board that exists as a process.

    Args:
        chip: esp32, esp32c3 or esp32s3.
        flash_mib: size of its flash.
        pace: highest baud rate of its line; None for no waiting.
    """

    chip = attr.ib(default="esp32", validator=attr.validators.instance_of(str))
    flash_mib = attr.ib(default=4, validator=attr.validators.instance_of(int))
    pace = attr.ib(
        default=None, validator=attr.validators.optional(attr.validators.instance_of(int))
    )


@target_factory.reg_driver
@attr.s(eq=False)
class VirtualBoardDriver(Driver, PowerProtocol, FaultProtocol):
    """Runs the board of a target while active; its flash is blank at first and then kept."""

    bindings: ClassVar[dict[str, object]] = {"board": VirtualBoard}
    speed = 115200

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        # Short: the address of a Unix socket has at most 107 bytes.
        self._folder = Path(mkdtemp(prefix="poleward-rig-"))
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """The serial port that tools are given."""
        return str(self._folder / "port")

    @property
    def chip(self) -> str:
        """Which chip it is."""
        return str(self.board.chip)

    def on_activate(self) -> None:
        """Start the board's process with the power off.

        Raises:
            InfrastructureError: it does not start; the message holds the end of its log.
        """
        self._folder.mkdir(exist_ok=True)
        # Its own, and the same in every run.
        mac = "24ec4a" + hashlib.sha256(self.target.name.encode()).hexdigest()[:6]
        arguments = [
            "board", "run", "--flash", str(self._folder / "flash.bin"), "--chip", self.chip,
            "--flash-mib", str(self.board.flash_mib), "--mac", mac, "--link", self.url,
            "--control", str(self._control), "--json",
        ]  # fmt: skip
        if self.board.pace:
            arguments += ["--pace", str(self.board.pace)]
        self._program = Program("virtual board", arguments, log=self._folder / "board.log")
        self._program.start()
        give_up_at = time.monotonic() + _START_S
        while True:
            try:
                self._program.check()
                asyncio.run(tell(self._control, {"power": False}))
                return
            except ProgramError as error:
                raise InfrastructureError(str(error)) from error
            except OSError as error:
                if time.monotonic() > give_up_at:
                    raise InfrastructureError(f"no board after {_START_S:.0f} s") from error
                time.sleep(_POLL_S)

    def on_deactivate(self) -> None:
        """End the process and forget the flash."""
        if self._program:
            self._program.stop()
            self._program = None
        shutil.rmtree(self._folder, ignore_errors=True)

    @Driver.check_active
    def on(self) -> None:
        """Give the board its power."""
        self._tell(power=True)

    @Driver.check_active
    def off(self) -> None:
        """Take the board's power away and forget an ordered cut."""
        self._tell(power=False, cut_after=None)

    @Driver.check_active
    def cycle(self) -> None:
        """Take the power away and give it back."""
        self.off()
        # What the board sent before is read by then, so that it is not taken for something new.
        time.sleep(_OFF_S)
        self.on()

    @Driver.check_active
    def cut_power_after(self, operations: int) -> None:
        """Take the power away in the n-th flash operation from now."""
        self._tell(cut_after=operations)

    @Driver.check_active
    def wait_power_cut(self, timeout_s: float) -> None:
        """Wait until an ordered cut has happened."""
        give_up_at = time.monotonic() + timeout_s
        while self._tell(state=True)["mode"] != "off":
            if time.monotonic() > give_up_at:
                raise BoardError(f"the ordered power cut did not come in {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    @Driver.check_active
    def hang(self) -> None:
        """Let the program stand still; only the watchdog goes on."""
        self._tell(hang=True)

    @Driver.check_active
    def brown_out(self) -> None:
        """Let the supply dip, so that the chip resets."""
        self._tell(brown_out=True)

    @property
    def _control(self) -> Path:
        return self._folder / "control"

    def _tell(self, **commands: Any) -> dict[str, Any]:
        try:
            return asyncio.run(tell(self._control, commands))
        except (OSError, ControlError) as error:
            raise InfrastructureError(f"the virtual board does not answer: {error}") from error
