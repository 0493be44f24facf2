"""The gateway's own releases on disk.

Not how they come here; `releases` has that.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from poleward_gateway.domain.software import Schema, SoftwareRecord


@dataclass(frozen=True, slots=True)
class ReleaseNames:
    """How a release is called: for people, and for what is newer."""

    version: str
    sequence: int


class SoftwareShelf(Protocol):
    """The gateway's own releases on disk, and the record of which is tried and kept."""

    @property
    def has_launcher(self) -> bool:
        """Whether a launcher started this gateway, so that it can start another release."""

    @property
    def running(self) -> bytes:
        """The release whose code this process runs, whatever the record says."""

    def record(self) -> SoftwareRecord:
        """Return what is written down."""

    def write(self, record: SoftwareRecord) -> None:
        """Replace what is written down; a crash leaves the old or the new.

        Raises:
            StorageError: It is not on disk.
        """

    def free_bytes(self) -> int:
        """Return how much room there is."""

    def is_whole(self, release: bytes) -> bool:
        """Say whether a release is installed to its end."""

    def names(self, release: bytes) -> ReleaseNames | None:
        """Return how an installed release is called; None for anything else."""

    def install(self, release: bytes, envelope: bytes, component: bytes) -> None:
        """Install a release beside the others; it takes seconds and blocks.

        Raises:
            ArtifactRejectedError: It cannot be installed anywhere.
            InstallationError: It cannot be installed here and now.
        """

    def schema(self, release: bytes) -> Schema:
        """Have an installed release say which database it writes; blocks.

        Raises:
            ArtifactRejectedError: It does not start, or cannot say it.
        """

    def remove_others(self, kept: Collection[bytes]) -> None:
        """Remove every release that is not kept."""
