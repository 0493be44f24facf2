"""Downloads into flash that go on where an earlier try ended.

Not what is in them: a check that is passed in tells whether that is right.
"""

import asyncio
import os

from micropython import const

from node.ota.errors import FetchRefused, UpdateError
from nodelink import firmware_update
from nodelink.limits import BLOCK_SZX_LAN
from nodelink.release_format import ENCODING_DEFLATE, ENCODING_PATCH, PATH_ARTIFACTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from node.ota.release import Part

_NAME_START = "update-"
_NAME_BYTES = const(23)  # and 8 bytes of the component's digest in hex
_PATCH_END = "-patch"
_BLOCK_BYTES = 16 << BLOCK_SZX_LAN
_BLOCKS_PER_FLUSH = const(8)
# While the gateway fetches what it serves, it says 5.03.
_TRY_AGAIN_S = const(5)
_TRIES_MAX = const(24)
_NO_SPACE = const(28)  # ENOSPC


class Archives:
    """What was downloaded of components, patches of them and pieces of images.

    Args:
        directory: ends in "/"; made if absent.
        fetch: as for `node.ota.updater.Updater`.
        sequence: of the running release, which patches are asked for.
        is_wanted: tells whether the update under way is still the one that was asked for.
    """

    def __init__(
        self, directory: str, fetch: "Any", sequence: int, is_wanted: "Callable[[], bool]"
    ) -> None:
        self._directory = directory
        self._fetch = fetch
        self._sequence = sequence
        self._is_wanted = is_wanted
        if not _exists(directory[:-1]):
            os.mkdir(directory[:-1])

    def path(self, part: "Part", end: str = "") -> str:
        """Give the file of a component, or of the piece of it with the number `end`."""
        return self._directory + _name(part) + end

    def patch_path(self, part: "Part") -> str:
        """Give the file of a patch that makes a component."""
        return self.path(part, _PATCH_END)

    def has(self, path: str) -> bool:
        """Tell whether anything of an archive is there."""
        return _size_bytes(path) > 0

    def piece_begun(self, part: "Part") -> int:
        """Tell which piece of an image was begun last, -1 for none."""
        number = -1
        for name in os.listdir(self._directory[:-1]):
            if name[:_NAME_BYTES] == _name(part) and name[_NAME_BYTES:].isdigit():
                number = max(number, int(name[_NAME_BYTES:]))
        return number

    def keep(self, parts: "list[Part]") -> None:
        """Remove what is there of other components."""
        kept = [_name(part) for part in parts]
        for name in os.listdir(self._directory[:-1]):
            if name.startswith(_NAME_START) and name[:_NAME_BYTES] not in kept:
                os.remove(self._directory + name)

    async def fetch_patch(self, part: "Part", check: "Callable[[], Any]") -> bool:
        """Fetch a component as a patch of the running one; tell whether that is what it is."""
        patch = self.patch_path(part)
        path = (PATH_ARTIFACTS, ENCODING_PATCH, part.digest.hex(), str(self._sequence))
        try:
            await self._fetch_checked(path, patch, part.size_bytes, check)
            return True
        except FetchRefused:
            pass  # there is none
        except UpdateError as error:
            if error.result not in (
                firmware_update.RESULT_INTEGRITY,
                firmware_update.RESULT_NO_FLASH,
            ):
                raise
            print("the patch is no use:", error.reason)
        if _exists(patch):
            os.remove(patch)
        return False

    async def fetch_whole(self, part: "Part", check: "Callable[[], Any]") -> None:
        """Fetch a component.

        Raises:
            UpdateError: it is not what the release names.
        """
        path = (PATH_ARTIFACTS, ENCODING_DEFLATE, part.digest.hex())
        await self._fetch_checked(path, self.path(part), part.size_bytes, check)

    async def fetch_piece(
        self, part: "Part", number: int, size_bytes: int, check: "Callable[[], Any]"
    ) -> None:
        """Fetch a piece of an image, of at most `size_bytes`, and be done with it.

        Raises:
            UpdateError: it is damaged.
        """
        path = (PATH_ARTIFACTS, ENCODING_DEFLATE, part.digest.hex(), str(number))
        archive = self.path(part, str(number))
        await self._fetch_checked(path, archive, size_bytes, check)
        # The highest number tells how far it is: the next is there before this one goes.
        open(self.path(part, str(number + 1)), "wb").close()
        os.remove(archive)

    async def _fetch_checked(
        self,
        path: "tuple[str, ...]",
        archive: str,
        size_bytes: int,
        check: "Callable[[], Any]",
    ) -> None:
        """Fetch something, going on where an earlier try ended, and check it."""
        while True:
            try:
                with _Sink(archive, size_bytes, self._is_wanted) as sink:
                    await self._fetch_patiently(path, sink)
            except OSError as error:
                if error.args and error.args[0] == _NO_SPACE:
                    raise UpdateError(firmware_update.RESULT_NO_FLASH, "flash is full")
                raise
            except UpdateError as error:
                # No later try goes on behind what is bigger than it may be.
                if error.result == firmware_update.RESULT_NO_FLASH:
                    os.remove(archive)
                raise
            try:
                await check()
                return
            except UpdateError:
                os.remove(archive)
                if not sink.start_block:
                    raise
                # What was there from before was bad: once more from the start.

    async def _fetch_patiently(self, path: "tuple[str, ...]", sink: "_Sink") -> None:
        """Fetch, and wait while the gateway is still getting it itself."""
        for _ in range(_TRIES_MAX):
            try:
                await self._fetch(path, sink, start_block=sink.start_block)
                return
            except FetchRefused as refusal:
                if not refusal.args[0]:
                    raise
            await asyncio.sleep(_TRY_AGAIN_S)
        raise UpdateError(firmware_update.RESULT_LINK_LOST, "the gateway does not get it")


class _Sink:
    """Takes blocks into a file, behind what an earlier try left; a context manager."""

    def __init__(self, path: str, size_bytes: int, is_wanted: "Callable[[], bool]") -> None:
        # The last block again: it may be half there.
        self.start_block = max(0, _size_bytes(path) - 1) // _BLOCK_BYTES
        self._is_wanted = is_wanted
        self._file: Any = open(path, "r+b" if self.start_block else "wb")
        self._file.seek(self.start_block * _BLOCK_BYTES)
        self._blocks = 0
        # DEFLATE adds at most 5 bytes per stored block of 64 KiB, RFC 1951, 3.2.4.
        self._left_bytes = size_bytes + size_bytes // 1024 + 64 - self.start_block * _BLOCK_BYTES

    def __enter__(self) -> "_Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, view: memoryview) -> None:
        """Append a block, and see that enough of them are durable."""
        if not self._is_wanted():
            raise UpdateError(firmware_update.RESULT_CANCELLED, "replaced")
        self._left_bytes -= len(view)
        if self._left_bytes < 0:
            raise UpdateError(firmware_update.RESULT_NO_FLASH, "archive is bigger than it may be")
        if self._file.write(view) != len(view):
            raise UpdateError(firmware_update.RESULT_NO_FLASH, "flash is full")
        self._blocks += 1
        if self._blocks % _BLOCKS_PER_FLUSH == 0:
            self._file.flush()


def _name(part: "Part") -> str:
    return _NAME_START + part.digest[:8].hex()


def _size_bytes(path: str) -> int:
    return os.stat(path)[6] if _exists(path) else 0


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True
