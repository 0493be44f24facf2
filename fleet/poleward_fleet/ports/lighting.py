"""What the services need to keep lighting.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.lighting import (
    GatewayLighting,
    Group,
    LampPlace,
    LightingKind,
    LightingOverview,
    Program,
    Rule,
    Scene,
)
from poleward_fleet.ports.areas import AllowedAreas


class LightingStore(Protocol):
    """Programs and who follows them, groups, scenes, rules."""

    async def put(self, item: Program | Scene | Rule, audit: AuditEntry) -> None:
        """Add something or change what has its name."""

    async def put_group(self, group: Group, *, add: bool, audit: AuditEntry) -> None:
        """Add a group, or change the one of its name; `add` keeps the poles that are in it.

        Raises:
            NotFoundError: A pole does not exist.
        """

    async def remove(self, kind: LightingKind, name: str, audit: AuditEntry) -> None:
        """Remove something.

        Raises:
            NotFoundError: There is none of this name.
            ConflictError: A program that poles follow.
        """

    async def assign(self, program: str, pole_codes: Sequence[str], audit: AuditEntry) -> None:
        """Give poles a program; an empty name takes theirs away.

        Raises:
            NotFoundError: There is no such program or pole.
        """

    async def overview(self, allowed: AllowedAreas) -> LightingOverview:
        """Return everything; of groups and counts only the poles in the allowed areas."""

    async def program(self, name: str) -> Program | None:
        """Return a program."""

    async def scene(self, name: str) -> Scene | None:
        """Return a scene."""

    async def lamps_of_group(self, name: str) -> list[LampPlace] | None:
        """Return the poles of a group, by code; None when there is no such group."""

    async def lamps_of_area(self, area_codes: Sequence[str]) -> list[LampPlace]:
        """Return the poles of areas, by code."""

    async def lamps(self, pole_codes: Sequence[str]) -> list[LampPlace]:
        """Return the poles that exist among these, by code."""

    async def gateway_lighting(self, gateway_name: str) -> GatewayLighting:
        """Return what a gateway needs to run its lamps by itself."""
