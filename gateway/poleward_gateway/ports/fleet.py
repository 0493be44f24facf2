"""The stream to the fleet.

Not when to send what.
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_commissioning.visit import SiteVisit
from poleward_gateway.domain.commands import CommandResult
from poleward_gateway.domain.nodes import (
    NodeState,
)
from poleward_gateway.domain.software import GatewaySoftware
from poleward_gateway.domain.strangers import StrangersSeen
from poleward_gateway.ports.spool import EventBatch, ReportBatch


class FleetStream(Protocol):
    """The open stream to the fleet, for sending; nothing here waits for an answer.

    Raises PeerUnreachableError when the stream is gone; the caller ends and is run again.
    """

    async def send_reports(self, batch: ReportBatch) -> None:
        """Send a batch of reports."""

    async def send_events(self, batch: EventBatch) -> None:
        """Send a batch of events."""

    async def send_states(self, states: Sequence[NodeState]) -> None:
        """Send the reported state of nodes."""

    async def send_visit(self, visit: SiteVisit) -> None:
        """Send a technician's visit."""

    async def send_result(self, result: CommandResult) -> None:
        """Send the outcome of a command."""

    async def send_software(self, software: GatewaySoftware) -> None:
        """Send what the gateway itself runs."""

    async def send_strangers(self, seen: StrangersSeen) -> None:
        """Send whom the gateway refused."""
