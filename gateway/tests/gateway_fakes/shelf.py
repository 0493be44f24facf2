"""Releases of the gateway that are noted instead of installed; port SoftwareShelf."""

from collections.abc import Collection

from poleward_gateway.domain.errors import StorageError
from poleward_gateway.domain.software import INSTALLED, Schema, SoftwareRecord
from poleward_gateway.ports.software import ReleaseNames


class FakeShelf:
    """What a launcher would find.

    Attributes:
        installed: Releases by digest.
        free: Bytes of the disk.
        written_schema: Of the database of every release.
        is_full: The disk takes nothing.
    """

    def __init__(self) -> None:
        self.installed: dict[bytes, ReleaseNames] = {}
        self.written = SoftwareRecord()
        self.running = INSTALLED
        self.has_launcher = True
        self.free = 1 << 40
        self.written_schema = Schema(1, 1)
        self.is_full = False

    def record(self) -> SoftwareRecord:
        return self.written

    def write(self, record: SoftwareRecord) -> None:
        if self.is_full:
            raise StorageError("no space left on device")
        self.written = record

    def free_bytes(self) -> int:
        return self.free

    def is_whole(self, release: bytes) -> bool:
        return release in self.installed

    def names(self, release: bytes) -> ReleaseNames | None:
        return self.installed.get(release)

    def install(self, release: bytes, envelope: bytes, component: bytes) -> None:
        assert component
        self.installed[release] = ReleaseNames("1.2.0", 2)

    def schema(self, release: bytes) -> Schema:
        return self.written_schema

    def remove_others(self, kept: Collection[bytes]) -> None:
        self.installed = {r: names for r, names in self.installed.items() if r in kept}
