"""Starts the application of the slot that boot.py chose; resets the board when an error ends it.

Not replaced over the air, so it knows one name of the application only.
"""

import sys
import time

# Long enough to break in over the console, short enough for a street that waits for its lamps.
_PAUSE_S = 10

try:
    import node.start

    node.start.run()
except Exception as error:
    sys.print_exception(error)
    try:
        from machine import reset
    except ImportError:
        raise error  # without a chip whoever started us starts us again
    time.sleep(_PAUSE_S)
    reset()
