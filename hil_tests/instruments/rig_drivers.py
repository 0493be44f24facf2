"""Makes all drivers of the rigs known to labgrid; a rig's file imports it.

labgrid loads it by its path, also where this repository is not on the import path.
"""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from hil_tests.instruments import (  # noqa: E402
    console,
    esptool_flasher,
    udp_link,
    virtual_board,
)
from hil_tests.strategies import node_strategy  # noqa: E402

__all__ = ["console", "esptool_flasher", "node_strategy", "udp_link", "virtual_board"]
