"""Simulated nodes: real MicroPython processes with models in place of the chip's peripherals.

What the nodes run is in firmware/; this package only gives them a body.
"""

from pathlib import Path


def vm_process_path() -> Path:
    """The program that becomes a VM."""
    return Path(__file__).with_name("vm_process.py")
