"""How Python itself runs while the fleet manager serves: what its collector passes over.

Not what runs.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def start_is_kept() -> Iterator[None]:
    """Have the collector pass over what is there when the block begins.

    Modules and schemas are most of all objects and stay; looking through them again and again
    held up everybody for a quarter of a second, and took a fifth of a call's processor time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
