"""Which series the values of a report feed, by the id of the report's layout (docs/adr/0005).

Not the reading of a report (report_mapping.py).
"""

import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from poleward_gateway.adapters.node_link.series import series_of_path
from poleward_gateway.domain.errors import NodeError, StorageError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Series
from poleward_gateway.services.jobs import JobPool

_log = structlog.get_logger(__name__)

LAYOUTS_MAX = 1024
"""Layouts that are kept; boards and releases make a handful."""
_TEXT = re.compile(r"/\d{1,5}/\d{1,5}/\d{1,5}(?: /\d{1,5}/\d{1,5}/\d{1,5}){0,63}", re.ASCII)


class LayoutStore(Protocol):
    """Durable layouts (adapters/storage/layouts.py)."""

    def load_now(self) -> dict[int, str]:
        """Read every layout before the event loop serves anybody."""

    async def add(self, layout_id: int, paths: str) -> None:
        """Keep a layout; returns after it is on disk."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the values of a report are, in their order.

    Args:
        count: Values that a report has.
        series: Those that feed a series.
        places: Where those are among the values; None when all do.
    """

    count: int
    series: tuple[Series, ...]
    places: tuple[int, ...] | None


class ReportLayouts:
    """Every layout the gateway knows, and the asking of nodes for others.

    A layout is named by the CRC-32 of its text, so whichever node tells it, it is the same. At
    most LAYOUTS_MAX are kept; a node with a further one is refused.

    Args:
        store: Where layouts survive.
        read_layout: Asks a node for the text of its layout.
        jobs: Does the asking, one piece for each node at a time.
    """

    def __init__(
        self,
        store: LayoutStore,
        read_layout: Callable[[NodeNumber], Awaitable[str]],
        jobs: JobPool,
    ) -> None:
        self._store = store
        self._read_layout = read_layout
        self._jobs = jobs
        self._known = {number: _parse(text) for number, text in store.load_now().items()}
        # What a node could not explain: its report was laid out by a release it no longer runs.
        self._unexplained: dict[NodeNumber, int] = {}

    def find(self, layout_id: int) -> Layout | None:
        """Return a layout; None when no node has told it."""
        return self._known.get(layout_id)

    def can_be_asked(self, node: NodeNumber, layout_id: int) -> bool:
        """Say whether asking a node for a layout may help."""
        return self._unexplained.get(node) != layout_id

    def ask(self, node: NodeNumber, layout_id: int) -> None:
        """Have a node asked for its layout, unless it is being asked."""
        self._jobs.add(("layout", node), lambda: self._learn(node, layout_id))

    async def _learn(self, node: NodeNumber, layout_id: int) -> None:
        """Ask a node and keep what it says."""
        try:
            text = await self._read_layout(node)
            found_id = zlib.crc32(text.encode())
            is_new = found_id not in self._known and len(self._known) < LAYOUTS_MAX
            if is_new and _TEXT.fullmatch(text):
                await self._store.add(found_id, text)
                self._known[found_id] = _parse(text)
                _log.info("layout_learned", node=node, layout=found_id, paths=text)
        except (NodeError, StorageError) as error:
            _log.warning("layout_not_read", node=node, error=str(error))
            return
        if layout_id in self._known:
            self._unexplained.pop(node, None)
        else:
            self._unexplained[node] = layout_id
            _log.warning("layout_unexplained", node=node, layout=layout_id, has=found_id)


def _parse(text: str) -> Layout:
    """Find the series of a layout's paths."""
    found = [series_of_path(path) for path in text.split(" ")]
    places = tuple(place for place, series in enumerate(found) if series is not None)
    return Layout(
        count=len(found),
        series=tuple(series for series in found if series is not None),
        places=None if len(places) == len(found) else places,
    )
