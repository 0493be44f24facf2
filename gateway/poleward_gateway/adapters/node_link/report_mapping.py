"""The border between SenML packs and the gateway's reports and events; LwM2M ids end here.

Not SenML itself (senml.py) and not what happens to a report.
"""

import array
import json
import math
from collections.abc import Callable, Sequence

import cbor2

from poleward_gateway.adapters.node_link.report_layouts import Layout
from poleward_gateway.adapters.node_link.senml import Record
from poleward_gateway.adapters.node_link.series import series_of_path
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Event, Report, Series, Severity

REPORT_OBJECT = 26241
EVENT_OBJECT = 26242
VALUES_PATH = f"/{REPORT_OBJECT}/0/4"

_COUNTER_MAX = (1 << 31) - 1
"""Of boot counts and sequence numbers; event numbers above are the gateway's own
(domain/telemetry.py), and the fleet keeps 31 bits of the others."""
RELATIVE_BELOW_S = 1 << 28
"""RFC 8428, 4.5.3: a time below this is relative to now."""
_TEXT_MAX = 200
_LAYOUTS_KEPT_MAX = 4096


class PackError(ValueError):
    """The pack is neither a report nor an event; the node must correct it."""


class UnknownLayoutError(Exception):
    """The report's values are laid out in a way no node has told yet; ask for it.

    Args:
        layout_id: Which way.
    """

    def __init__(self, layout_id: int) -> None:
        super().__init__(f"layout {layout_id} is not known")
        self.layout_id = layout_id


FindLayout = Callable[[int], Layout | None]


_layouts: dict[tuple[Series, ...], tuple[Series, ...]] = {}


def is_event(records: Sequence[Record]) -> bool:
    """Say whether a pack is an event."""
    return any(record.path.startswith(f"/{EVENT_OBJECT}/") for record in records)


def to_report(
    node: NodeNumber, records: Sequence[Record], now_ms: int, find_layout: FindLayout
) -> Report:
    """Make a report of a pack; its readings have names, or are values in a layout, or both.

    Readings of resources that feed no metric are left out; a value that is no number becomes NaN.

    Raises:
        PackError: Boot count or sequence number is missing or out of range, or the values do not
            fit their layout.
        UnknownLayoutError: Ask the node for its layout, and the report again.
    """
    keys: dict[int, object] = {}
    series: list[Series] = []
    values: list[float] = []
    time_s: float | None = None
    for record in records:
        if record.path.startswith(f"/{REPORT_OBJECT}/0/"):
            keys[_resource_id(record.path)] = record.value
            if record.path == VALUES_PATH:
                if not isinstance(record.value, bytes):
                    raise PackError("the values are not opaque")
                time_s = record.time_s if time_s is None else time_s
                laid_out, numbers = to_readings(record.value, find_layout)
                series += laid_out
                values += numbers
            continue
        found = series_of_path(record.path)
        if found is None:
            continue
        if time_s is None:
            time_s = record.time_s
        series.append(found)
        values.append(_as_float(record.value))
    if time_s is None:
        time_s = records[0].time_s
    layout = tuple(series)
    if len(_layouts) < _LAYOUTS_KEPT_MAX:
        layout = _layouts.setdefault(layout, layout)
    return Report(
        node,
        _counter(keys.get(0), "boot count", _COUNTER_MAX),
        _counter(keys.get(1), "sequence number", _COUNTER_MAX),
        absolute_ms(time_s, now_ms),
        layout,
        array.array("d", values),
        _counter(keys[7], "count of the boot before", _COUNTER_MAX) if 7 in keys else None,
    )


def to_readings(
    encoded: bytes, find_layout: FindLayout
) -> tuple[tuple[Series, ...], "array.array[float]"]:
    """Take the values of a report (resource 4 of object 26241) apart.

    Raises:
        PackError: They are not an array, or not as many as the layout has.
        UnknownLayoutError: Ask the node for its layout.
    """
    try:
        layout_id, *values = cbor2.loads(encoded)
        layout = find_layout(layout_id)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PackError(f"the values are not an array: {error}") from error
    if layout is None:
        if isinstance(layout_id, bool) or not isinstance(layout_id, int):
            raise PackError(f"the layout's id is {layout_id!r}")
        raise UnknownLayoutError(layout_id)
    if len(values) != layout.count:
        raise PackError(f"{len(values)} values are not the {layout.count} of the layout")
    if layout.places is not None:
        values = [values[place] for place in layout.places]
    try:
        return layout.series, array.array("d", values)
    except (TypeError, OverflowError):
        # A value is none, no number, or a bignum too big for a double.
        return layout.series, array.array("d", map(_as_float, values))


def dropped_reports(records: Sequence[Record]) -> int:
    """Return how many reports the node says it had to drop."""
    for record in records:
        if record.path == f"/{REPORT_OBJECT}/0/2" and isinstance(record.value, int):
            return max(record.value, 0)
    return 0


def to_event(node: NodeNumber, records: Sequence[Record], now_ms: int) -> Event:
    """Make an event of a pack.

    The detail is a JSON object of texts, or one text, which then has the key "text".

    Raises:
        PackError: A field is missing or out of range.
    """
    fields = {
        _resource_id(record.path): record.value
        for record in records
        if record.path.startswith(f"/{EVENT_OBJECT}/0/")
    }
    kind = fields.get(2)
    if not isinstance(kind, str) or not kind or len(kind) > _TEXT_MAX:
        raise PackError("the event has no kind")
    try:
        severity = Severity(fields.get(3, Severity.INFO.value))
    except ValueError as error:
        raise PackError(f"severity {fields.get(3)!r} is not one of 1, 2, 3") from error
    detail = fields.get(4, "")
    if not isinstance(detail, str):
        raise PackError("the event's detail is not text")
    return Event(
        node=node,
        boot=_counter(fields.get(0), "boot count", _COUNTER_MAX),
        sequence=_counter(fields.get(1), "sequence number", _COUNTER_MAX),
        occurred_at_ms=absolute_ms(records[0].time_s, now_ms),
        kind=kind,
        severity=severity,
        detail=_detail(detail),
    )


def _resource_id(path: str) -> int:
    last = path.rsplit("/", 1)[1]
    return int(last) if last.isdecimal() else -1


def _counter(value: object, name: str, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise PackError(f"the {name} is {value!r}, not an integer from 0 to {maximum}")
    return value


def _as_float(value: object) -> float:
    """Return a reading as a number; booleans count as 0 and 1."""
    if type(value) is float:
        return value
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def absolute_ms(time_s: object, now_ms: int) -> int:
    """Return Unix milliseconds; a node without time sends a time relative to now."""
    if not isinstance(time_s, int | float):
        raise PackError(f"time {time_s!r} is not a number")
    if not -RELATIVE_BELOW_S <= time_s < 1 << 40:
        raise PackError(f"time {time_s!r} is out of range")
    if time_s < RELATIVE_BELOW_S:
        return now_ms + min(int(time_s * 1000), 0)
    return int(time_s * 1000)


def _detail(text: str) -> tuple[tuple[str, str], ...]:
    """Take a detail apart."""
    if not text:
        return ()
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return (("text", text[:_TEXT_MAX]),)
    return tuple((str(key)[:_TEXT_MAX], str(value)[:_TEXT_MAX]) for key, value in fields.items())
