"""A file system and an NVS in RAM whose power can be cut before any operation that writes.

Not a LittleFS: it keeps what LittleFS promises (a file changes at close or flush, a rename is
atomic) or, with `is_torn`, only what a host's file system does (each write may be half there).
"""

import io


class PowerCut(BaseException):
    """Power failed; no code of the node may go on after it."""


class Flash:
    """Files, directories and NVS keys that survive a cut.

    Attributes:
        operations: how many writing operations there were.
        cut_at: the operation before which power fails; None for never.
    """

    def __init__(self, is_torn: bool = False, room_bytes: int = 900000) -> None:
        self.files: dict[str, bytes] = {}
        self.directories: set[str] = set()
        self.keys: dict[str, int | bytes] = {}
        self.operations = 0
        self.cut_at: int | None = None
        self._is_torn = is_torn
        self._room_bytes = room_bytes
        self.full_for = ""  # files whose names end so find no room

    def power_up(self, cut_at=None):
        """Start counting operations anew."""
        self.operations = 0
        self.cut_at = cut_at

    def before_write(self, path=None, half=None):
        """Count an operation; at the cut leave `half` in the file when writes can tear."""
        if self.cut_at is not None and self.operations >= self.cut_at:
            if self.operations == self.cut_at and self._is_torn and path is not None:
                self.files[path] = half
            self.operations += 1
            raise PowerCut
        self.operations += 1

    # The parts of `os` and `open` that the node uses.

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(2)
            return io.BytesIO(self.files[path])
        if mode == "r+b":
            return _Written(self, path, self.files[path], self._is_torn)
        self._need_parent(path)
        if self.full_for and path.endswith(self.full_for):
            raise OSError(28)
        self.before_write()
        if self._is_torn:
            self.files[path] = b""
        return _Written(self, path, b"", self._is_torn)

    def stat(self, path):
        if path in self.files:
            return (0x8000, 0, 0, 0, 0, 0, len(self.files[path]))
        if path in self.directories:
            return (0x4000, 0, 0, 0, 0, 0, 0)
        raise OSError(2)

    def listdir(self, path):
        self.stat(path)
        start = path + "/"
        inside = list(self.files) + list(self.directories)
        return [
            name[len(start) :]
            for name in inside
            if name.startswith(start) and "/" not in name[len(start) :]
        ]

    def mkdir(self, path):
        if path in self.directories:
            raise OSError(17)
        self._need_parent(path)
        self.before_write()
        self.directories.add(path)

    def rmdir(self, path):
        if self.listdir(path):
            raise OSError(39)
        self.before_write()
        self.directories.remove(path)

    def remove(self, path):
        if path not in self.files:
            raise OSError(2)
        self.before_write()
        del self.files[path]

    def rename(self, old, new):
        self.before_write()
        self.files[new] = self.files.pop(old)

    def statvfs(self, path):
        used = sum([len(contents) // 4088 + 1 for contents in self.files.values()])
        free = self._room_bytes // 4096 - used
        return (4096, 4096, self._room_bytes // 4096, free, free)

    def _need_parent(self, path):
        if "/" in path and path[: path.rfind("/")] not in self.directories:
            raise OSError(2)

    # The parts of `esp32.NVS` that the node uses: every set is durable, as on the chip.

    def set_i32(self, key, value):
        self.before_write()
        self.keys[key] = value

    def get_i32(self, key):
        value = self.keys.get(key)
        if not isinstance(value, int):
            raise OSError(-0x1102)
        return value

    def set_blob(self, key, value):
        self.before_write()
        self.keys[key] = bytes(value)

    def get_blob(self, key, buffer):
        value = self.keys.get(key)
        if not isinstance(value, bytes) or len(value) > len(buffer):
            raise OSError(-0x1102)
        buffer[: len(value)] = value
        return len(value)

    def commit(self):
        pass


class _Written:
    """A file open for writing."""

    def __init__(self, flash, path, contents, is_torn):
        self._flash = flash
        self._path = path
        self._contents = contents
        self._at = 0
        self._is_torn = is_torn

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None or issubclass(kind, Exception):
            self.close()

    def seek(self, at):
        self._at = at

    def write(self, data):
        data = bytes(data)
        tail = self._contents[self._at + len(data) :]
        half = self._contents[: self._at] + data[: len(data) // 2]
        whole = self._contents[: self._at] + data + tail
        if self._is_torn:
            self._flash.before_write(self._path, half)
            self._flash.files[self._path] = whole
        self._contents = whole
        self._at += len(data)
        return len(data)

    def flush(self):
        self._flash.before_write()
        self._flash.files[self._path] = self._contents

    def close(self):
        self.flush()
