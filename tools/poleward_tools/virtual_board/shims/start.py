"""Does on a simulated node what the chip's firmware does at reset: boot.py, then main.py.

It builds nothing of the node. Usage: micropython start.py NODE_FOLDER [RESET_CAUSE]; the working
directory becomes NODE_FOLDER/flash. The exit code 3 asks the board host for a reset.
"""

import os
import sys

folder = sys.argv[1]
os.chdir(folder + "/flash")
sys.path[:] = [__file__.rsplit("/", 1)[0], folder + "/flash", ".frozen"]

import esp32  # type: ignore[import-not-found]  # noqa: E402

esp32.path = folder + "/nvs.json"
# Both in the namespace of the main module, and main.py only after a boot.py that passed.
for script in ("boot.py", "main.py"):
    execfile(folder + "/flash/" + script)  # type: ignore[name-defined]  # noqa: F821
