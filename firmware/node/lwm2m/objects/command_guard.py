"""Object 26244, Command: the deadline that guards the other resources of the same write.

The dispatcher applies it; there is nothing to keep.
"""

ID = 26244
TABLE = {0: "Wt"}
ACTUATORS = ()
