"""Brings a board from any state to one of: off, flashed, booted, bootstrapped, registered.

Not what it is flashed with and where its gateway is: a supply, set by the fixtures, knows that.
"""

import enum
from collections.abc import Collection, Mapping
from typing import ClassVar, Protocol

import attr
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.strategy import Strategy

from hil_tests.instruments.boot_watch import ResetCause
from hil_tests.instruments.console import BoardConsole
from hil_tests.instruments.errors import InfrastructureError
from hil_tests.instruments.flash_parts import nvs_place, rerouted
from hil_tests.instruments.protocols import FlashProtocol, LinkProtocol

BOOT_S = 120.0
BOOTSTRAP_S = 120.0
REGISTER_S = 120.0
# Printed by firmware/node/app.py and firmware/node/lwm2m/client.py.
STARTED_LINE = r"^node urn:dev:mac:[0-9a-f]{12} release \S+"
BOOTSTRAPPED_LINE = r"^bootstrapped$"
REGISTERED_LINE = r"^registered at \S+"


class Status(enum.Enum):
    """How far a board is; each state contains those before it."""

    unknown = 0
    off = 1
    flashed = 2
    booted = 3
    bootstrapped = 4
    registered = 5


class Supply(Protocol):
    """Knows what a board is flashed with and makes it known to the fleet."""

    def parts_for(self, mac: bytes, gateway_uri: str, *, is_new: bool) -> Mapping[int, bytes]:
        """Return contents by offset.

        Args:
            mac: of the board.
            gateway_uri: where it shall bootstrap.
            is_new: False to leave its NVS and so its keys alone.
        """


@target_factory.reg_driver
@attr.s(eq=False)
class NodeStrategy(Strategy):
    """Drives power, console, flasher and link of one board.

    A board is flashed with an identity once in a session; its keys stay in its NVS after that, as
    on a pole. `transition` may be called after any failure: it starts from a power cut then.
    """

    bindings: ClassVar[dict[str, object]] = {
        "power": PowerProtocol,
        "console": BoardConsole,
        "flasher": FlashProtocol,
        "link": LinkProtocol,
    }
    status = attr.ib(default=Status.unknown)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.supply: Supply | None = None
        self.mac = b""
        self._has_software = False
        self._has_identity = False
        self._is_routed = False
        self._booted_at = 0

    def transition(self, status: Status | str) -> None:
        """Bring the board into a state.

        Raises:
            InfrastructureError: the rig does not work; check it with `poleward rig check`.
            BoardError: the board did something else; the console's record tells what.
        """
        wanted = Status[status] if isinstance(status, str) else status
        if wanted is Status.unknown:
            raise ValueError("no board can be brought into an unknown state")
        for driver in (self.power, self.link, self.console, self.flasher):
            self.target.activate(driver)
        if self.status.value >= wanted.value and wanted is not Status.off:
            return
        reached, self.status = self.status, Status.unknown
        if reached is Status.unknown or wanted is Status.off:
            self.power_off()
            reached = Status.off
        steps = {
            Status.flashed: self._flash,
            Status.booted: self.boot,
            Status.bootstrapped: self._wait_bootstrapped,
            Status.registered: self._wait_registered,
        }
        for state, step in steps.items():
            if reached.value < state.value <= wanted.value:
                step()
                reached = state
        self.status = reached

    def power_off(self) -> None:
        """Take the board's power away."""
        self.console.note("power off")
        self.power.off()
        self.status = Status.off

    def boot(self) -> None:
        """Power-cycle the board and wait until the node's program runs."""
        self.power.off()
        self.console.note("power on")
        self._booted_at = self.console.mark()
        self.power.cycle()
        self.wait_started(since=self._booted_at)

    def flash_again(self) -> None:
        """Write the software once more; the node keeps its identity and keys."""
        self._has_software = False
        self.transition(Status.off)
        self.transition(Status.flashed)

    def forget_software(self) -> None:
        """Take the flash for incomplete, after writing it was broken off."""
        self._has_software = False
        self.status = Status.unknown

    def wait_started(
        self,
        *,
        since: int,
        allowing: Collection[ResetCause] = (ResetCause.POWER_ON,),
        timeout_s: float = BOOT_S,
    ) -> None:
        """Wait until the node's program runs; any other reset ends the wait at once."""
        self.console.wait_for(STARTED_LINE, timeout_s, since=since, allowing=allowing)

    def wait_registered(
        self,
        *,
        since: int,
        allowing: Collection[ResetCause] = (ResetCause.POWER_ON,),
        timeout_s: float = REGISTER_S,
    ) -> None:
        """Wait until the node says that it is registered."""
        self.console.wait_for(REGISTERED_LINE, timeout_s, since=since, allowing=allowing)

    def _flash(self) -> None:
        self.power.on()
        if self._has_software:
            return
        if self.supply is None:
            raise InfrastructureError("nobody said what the board is flashed with")
        self.mac = self.flasher.read_mac()
        parts = self.supply.parts_for(self.mac, self.link.uri, is_new=not self._has_identity)
        self.flasher.flash(parts)
        self._has_software = self._has_identity = True

    def _wait_bootstrapped(self) -> None:
        # A node that has its keys does not bootstrap again.
        pattern = f"{BOOTSTRAPPED_LINE}|{REGISTERED_LINE}"
        allowing = (ResetCause.POWER_ON,)
        self.console.wait_for(pattern, BOOTSTRAP_S, since=self._booted_at, allowing=allowing)

    def _wait_registered(self) -> None:
        self.wait_registered(since=self._booted_at)
        if not self._is_routed:
            self._route_through_link()
            self.boot()
            self.wait_registered(since=self._booted_at)

    def _route_through_link(self) -> None:
        """Put the link between the node and its gateway for good."""
        offset, size_bytes = nvs_place()
        self.power.off()
        self.power.on()
        content = rerouted(self.flasher.read(offset, size_bytes), self.link.uri)
        if content is not None:
            self.flasher.flash({offset: content})
        self._is_routed = True
