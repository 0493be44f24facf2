"""What node code imports from MicroPython's `micropython`, for its tests on CPython."""

from typing import TypeVar

T = TypeVar("T")


def const(value: T) -> T:
    """Return `value`; MicroPython folds it at compile time."""
    return value
