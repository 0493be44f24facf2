"""Object 26241, Report: how often the node reports, its last report, and its layout.

Not the reports: `node.lwm2m.reports` builds them.
"""

from micropython import const

from node.lwm2m.account import read_integer
from node.lwm2m.refusal import VALUE, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_INTERVAL_DEFAULT_S = const(60)
_MADE = "reports"


class Report:
    """The idempotency key (boot count, sequence number) and the interval.

    How many reports a boot has made is kept in NVS, so that the next boot can say what became of
    the last ones (docs/adr/0056).

    Args:
        boot_count: Of this boot.
        storage: NVS namespace that keeps the interval and that count.
        on_interval: Called when the interval changed.
    """

    ID = 26241
    TABLE = {0: "Ri", 1: "Ri", 2: "Ri", 3: "RWi", 4: "Ro", 5: "Rs", 6: "Ri", 7: "Ri"}
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
        self.interval_s = read_integer(storage, "interval_s", _INTERVAL_DEFAULT_S)
        # None when the boot before did not count.
        self.made_before: "int | None" = read_integer(storage, _MADE, -1)
        if self.made_before < 0:
            self.made_before = None
        self._keep(_MADE, 0)

    def count(self) -> None:
        """Count a report that was made."""
        self.sequence += 1
        self._keep(_MADE, self.sequence)

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
            self.made_before,
        )[resource]

    def write(self, values: "dict[int, Any]") -> None:
        """Set the interval."""
        interval_s = values[3]
        if not 1 <= interval_s <= 86400:
            raise RefusedError(VALUE, "interval: 1 to 86400 s")
        if interval_s != self.interval_s:
            self.interval_s = interval_s
            self._keep("interval_s", interval_s)
            self._on_interval()

    def _keep(self, key: str, value: int) -> None:
        self._storage.set_i32(key, value)
        self._storage.commit()
