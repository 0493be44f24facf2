"""Takes one board through one slot: look, write, verify, test, label, record.

Not several boards (`run.py`), not how a board is talked to (`writer_link.py`).
"""

import hashlib
import re
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from poleward_tools.flash_image.errors import FlashImageError
from poleward_tools.flash_image.node_image import Region, identity_region
from poleward_tools.flash_image.node_nvs import BOOT, TRUST, NodeIdentity, factory_values
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flash_image.partition_table import TYPE_APP
from poleward_tools.flashing.claim_code import hash_claim_code
from poleward_tools.flashing.label import LabelError, print_label, write_label
from poleward_tools.flashing.outcome import BoardOutcome, Result
from poleward_tools.flashing.production import Production
from poleward_tools.flashing.record import PASSED
from poleward_tools.flashing.station import Station
from poleward_tools.flashing.writer_link import BoardError, BoardLink, WriterNursery

DEFAULT_BAUD = 921_600
# What the node prints when its application starts, see firmware/node/app.py.
_NODE_LINE = re.compile(r"node (urn:dev:mac:[0-9a-f]{12}) release (\S+)")
_NODE_MARK = "node urn:dev:mac:"
_MIB = 1 << 20
_CONSOLE_SHOWN = 120

Progress = Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class PreparedRegion:
    """A region as it goes over the line, compressed once for all boards."""

    region: Region
    path: Path
    compressed_bytes: int
    md5: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does with every board.

    Args:
        production: software and trust anchors.
        prepared: the regions that all boards share.
        baud: of the line while writing.
        use_stub: whether esptool's flasher stub is loaded first.
        self_test_s: how long a node may take to print its name; 0 leaves the test out.
        is_rework: whether boards that passed before are written again, with their old identity.
        printer: command of the label printer, empty for none.
    """

    production: Production
    prepared: tuple[PreparedRegion, ...]
    baud: int = DEFAULT_BAUD
    use_stub: bool = False
    self_test_s: float = 30.0
    is_rework: bool = False
    printer: str = ""


def prepare_regions(production: Production, folder: Path) -> tuple[PreparedRegion, ...]:
    """Compress the shared regions into files that every writer reads."""
    prepared = []
    for region in production.software.regions:
        path = folder / f"{region.label}.z"
        compressed = zlib.compress(region.content, 9)
        path.write_bytes(compressed)
        digest = hashlib.md5(region.content, usedforsecurity=False).hexdigest()
        prepared.append(PreparedRegion(region, path, len(compressed), digest))
    return tuple(prepared)


class _RefusedError(Exception):
    """The board is not for this run; the message says why and what to do."""


class SlotWork:
    """One board in one slot, once.

    Args:
        slot: its name, for people and the record.
        port: its serial port.
        station: where identities and record are.
        nursery: makes the connection.
        plan: what is to be done.
        progress: told slot, step and the part of it that is done, 0 to 1.
    """

    def __init__(
        self,
        slot: str,
        port: str,
        *,
        station: Station,
        nursery: WriterNursery,
        plan: Plan,
        progress: Progress,
    ) -> None:
        self._slot = slot
        self._port = port
        self._station = station
        self._nursery = nursery
        self._plan = plan
        self._progress = progress
        self._mac = ""
        self._written_bytes = 0

    def run(self) -> BoardOutcome:
        """Do everything with the board that is there now.

        Raises:
            OSError: the station's own disk fails; no board can be done then.
        """
        started_at = time.monotonic()
        warning = reason = ""
        try:
            self._step("connect")
            with self._nursery.connect(
                self._port, self._plan.baud, use_stub=self._plan.use_stub
            ) as link:
                self._mac = link.facts.mac.hex()
                with self._station.claim(link.facts.mac) as is_free:
                    if not is_free:
                        raise _RefusedError("a board with this address is in another slot now")
                    self._check_board(link)
                    result, warning = self._treat(link)
        except _RefusedError as refusal:
            result, reason = Result.REFUSED, str(refusal)
        except BoardError as error:
            result, reason = Result.FAILED, str(error)
        duration_s = round(time.monotonic() - started_at, 3)
        if result in (Result.REFUSED, Result.FAILED):
            self._station.record.append(
                result.value, mac=self._mac, slot=self._slot, reason=reason, duration_s=duration_s
            )
        self._progress(self._slot, result.value, 1.0)
        return BoardOutcome(
            self._slot, result, self._mac, reason, warning, self._written_bytes, duration_s
        )

    def _step(self, name: str) -> None:
        self._progress(self._slot, name, 0.0)

    def _check_board(self, link: BoardLink) -> None:
        software = self._plan.production.software
        facts = link.facts
        if facts.chip != software.chip:
            raise _RefusedError(f"the board is an {facts.chip}, the image is for {software.chip}")
        if facts.flash_size_bytes < software.flash_size_bytes:
            found = f"{facts.flash_size_bytes // _MIB} MiB" if facts.flash_size_bytes else "unknown"
            raise _RefusedError(
                f"the flash is {found}, the image needs {software.flash_size_bytes // _MIB} MiB"
            )

    def _treat(self, link: BoardLink) -> tuple[Result, str]:
        station, mac = self._station, link.facts.mac
        passed = station.record.passed(self._mac)
        known = station.identity(mac)
        if passed and not self._plan.is_rework:
            self._step("compare")
            if known is None or not self._holds_all(link, known, passed):
                raise _RefusedError(
                    f"address seen before: it passed at {passed['at']} and holds something else "
                    "now; a rework run writes it again with its old identity"
                )
            self._self_test(link, known)
            station.record.append(Result.RECOGNISED.value, mac=self._mac, slot=self._slot)
            return Result.RECOGNISED, ""
        # On the disk before the board gets any of it.
        identity = station.keep_identity(mac, self._plan.production.profile)
        station.record.append("begun", mac=self._mac, slot=self._slot)
        self._write_all(link, identity)
        self._self_test(link, identity)
        self._step("label")
        pdf, _ = write_label(station.labels, identity)
        production = self._plan.production
        station.record.append(
            PASSED, mac=self._mac, slot=self._slot, image=production.software.digest.hex(),
            release=production.version, profile=identity.profile, label=pdf.name,
            claim_code_hash=hash_claim_code(identity.mac, identity.claim_code),
        )  # fmt: skip
        warning = ""
        if self._plan.printer:
            try:
                print_label(self._plan.printer, pdf)
            except LabelError as error:
                warning = f"{error}; print {pdf} later"
                station.record.append("label-not-printed", mac=self._mac, reason=str(error))
        return Result.PASSED, warning

    def _holds_all(self, link: BoardLink, known: NodeIdentity, passed: dict[str, object]) -> bool:
        """Tell whether a board has what it would get.

        A node that has run once wrote to its files and to its NVS; code and identity stay.
        """
        production = self._plan.production
        if passed.get("image") != production.software.digest.hex():
            return False
        table = production.software.table
        for prepared in self._plan.prepared:
            part = table.find(prepared.region.label)
            if part is not None and part.type != TYPE_APP:
                continue
            if not self._is_there(link, prepared.region, prepared.md5):
                return False
        nvs = table.nvs
        if nvs is None:
            return False
        wanted = factory_values(known, production.trust, production.settings)
        try:
            stored = NvsPartition.decode(link.read(nvs.offset, nvs.size_bytes))
            # The node keeps more in the same namespaces once it runs, and counts its boots.
            return all(
                stored.values(namespace).get(key) == value
                for namespace, values in wanted.items()
                for key, value in values.items()
                if namespace != BOOT and key != TRUST
            )
        except FlashImageError:
            return False

    def _write_all(self, link: BoardLink, identity: NodeIdentity) -> None:
        production = self._plan.production
        nvs = identity_region(production.software, identity, production.trust, production.settings)
        self._step("compare")
        missing = [
            prepared
            for prepared in self._plan.prepared
            if not self._is_there(link, prepared.region, prepared.md5)
        ]
        nvs_compressed = zlib.compress(nvs.content, 9)
        total_bytes = sum(part.compressed_bytes for part in missing) + len(nvs_compressed)
        done_bytes = 0

        def sent(of_region_bytes: int) -> None:
            self._progress(self._slot, "write", (done_bytes + of_region_bytes) / total_bytes)

        # The identity goes first: the code that would use it is not whole yet, and a board that
        # fails on its way is worthless without a passing line.
        link.write(nvs.offset, nvs_compressed, sent)
        done_bytes = len(nvs_compressed)
        for prepared in missing:
            link.write_file(prepared.region.offset, str(prepared.path.absolute()), sent)
            done_bytes += prepared.compressed_bytes
        self._written_bytes = done_bytes

    def _is_there(self, link: BoardLink, region: Region, md5: str) -> bool:
        return link.digest(region.offset, len(region.content)) == md5

    def _self_test(self, link: BoardLink, identity: NodeIdentity) -> None:
        """Start the node and have it say its name and its release.

        Raises:
            BoardError: it says something else, or nothing.
        """
        if not self._plan.self_test_s:
            link.start("", 0.0)
            return
        self._step("self-test")
        console = link.start(_NODE_MARK, self._plan.self_test_s)
        found = _NODE_LINE.search(console)
        if found is None:
            raise BoardError(f"self-test: the node does not say its name; {_last_line(console)}")
        name = f"urn:dev:mac:{identity.mac.hex()}"
        if found[1] != name or found[2] != self._plan.production.version:
            raise BoardError(
                f"self-test: the node calls itself {found[1]} release {found[2]}, "
                f"not {name} release {self._plan.production.version}"
            )


def line_limit_s(prepared: Sequence[PreparedRegion], baud: int) -> float:
    """Return the time the shared regions take on a line with ten bits for each byte."""
    return sum(part.compressed_bytes for part in prepared) * 10 / baud


def _last_line(console: str) -> str:
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    return f"its console ends with '{lines[-1][:_CONSOLE_SHOWN]}'" if lines else "no console output"
