"""What the gateway keeps on disk besides what waits for the fleet.

Not releases; those are in `releases` and `software`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from poleward_commissioning.work_order import WorkOrder
from poleward_gateway.domain.commands import CommandResult
from poleward_gateway.domain.lighting import Lighting
from poleward_gateway.domain.nodes import (
    DesiredChange,
    DesiredNode,
    NodeNumber,
    Registration,
)
from poleward_gateway.domain.site_visits import KeptVisit
from poleward_gateway.domain.trust import Signers
from poleward_gateway.domain.updates import DesiredRelease, NodeUpdate


class SecretBox(Protocol):
    """Seals secrets that are written to disk."""

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` must be the same to open it, so that entries cannot be swapped."""

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt.

        Raises:
            ConfigurationError: The key is another one, or the data was altered.
        """


class DesiredStore(Protocol):
    """Desired state, as received; survives restarts."""

    def revision(self) -> int:
        """Return the revision that is stored; 0 for none."""

    def nodes(self) -> list[DesiredNode]:
        """Return every node."""

    def signers(self) -> Signers:
        """Return who may sign releases, as the fleet says."""

    def trust_documents(self) -> tuple[bytes, ...]:
        """Return the digest of each trust document that the fleet has, from number 1 on."""

    def own_release(self) -> DesiredRelease:
        """Return what the gateway itself should run."""

    async def apply(self, change: DesiredChange) -> None:
        """Store a change; returns after it is on disk."""


class LightingStore(Protocol):
    """Lighting, as received; survives restarts."""

    def lighting(self) -> Lighting:
        """Return what is stored."""

    async def save(self, lighting: Lighting) -> None:
        """Store other lighting; returns after it is on disk."""


class SiteStore(Protocol):
    """The work order and technicians' visits; survive restarts."""

    def order(self) -> WorkOrder | None:
        """Return the order that is held; None for none."""

    async def save_order(self, order: WorkOrder, *, forget_before_ms: int) -> None:
        """Hold another order; visits that the fleet knows and that began before may go."""

    def visits(self) -> Mapping[str, KeptVisit]:
        """Return every visit by id."""

    async def keep(self, kept: KeptVisit) -> None:
        """Keep a visit as it is now; returns after it is on disk."""


class CommandStore(Protocol):
    """Which commands were begun and how they ended; survives restarts."""

    async def begin(self, deadlines_ms: Mapping[bytes, int]) -> set[bytes]:
        """Note that commands, by id, are about to be sent; return those not noted before."""

    async def finish(self, result: CommandResult) -> None:
        """Note how a command ended."""

    async def result(self, command_id: bytes) -> CommandResult | None:
        """Return how a command ended, if it did."""

    async def undelivered(self) -> list[CommandResult]:
        """Return the outcomes that the fleet has not been told, oldest first."""

    async def unfinished(self) -> list[bytes]:
        """Return commands that were begun and have no outcome: the gateway stopped in between."""

    async def delivered(self, command_id: bytes) -> None:
        """Note that the fleet was told."""

    async def undeliver(self, command_id: bytes) -> None:
        """Have the fleet told once more."""

    async def forget_before(self, deadline_ms: int) -> None:
        """Drop delivered commands whose deadline is long past."""


class RegistrationStore(Protocol):
    """Registrations; survive restarts."""

    def registrations(self) -> dict[NodeNumber, Registration]:
        """Return what is stored."""

    async def save(self, changed: Sequence[Registration], ended: Sequence[NodeNumber]) -> None:
        """Store some and forget others; returns after it is on disk."""


class UpdateStore(Protocol):
    """Progress of updates; survives restarts."""

    def progress(self) -> dict[NodeNumber, NodeUpdate]:
        """Return the progress of every node that has any."""

    async def save(self, node: NodeNumber, update: NodeUpdate | None) -> None:
        """Store or forget the progress of a node."""
