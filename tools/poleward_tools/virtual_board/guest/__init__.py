"""What runs inside the board's MicroPython: start script, block device and the chip's modules.

Nothing here is imported by CPython code; `application` starts it, `guest_bus` answers it.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
