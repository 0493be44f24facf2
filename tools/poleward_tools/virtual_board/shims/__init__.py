"""Modules that the simulated node finds in place of the chip's; they run on MicroPython.

Nothing here is imported by CPython code.
"""

from pathlib import Path


def start_path() -> Path:
    """The script that a simulated node runs at reset."""
    return Path(__file__).with_name("start.py")
