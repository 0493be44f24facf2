"""The poles of the map as columns in compressed JSON, small enough for 100,000 of them.

Not which poles; the inventory decides that. `static/pole_columns.js` reads what this writes.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from poleward_fleet.domain.inventory import Area, PoleMarker, PoleStatus

# The order is part of the format: a status travels as its place in this row.
STATUS_ORDER = (
    PoleStatus.LIT,
    PoleStatus.DARK,
    PoleStatus.FAULT,
    PoleStatus.SILENT,
    PoleStatus.OFFLINE,
    PoleStatus.WAITING,
    PoleStatus.NO_NODE,
)
_STATUS_DIGIT = {status: index for index, status in enumerate(STATUS_ORDER)}


def _whole(value: float | None, scale: int = 1) -> int:
    """Return a scaled whole number, or -1 for no value (None or NaN)."""
    return -1 if value is None or value != value else round(value * scale)


def _differences(values: list[int]) -> list[int]:
    return [now - before for now, before in zip(values, [0, *values], strict=False)]


def map_columns(
    markers: Sequence[PoleMarker], areas: Sequence[Area], *, at_ms: int
) -> dict[str, Any]:
    """Return the whole map.

    Positions are differences of microdegrees, statuses one digit each, power is in 0.1 W, and
    `heard_ago_s` counts back from `at_ms`; -1 stands for no value.
    """
    area_codes = sorted({marker.area_code for marker in markers})
    area_index = {code: index for index, code in enumerate(area_codes)}
    return {
        "at_ms": at_ms,
        "areas": [
            {"code": area.code, "name": area.name, "parent": area.parent_code} for area in areas
        ],
        "area_codes": area_codes,
        "code": [marker.code for marker in markers],
        "area": [area_index[marker.area_code] for marker in markers],
        "latitude_e6": _differences([round(marker.latitude_deg * 1e6) for marker in markers]),
        "longitude_e6": _differences([round(marker.longitude_deg * 1e6) for marker in markers]),
        "status": "".join(str(_STATUS_DIGIT[marker.status]) for marker in markers),
        "level": [_whole(marker.level_percent) for marker in markers],
        "power_dw": [_whole(marker.power_w, 10) for marker in markers],
        "heard_ago_s": [
            (at_ms - marker.heard_at_ms) // 1000 if marker.heard_at_ms else -1 for marker in markers
        ],
    }


def compressed(columns: Mapping[str, Any]) -> bytes:
    """Return gzip-compressed JSON; level 1, because the time to make it counts more than size."""
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return gzip.compress(text.encode(), compresslevel=1, mtime=0)


def change_columns(markers: Sequence[PoleMarker], *, at_ms: int) -> dict[str, Any]:
    """Return what changed, in the same units as the whole map."""
    return {
        "at_ms": at_ms,
        "code": [marker.code for marker in markers],
        "status": [_STATUS_DIGIT[marker.status] for marker in markers],
        "level": [_whole(marker.level_percent) for marker in markers],
        "power_dw": [_whole(marker.power_w, 10) for marker in markers],
        "heard_ms": [marker.heard_at_ms for marker in markers],
    }
