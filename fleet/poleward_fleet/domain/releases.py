"""Signed releases as values.

Not their signatures: verifying is the release reader's work (ports.EnvelopeReader).
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.sbom import SoftwareComponent
from poleward_fleet.domain.trust import ReleaseKey

GATEWAYS = "gateway"
"""Stands where other releases name a kind of board."""


@dataclass(frozen=True, slots=True)
class Release:
    """A published release."""

    digest: bytes  # SHA-256 of the envelope
    version: str
    sequence: int
    board_profile: str
    published_at_ms: int
    notes: str
    bundle_digest: bytes  # SHA-256 of the bundle
    bundle_bytes: int
    image_digest: bytes | None = None  # SHA-256 of the image, where the release has one
    image_bytes: int = 0
    downgrade: str = ""  # who may go back to it: node:<MAC>, gateway:<name>, rollout:<name>
    signers: tuple[bytes, ...] = ()  # ids of the keys that its envelope names

    @property
    def permitted_rollout(self) -> str:
        """Name of the rollout in which all may come from a newer release; empty for none."""
        kind, _, name = self.downgrade.partition(":")
        return name if kind == "rollout" else ""

    def is_way_back_of(self, rollout_name: str, codes: Collection[str]) -> bool:
        """Tell whether all may come from a newer release in the way back of a rollout.

        Args:
            rollout_name: Of the rollout; empty when it has none but its number.
            codes: Of the poles or gateways that it is for; none for others, too.
        """
        if self.permitted_rollout:
            return self.permitted_rollout == rollout_name
        return {self.downgrade} == {f"{GATEWAYS}:{code}" for code in codes}

    @property
    def size_bytes(self) -> int:
        """All that a node may have to download."""
        return self.bundle_bytes + self.image_bytes

    @property
    def is_for_gateways(self) -> bool:
        """Whether gateways run it, not nodes."""
        return self.board_profile == GATEWAYS


@dataclass(frozen=True, slots=True)
class ReleaseDetail:
    """A release with who signed it and what it is made of.

    Args:
        signers: Known keys; None in the place of a key that the fleet never trusted.
        components: As its bill of materials says; empty without one.
    """

    release: Release
    signers: tuple[tuple[bytes, ReleaseKey | None], ...]  # by key id
    components: tuple[SoftwareComponent, ...]


class PatchState(Enum):
    """How far the patch from one release to another is."""

    NONE = "none"
    MAKING = "making"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Patch:
    """The patch from one component to another, or that there is none worth its bytes."""

    state: PatchState
    digest: bytes = b""  # SHA-256, when it is ready
    size_bytes: int = 0
