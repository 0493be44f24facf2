"""Which series an LwM2M resource feeds; the ids end here.

Not packs and not layouts.
"""

from nodelink.objects import OBJECTS
from poleward_gateway.domain.telemetry import Series

_PATHS_KEPT_MAX = 4096

# One entry for each path that occurs; paths that no board has are not kept.
_series_of_path: dict[str, Series | None] = {}


def series_of_path(path: str) -> Series | None:
    """Return the series that a resource feeds; None when it feeds none."""
    if path in _series_of_path:
        return _series_of_path[path]
    found = None
    parts = path.split("/")[1:]
    if len(parts) == 3 and all(part.isdecimal() and len(part) <= 5 for part in parts):
        object_id, instance, resource = (int(part) for part in parts)
        entry = OBJECTS.get(object_id, ("", {}))[1].get(resource)
        if entry is not None and entry[4] is not None:
            found = Series(entry[4], instance)
    if len(_series_of_path) < _PATHS_KEPT_MAX:
        _series_of_path[path] = found
    return found
