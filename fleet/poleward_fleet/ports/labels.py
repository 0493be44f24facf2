"""What the services need to keep labels of poles.

Not an implementation (adapters).
"""

from collections.abc import Collection
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.labels import LabelCount
from poleward_fleet.ports.areas import AllowedAreas


class LabelStore(Protocol):
    """Labels of poles."""

    async def change(
        self,
        pole_codes: Collection[str],
        areas: AllowedAreas,
        *,
        add: Collection[str],
        remove: Collection[str],
        audit: AuditEntry,
    ) -> None:
        """Give labels to poles and take labels away, all poles or none.

        Raises:
            InvalidError: Some of the poles do not exist in the areas.
        """

    async def counts(self, areas: AllowedAreas) -> list[LabelCount]:
        """Return the labels that poles in the areas carry, by name."""
