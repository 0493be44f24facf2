"""How Python itself runs while the gateway serves: its collector and the turns of its threads.

Not what runs.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator

ALLOCATIONS_PER_COLLECTION = 20_000
"""Messages under way are thousands of objects that die by themselves: collecting every 700, as
Python does by default, finds nothing and passes over all that are alive again and again."""

SWITCH_INTERVAL_S = 0.0005
"""While the event loop empties the socket, the database's thread waits so long for each of its
turns, of which it needs several for one commit."""


@contextlib.contextmanager
def serving_at_ease() -> Iterator[None]:
    """Set the interpreter for serving inside a block; begin it when what stays has been made."""
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION, *thresholds[1:])
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
