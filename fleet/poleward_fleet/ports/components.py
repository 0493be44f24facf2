"""What the services need to know which nodes run which components.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.sbom import Affected, SoftwareComponent
from poleward_fleet.ports.areas import AllowedAreas


class ComponentStore(Protocol):
    """Components of releases."""

    async def put(self, release_digest: bytes, components: Sequence[SoftwareComponent]) -> None:
        """Keep what a release is made of; the same again is harmless."""

    async def of_release(self, release_digest: bytes) -> tuple[SoftwareComponent, ...]:
        """Return what a release is made of, by name; empty when nobody said."""

    async def affected(
        self, component: str, below: tuple[int, ...], areas: AllowedAreas, limit: int
    ) -> Affected:
        """Find the nodes whose running release has a component below a version.

        Args:
            component: Its name.
            below: What `version_order` gives.
            areas: Where to look; None for everywhere, also nodes that stand in no pole.
            limit: How many nodes to name.
        """
