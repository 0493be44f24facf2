"""Modules that are loaded for one piece of work and dropped after it, so that they cost no heap.

Not a cache: the next piece of work loads them again. Import them in a function and keep no
reference to anything in them.
"""

import gc
import sys


def drop(package: str, names: "tuple[str, ...]") -> None:
    """Forget modules of a package, loaded or not, and give their heap back."""
    parent = sys.modules[package]
    for name in names:
        sys.modules.pop(package + "." + name, None)
        if hasattr(parent, name):
            delattr(parent, name)
    gc.collect()
