"""Object 26241, Report: how often the node reports, its last report, and its layout.

Not the reports: `node.lwm2m.reports` builds them.
"""

from micropython import const

from node.lwm2m.refusal import VALUE, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_INTERVAL_DEFAULT_S = const(60)


class Report:
    """The idempotency key (boot count, sequence number) and the interval.

    Args:
        boot_count: Of this boot.
        storage: NVS namespace that keeps the interval.
        on_interval: Called when the interval changed.
    """

    ID = 26241
    TABLE = {0: "Ri", 1: "Ri", 2: "Ri", 3: "RWi", 4: "Ro", 5: "Rs", 6: "Ri"}
    ACTUATORS = ()

    def __init__(self, boot_count: int, storage: "Any", on_interval: "Callable[[], None]") -> None:
        self.boot_count = boot_count
        self.sequence = 0
        self.dropped = 0
        # The last report's values, and how reports are laid out; the reporter's to set.
        self.values = b""
        self.layout = ""
        self.layout_id = 0
        self._storage = storage
        self._on_interval = on_interval
        try:
            self.interval_s = storage.get_i32("interval_s")
        except OSError:
            self.interval_s = _INTERVAL_DEFAULT_S

    def read(self, resource: int) -> "Any":
        """Give a value."""
        return (
            self.boot_count,
            self.sequence,
            self.dropped,
            self.interval_s,
            self.values,
            self.layout,
            self.layout_id,
        )[resource]

    def write(self, values: "dict[int, Any]") -> None:
        """Set the interval."""
        interval_s = values[3]
        if not 1 <= interval_s <= 86400:
            raise RefusedError(VALUE, "interval: 1 to 86400 s")
        if interval_s != self.interval_s:
            self.interval_s = interval_s
            self._storage.set_i32("interval_s", interval_s)
            self._storage.commit()
            self._on_interval()
