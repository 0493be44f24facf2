"""Loads test vectors of `protos/nodelink/vectors`, on both Pythons."""

import json
import os


def load(name: str):
    """Return the content of `<name>.json`."""
    # The VM runs compiled tests elsewhere and is told where the vectors are.
    folder = os.getenv("POLEWARD_VECTORS")
    if folder is None:
        folder = __file__.rsplit("/", 4)[0] + "/protos/nodelink/vectors"
    with open(folder + "/" + name + ".json") as file:
        return json.load(file)
