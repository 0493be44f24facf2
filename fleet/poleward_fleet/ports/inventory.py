"""What the services need to keep areas and poles.

Not an implementation (adapters).
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.inventory import Area, Gateway, Node, Pole, PoleMarker, PoleView, Stay
from poleward_fleet.ports.areas import AllowedAreas


class InventoryStore(Protocol):
    """Areas, poles, nodes and gateways."""

    async def put_areas(self, areas: Sequence[Area], audit: AuditEntry) -> None:
        """Add or update areas.

        Raises:
            InvalidError: A parent does not exist, or a code is no 12-digit code.
        """

    async def areas(self) -> list[Area]:
        """Return all areas by code."""

    async def put_poles(self, poles: Sequence[Pole], audit: AuditEntry) -> tuple[int, int]:
        """Add or update poles, all or none; return how many are new and how many were there.

        Raises:
            InvalidError: An area does not exist or a value is out of range.
        """

    async def poles_named(self, codes: Collection[str]) -> dict[str, Pole]:
        """Return those of the poles that are there, wherever they stand."""

    async def poles(
        self, allowed: AllowedAreas, *, after: str, limit: int, containing: str = ""
    ) -> list[PoleView]:
        """Return poles with code > after, by code."""

    async def nodes(self, allowed: AllowedAreas, *, after: int, limit: int) -> list[Node]:
        """Return nodes with number > after, by number; those in no pole only for all areas."""

    async def pole(self, name: str) -> PoleView | None:
        """Return a pole by its code, the number of its node or its node's endpoint name."""

    async def markers(self, codes: Collection[str] | None) -> list[PoleMarker]:
        """Return what a map needs of the named poles, or of all, by code.

        Nodes that became silent since are found by PoleMarker.at.
        """

    async def pole_codes(self, node_numbers: Collection[int]) -> dict[int, str]:
        """Return the poles that nodes stand in; nodes in none are left out."""

    async def stays(self, pole_code: str) -> list[Stay]:
        """Return which nodes stood in a pole when, the oldest first; the last may go on."""

    async def gateways(self, connected: Collection[str]) -> list[Gateway]:
        """Return all gateways by name; `connected` tells whose stream is open."""
