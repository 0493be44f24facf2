"""The release this is: sources have none, the build of a release replaces this file.

Not the state of the slots, which NVS holds.
"""

VERSION = "0.0.0"
SEQUENCE = 0
