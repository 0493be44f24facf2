"""What the services need to keep strangers.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.strangers import Sighting, Stranger
from poleward_fleet.ports.areas import AllowedAreas


class StrangerStore(Protocol):
    """Whom gateways refused, at most SIGHTINGS_MAX of each gateway."""

    async def keep(self, gateway_name: str, sightings: Sequence[Sighting]) -> int:
        """Store what a gateway saw; return the gateway's number, which its alarms are under."""

    async def strangers(self, allowed: AllowedAreas, *, limit: int) -> list[Stranger]:
        """Return strangers at gateways of these areas, the newest first."""
