"""What a test holds of one board: its instruments, and its node as the fleet sees it.

Not how it came into its state; the strategy does that.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labgrid import Target
from labgrid.protocol import PowerProtocol

from hil_tests.instruments.console import BoardConsole
from hil_tests.instruments.errors import BoardError
from hil_tests.instruments.packet_capture import encode_pcap
from hil_tests.instruments.protocols import FaultProtocol
from hil_tests.instruments.provisioning import Provisioner
from hil_tests.instruments.udp_link import UdpLinkDriver
from hil_tests.strategies.node_strategy import NodeStrategy
from poleward_tools.exit_codes import CommandError

_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class BenchBoard:
    """A board of the rig in the hands of a test."""

    target: Target
    strategy: NodeStrategy
    provisioner: Provisioner

    @property
    def name(self) -> str:
        """Its name in the rig's file."""
        return str(self.target.name)

    @property
    def console(self) -> BoardConsole:
        """Its console."""
        return self.strategy.console

    @property
    def power(self) -> PowerProtocol:
        """Its power."""
        return self.strategy.power

    @property
    def link(self) -> UdpLinkDriver:
        """Its link to the gateway."""
        return self.strategy.link

    @property
    def faults(self) -> FaultProtocol:
        """What breaks it; only on rigs with the feature `faults`."""
        return self.target.get_driver(FaultProtocol)

    def is_online(self) -> bool:
        """Tell whether the fleet says that the node is online."""
        return self.provisioner.view(self.strategy.mac).link_state == "online"

    def boots(self) -> int:
        """Tell of how many boots reports are stored."""
        return len(self.provisioner.counts(self.strategy.mac))

    def reports(self) -> int:
        """Tell how many of the node's reports are stored."""
        return sum(count.reports for count in self.provisioner.counts(self.strategy.mac))

    def lost_reports(self) -> int:
        """Tell how many reports are missing between the first and the last of each boot."""
        return sum(
            count.last_sequence - count.first_sequence + 1 - count.reports
            for count in self.provisioner.counts(self.strategy.mac)
        )

    def wait_reports(self, more: int) -> None:
        """Wait until this many further reports are stored.

        Raises:
            BoardError: they do not come in time.
        """
        before = self.reports()
        self.wait_until(lambda: self.reports() >= before + more, f"{more} more reports")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, while fleet and gateway run and the board does not loop.

        Raises:
            BoardError: it does not hold in 60 s.
            BootLoopError: the board restarts again and again.
        """

        def holds_now() -> bool:
            self.console.watch.check()
            return holds()

        city = self.provisioner.city
        try:
            city.wait_until(holds_now, what=f"{self.name}: {what}", timeout_s=_DEADLINE_S)
        except CommandError as error:
            raise BoardError(str(error)) from error

    def lease(self) -> None:
        """Start afresh: a good link, and no power until the test wants it."""
        strategy = self.strategy
        strategy.transition("off")
        self.link.attach(_address(self.provisioner.city.coap))
        self.link.disturb()

    def save_artefacts(self, folder: Path) -> None:
        """Write console, capture and description of the board into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "console.log").write_text(self.console.text(), encoding="utf-8")
        (folder / "link.pcap").write_bytes(encode_pcap(list(self.link.recorded)))
        (folder / "board.json").write_text(json.dumps(self.describe(), indent=2), encoding="utf-8")

    def describe(self) -> dict[str, object]:
        """Tell what the board is and runs."""
        release = self.provisioner.release
        return {
            "board": self.name,
            "mac": self.strategy.mac.hex(),
            "rig": str(self.target.env.config_file),
            "firmware_version": release.version,
            "firmware_sha256": hashlib.sha256(release.bundle).hexdigest(),
            "boots": [boot.cause.value for boot in self.console.watch.boots],
            "datagrams": len(self.link.recorded),
            "datagrams_unrecorded": self.link.unrecorded,
        }


def _address(uri: str) -> tuple[str, int]:
    host, _, port = uri.removeprefix("coap://").rpartition(":")
    return host, int(port)
