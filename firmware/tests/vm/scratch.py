"""A folder for one test on either Python.

Not pytest's tmp_path, which the VM does not have.
"""

import os


class Scratch:
    """A context manager: gives the path of an empty folder and removes it with its files."""

    def __enter__(self):
        self._path = "/tmp/poleward-" + os.urandom(8).hex()
        os.mkdir(self._path)
        return self._path

    def __exit__(self, *_):
        for name in os.listdir(self._path):
            os.remove(self._path + "/" + name)
        os.rmdir(self._path)
