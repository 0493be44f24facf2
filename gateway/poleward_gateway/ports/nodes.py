"""Nodes as seen over CoAP, and their keys.

Not what to say to them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from poleward_gateway.domain.lighting import NodeProgram
from poleward_gateway.domain.nodes import (
    DesiredNode,
    DeviceFacts,
    NodeNumber,
)
from poleward_gateway.domain.updates import UpdateReadout


class NodeLink(Protocol):
    """Requests to nodes. All raise NodeUnreachableError and NodeRefusedError."""

    async def settle(
        self, node: NodeNumber, *, report_interval_s: int, lamp_nominal_w: int, now_s: int
    ) -> DeviceFacts:
        """Make a node that just registered ready: Send on, time, interval, wattage; read facts."""

    async def ask_to_register(self, node: NodeNumber) -> None:
        """Have a node send a registration update; one that has no registration here registers."""

    async def ask_to_bootstrap(self, node: NodeNumber) -> None:
        """Have a node ask for its account again, before the keys it has now are refused."""

    async def wipe(self, node: NodeNumber) -> None:
        """Have a node that left forget its operational keys."""

    async def write_time(self, node: NodeNumber, now_s: int) -> None:
        """Set the node's clock."""

    async def set_lamp(
        self,
        node: NodeNumber,
        *,
        instance: int,
        level_percent: int,
        override_until_s: int,
        starts_at_s: int,
        fade_ms: int,
        deadline_s: int,
        give_up_after_s: float,
    ) -> None:
        """Override a lamp; times are Unix seconds, `override_until_s` 0 is until the next."""

    async def answer_call(self, node: NodeNumber, *, reset: bool, give_up_after_s: float) -> None:
        """Accept or end the emergency call of a node."""

    async def read_program_name(self, node: NodeNumber) -> str:
        """Read which program a node runs; empty for none."""

    async def write_program(self, node: NodeNumber, program: NodeProgram) -> None:
        """Give a node a program; one without rules takes its program away."""

    async def reboot(self, node: NodeNumber, *, deadline_s: int, give_up_after_s: float) -> None:
        """Restart a node."""

    async def read_update(self, node: NodeNumber) -> UpdateReadout:
        """Read where the node's updater stands and which release runs."""

    async def announce_trust(self, node: NodeNumber, version: int) -> None:
        """Tell a node that there is a newer trust document; it fetches what it lacks."""

    async def offer_release(self, node: NodeNumber, envelope_digest: bytes) -> None:
        """Tell a node to fetch a release from this gateway."""

    async def take_offer_back(self, node: NodeNumber) -> None:
        """Tell a node to drop what it downloads or downloaded."""

    async def install(self, node: NodeNumber) -> None:
        """Tell a node to install what it downloaded."""

    async def watch_update(self, node: NodeNumber, on_change: Callable[[], None]) -> None:
        """Have the node say when its updater's state changes; ends with its registration."""


class SecurityContexts(Protocol):
    """Security contexts of the node link."""

    async def replace(self, nodes: Sequence[DesiredNode], *, removed: Sequence[NodeNumber]) -> None:
        """Use the keys of these nodes; forget those of the removed."""

    def where(self, node: NodeNumber) -> str:
        """Say from where a node was heard last; empty when that is not known or not proved."""

    def expect(self, node: NodeNumber, where: str) -> None:
        """Take a node to be where it was heard before the gateway was restarted."""
