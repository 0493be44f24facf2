"""A LittleFS partition as MicroPython's `VfsLfs2` mounts it: read and write its files.

Not a mounted file system: content goes in and comes out whole. Never formats what it cannot mount.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Self

from littlefs import LittleFS, LittleFSError, UserContext

from poleward_tools.flash_image.errors import FileSystemError

BLOCK_SIZE_BYTES = 4096
# What VfsLfs2 itself uses on an ESP32 (extmod/vfs_lfsx.c: read, program 32, lookahead 32).
_READ_SIZE_BYTES = 32
_CACHE_SIZE_BYTES = 128
_LOOKAHEAD_SIZE_BYTES = 32
_BLOCK_CYCLES = 100
_MAX_NAME_BYTES = 255


class FileSystemImage:
    """The files of one partition, in memory."""

    def __init__(self, file_system: LittleFS) -> None:
        self._fs = file_system

    @classmethod
    def format(cls, size_bytes: int) -> Self:
        """Return an empty file system for a partition of this size.

        Raises:
            FileSystemError: the size is not made of at least two whole blocks.
        """
        file_system = _file_system(bytearray(b"\xff" * size_bytes))
        file_system.format()
        file_system.mount()
        return cls(file_system)

    @classmethod
    def mount(cls, content: bytes) -> Self:
        """Return the file system found in a copy of a partition's content.

        Raises:
            FileSystemError: there is none, or it was made for a partition of another size.
        """
        file_system = _file_system(bytearray(content))
        try:
            file_system.mount()
        except LittleFSError as error:
            raise FileSystemError(
                f"no LittleFS for {len(content) // BLOCK_SIZE_BYTES} blocks in the partition "
                f"(LittleFS error {error.code})"
            ) from error
        return cls(file_system)

    def write(self, path: str, content: bytes) -> None:
        """Write a file and make the folders it lies in.

        Raises:
            FileSystemError: it does not fit, or a name is too long.
        """
        name = path.strip("/")
        with _named(path, "write"):
            folder = name.rpartition("/")[0]
            if folder:
                self._fs.makedirs(folder, exist_ok=True)
            with self._fs.open(name, "wb") as file:
                file.write(content)

    def write_all(self, files: Mapping[str, bytes]) -> None:
        """Write files in the order of their paths, so that equal files give equal images.

        Raises:
            FileSystemError: they do not fit.
        """
        for path in sorted(files):
            self.write(path, files[path])

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            FileSystemError: there is no such file, or it is damaged.
        """
        with _named(path, "read"), self._fs.open(path.strip("/"), "rb") as file:
            return bytes(file.read())

    def files(self) -> dict[str, bytes]:
        """Return every file by its path, which starts with a slash.

        Raises:
            FileSystemError: the file system is damaged.
        """
        found = {}
        with _named("/", "list"):
            for folder, _, names in self._fs.walk("/"):
                for name in names:
                    path = f"{folder.rstrip('/')}/{name}"
                    found[path] = self.read(path)
        return found

    @property
    def used_bytes(self) -> int:
        """How much of the partition is taken, in whole blocks."""
        return self._fs.used_block_count * BLOCK_SIZE_BYTES

    def encode(self) -> bytes:
        """Return the content of the partition."""
        return bytes(self._fs.context.buffer)


def _file_system(buffer: bytearray) -> LittleFS:
    if len(buffer) % BLOCK_SIZE_BYTES or len(buffer) < 2 * BLOCK_SIZE_BYTES:
        raise FileSystemError(
            f"a LittleFS partition has at least two whole blocks of {BLOCK_SIZE_BYTES} bytes, "
            f"not {len(buffer)} bytes"
        )
    # With mount=True the library formats whatever it cannot mount.
    return LittleFS(
        context=UserContext(buffer=buffer),
        mount=False,
        block_size=BLOCK_SIZE_BYTES,
        block_count=len(buffer) // BLOCK_SIZE_BYTES,
        read_size=_READ_SIZE_BYTES,
        prog_size=_READ_SIZE_BYTES,
        cache_size=_CACHE_SIZE_BYTES,
        lookahead_size=_LOOKAHEAD_SIZE_BYTES,
        block_cycles=_BLOCK_CYCLES,
        name_max=_MAX_NAME_BYTES,
    )


@contextlib.contextmanager
def _named(path: str, action: str) -> Iterator[None]:
    try:
        yield
    except (LittleFSError, OSError) as error:
        reason = "the partition is full" if getattr(error, "code", 0) == -28 else str(error)
        raise FileSystemError(f"cannot {action} {path}: {reason}") from error
