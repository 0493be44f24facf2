"""An update from its URI to the restart: what object 5 (Firmware Update) drives.

Not the transfer, which is injected, and not the health check, which is the application's.

What verifies and installs is imported for one update and dropped after it, to give back its heap.
"""

import asyncio
import hashlib
import os

from micropython import const

from node.ota.errors import FetchRefused, UpdateError
from node.ota.slots import NAMES, Slots
from node.passing import drop
from nodelink import firmware_update
from nodelink.limits import BLOCK_SZX_LAN, ENVELOPE_MAX_BYTES
from nodelink.release_format import (
    ENCODING_DEFLATE,
    ENCODING_PATCH,
    IMAGE_PIECE_BYTES,
    PATH_ARTIFACTS,
    PATH_DIRECTIVE,
    PATH_RELEASES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from node.ota.release import Part

_URI_START = "coap:///" + PATH_RELEASES + "/"
_DATA = "data"
_ARCHIVE_START = "update-"
_NAME_BYTES = const(23)  # and 8 bytes of the component's digest in hex
_BLOCK_BYTES = 16 << BLOCK_SZX_LAN
_BLOCKS_PER_FLUSH = const(8)
_PATCH_END = "-patch"
# While the gateway fetches what it serves, it says 5.03.
_TRY_AGAIN_S = const(5)
_TRIES_MAX = const(24)
_NO_SPACE = const(28)  # ENOSPC
_PASSING_MODULES = (
    "suit", "directive", "ed25519", "hss", "installer", "image", "component", "patch",
)  # fmt: skip


class Updater:
    """One update at a time (OMA LwM2M TS Core 1.1, E.6).

    - On a write of 5/0/1: `start(uri)`, then have a task `await download()`.
    - On an execute of 5/0/2: `await install()`, answer, reset the board.
    - Whether a release on trial stays is said to `Slots`, not here.
    - `state`, `result` and `package_version` are 5/0/3, 5/0/5 and 5/0/7; `slots.failure` says why.

    Args:
        slots: `node.ota.slots.Slots`.
        fetch: `async fetch(path, sink, *, start_block)`: GET `path` (a tuple of segments) from the
            gateway in blocks of 1024 bytes from that block on, each to `sink.write(view)`.
            It may raise anything, FetchRefused when the gateway says no, and lets through what
            `write` raises.
        trust: a `node.ota.trust.Trust`.
        class_id: of this board, 16 bytes.
        sequence: of the running release.
        on_change: called without arguments after each change of `state` or `result`.
        root: what holds the slots and `data`: empty for the working directory, or ending in "/".
    """

    def __init__(
        self,
        slots: "Slots",
        fetch: "Any",
        *,
        trust: "Any",
        class_id: bytes,
        sequence: int,
        on_change: "Any" = None,
        root: str = "",
    ) -> None:
        self._slots = slots
        self._fetch = fetch
        self._trust = trust
        self._class_id = class_id
        self._sequence = sequence
        self._on_change = on_change
        self._root = root
        self._digest = b""
        self._downloading = b""
        self._envelope = b""
        self._release: Any = None
        self._rollout, self._from_s, self._until_s = "", 0, 0
        self._archive_end = ""
        self._image_target: Any = None
        self.state = firmware_update.STATE_IDLE
        if slots.is_on_trial:
            self.state = firmware_update.STATE_UPDATING
        self.result = slots.result
        self.package_version = ""

    def start(self, uri: str) -> None:
        """Take a package URI, 5/0/1; an empty one gives up what is under way.

        The same URI again changes nothing; another one replaces it.

        Raises:
            UpdateError: not `coap:///r/<64 hex digits>`, or an update is being installed or tried.
        """
        if self.state == firmware_update.STATE_UPDATING:
            raise UpdateError(firmware_update.RESULT_FAILED, "an update is being tried")
        if not uri:
            self._digest = b""
            if self.state == firmware_update.STATE_DOWNLOADED:
                self._forget()
            self._end(firmware_update.RESULT_INITIAL, "")
            return
        try:
            digest = bytes.fromhex(uri[len(_URI_START) :])
        except ValueError:
            digest = b""
        if not uri.startswith(_URI_START) or len(digest) != 32:
            self._digest = b""
            result = firmware_update.RESULT_BAD_URI
            if ":" in uri and not uri.startswith("coap:"):
                result = firmware_update.RESULT_PROTOCOL
            self._end(result, "URI is not coap:///r/<digest>")
            raise UpdateError(result, "URI is not coap:///r/<digest>")
        if digest == self._digest and self.state != firmware_update.STATE_IDLE:
            return
        self._digest = digest
        if self.result != firmware_update.RESULT_INITIAL:
            self._slots.record(firmware_update.RESULT_INITIAL)
        self._set(firmware_update.STATE_DOWNLOADING, firmware_update.RESULT_INITIAL)

    async def download(self) -> None:
        """Fetch and verify what `start` named; ends DOWNLOADED, or IDLE with a result.

        What has arrived of a bundle is kept: the next try goes on where this one ended.
        """
        while self.state == firmware_update.STATE_DOWNLOADING:
            digest = self._downloading = self._digest
            result = firmware_update.RESULT_INITIAL
            reason = ""
            try:
                await self._download(digest)
            except UpdateError as error:
                result, reason = error.result, error.reason
            except MemoryError:
                result, reason = firmware_update.RESULT_NO_RAM, "heap is full"
            except Exception as error:
                result = firmware_update.RESULT_LINK_LOST
                reason = "download: %r" % error
            finally:
                drop("node.ota", _PASSING_MODULES)
            if digest != self._digest:  # replaced or given up meanwhile
                if not self._digest:
                    self._forget()
                continue
            if result:
                self._end(result, reason)
            else:
                self._set(firmware_update.STATE_DOWNLOADED, firmware_update.RESULT_INITIAL)

    async def install(self) -> None:
        """Write the downloaded bundle to the other slot and put it on trial; the caller resets.

        Raises:
            UpdateError: nothing is downloaded, or installing failed; the running slot stays.
        """
        if self.state != firmware_update.STATE_DOWNLOADED:
            raise UpdateError(firmware_update.RESULT_FAILED, "nothing is downloaded")
        self._set(firmware_update.STATE_UPDATING, firmware_update.RESULT_INITIAL)
        try:
            await self._install()
        except UpdateError as error:
            self._end(error.result, error.reason)
            raise
        except MemoryError:
            self._end(firmware_update.RESULT_NO_RAM, "heap is full")
            raise UpdateError(firmware_update.RESULT_NO_RAM, "heap is full")
        except Exception as error:
            self._end(firmware_update.RESULT_FAILED, "install: %r" % error)
            raise UpdateError(firmware_update.RESULT_FAILED, "install: %r" % error)
        finally:
            drop("node.ota", _PASSING_MODULES)
        self._forget()

    async def _install(self) -> None:
        self._check_time()
        release = self._release
        if self._image_target:
            from node.ota import image

            await image.check(release.image, self._image_target)
            drop("node.ota", _PASSING_MODULES)
        from node.ota import installer

        slot = self._root + NAMES[self._slots.other]
        archive = self._archive(release.bundle, self._archive_end)
        await installer.install(
            archive, release.bundle, self._envelope, slot, self._source(archive)
        )
        self._slots.begin_trial(self._image_target)

    async def _download(self, digest: bytes) -> None:
        envelope, release = await self._fetch_release(digest)
        # Verifying needs its heap before, installing after: never both at once.
        drop("node.ota", _PASSING_MODULES)
        self._envelope = envelope
        self._release = release
        self.package_version = release.version
        self._check_room()
        _make_data(self._root + _DATA)
        kept = [_name(part) for part in (release.bundle, release.image) if part]
        self._remove_archives(kept)
        self._image_target = None
        if release.image:
            await self._fetch_image(release.image)
            drop("node.ota", _PASSING_MODULES)
        await self._fetch_bundle(release.bundle)

    async def _fetch_bundle(self, part: "Part") -> None:
        """Fetch the bundle into a file, as a patch or whole."""
        from node.ota import installer

        whole, patch = self._archive(part, ""), self._archive(part, _PATCH_END)
        # A whole that was begun is finished: why the patch was no use has not changed.
        if not _size_bytes(whole) and await self._fetch_patch(
            part, patch, lambda: installer.check(patch, part, self._source(patch))
        ):
            self._archive_end = _PATCH_END
            return
        self._archive_end = ""
        await self._fetch_checked(
            (PATH_ARTIFACTS, ENCODING_DEFLATE, part.digest.hex()),
            whole,
            part.size_bytes,
            lambda: installer.check(whole, part),
        )

    async def _fetch_image(self, part: "Part") -> None:
        """Have the image in the partition for the next one, unless it runs already."""
        from node.ota import image

        target, running = self._slots.image_partitions()
        image.check_room(part, target)
        if await image.holds(running, part):
            return
        self._image_target = target
        if await image.holds(target, part):
            return
        patch = self._archive(part, _PATCH_END)
        number = self._begun_piece(part)
        # As for a bundle: what was begun is finished.
        if number < 0 and await self._fetch_patch(
            part, patch, lambda: image.build(patch, part, target, running)
        ):
            os.remove(patch)
            return
        number = max(0, number)
        while number * IMAGE_PIECE_BYTES < part.size_bytes:
            await self._fetch_piece(part, number, target)
            number += 1
        os.remove(self._archive(part, str(number)))
        await image.check(part, target)

    async def _fetch_piece(self, part: "Part", number: int, target: "Any") -> None:
        """Fetch one piece of an image and write it."""
        from node.ota import image

        archive = self._archive(part, str(number))
        await self._fetch_checked(
            (PATH_ARTIFACTS, ENCODING_DEFLATE, part.digest.hex(), str(number)),
            archive,
            IMAGE_PIECE_BYTES,
            lambda: image.write_piece(archive, part, number, target),
        )
        # The highest number tells how far it is: the next is there before this one goes.
        open(self._archive(part, str(number + 1)), "wb").close()
        os.remove(archive)

    def _begun_piece(self, part: "Part") -> int:
        """Tell which piece of an image was begun last, -1 for none."""
        number = -1
        for name in os.listdir(self._root + _DATA):
            if name[:_NAME_BYTES] == _name(part) and name[_NAME_BYTES:].isdigit():
                number = max(number, int(name[_NAME_BYTES:]))
        return number

    async def _fetch_release(self, digest: bytes) -> "tuple[bytes, Any]":
        """Fetch the envelope, and the directive where there are keys for it, and verify both."""
        from node.ota import suit

        envelope = await self._fetch_whole((PATH_RELEASES, digest.hex()))
        if hashlib.sha256(envelope).digest() != digest:
            raise UpdateError(firmware_update.RESULT_INTEGRITY, "envelope is not the one named")
        await self._follow_directive(digest)
        release = await suit.verify(
            envelope, self._trust, self._class_id, self._sequence, self._rollout
        )
        return envelope, release

    async def _follow_directive(self, digest: bytes) -> None:
        """Learn for which rollout and until when the fleet wants a release here."""
        self._rollout, self._from_s, self._until_s = "", 0, 0
        if len(self._trust.directive) < 2:
            return
        from node.ota import directive

        try:
            signed = await self._fetch_whole((PATH_DIRECTIVE,))
        except FetchRefused:
            raise UpdateError(firmware_update.RESULT_INTEGRITY, "there is no directive")
        self._rollout, self._from_s, self._until_s = await directive.verify(
            signed, self._trust, digest
        )
        self._check_time()

    def _check_time(self) -> None:
        """Refuse what the directive does not allow now; while the clock is not set it may be."""
        now_s = self._trust.unix_s()
        if now_s and self._until_s and not self._from_s <= now_s <= self._until_s:
            raise UpdateError(firmware_update.RESULT_DEFERRED, "directive does not hold now")

    async def _fetch_whole(self, path: "tuple[str, ...]") -> bytes:
        """Fetch something of few blocks into RAM."""
        sink = _Envelope()
        await self._fetch(path, sink, start_block=0)
        return bytes(sink.contents)

    def _check_room(self) -> None:
        from node.ota import installer

        slot = self._root + NAMES[self._slots.other]
        installer.check_room(self._root, self._release.bundle.size_bytes, slot)

    async def _fetch_patch(self, part: "Part", patch: str, check: "Callable[[], Any]") -> bool:
        """Fetch a component as a patch of the running one; tell whether that is what it is."""
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
                with _Archive(archive, size_bytes, self._is_wanted) as sink:
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

    async def _fetch_patiently(self, path: "tuple[str, ...]", sink: "Any") -> None:
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

    def _source(self, archive: str) -> "Any":
        """Give what an archive is a patch of, None for a whole."""
        if not archive.endswith(_PATCH_END):
            return None
        from node.ota.installer import BUNDLE

        return open(self._root + NAMES[self._slots.running] + BUNDLE, "rb")

    def _is_wanted(self) -> bool:
        """Tell whether the download under way is still the one that was asked for."""
        return self._downloading == self._digest

    def _archive(self, part: "Part", end: str) -> str:
        return self._root + _DATA + "/" + _name(part) + end

    def _forget(self) -> None:
        """Remove what was downloaded; where that fails the next download does."""
        try:
            self._remove_archives([])
        except OSError:
            pass

    def _remove_archives(self, kept: "list[str]") -> None:
        """Remove what is left of other components than those with the names given."""
        directory = self._root + _DATA
        for name in os.listdir(directory):
            if name.startswith(_ARCHIVE_START) and name[:_NAME_BYTES] not in kept:
                os.remove(directory + "/" + name)

    def _end(self, result: int, reason: str) -> None:
        self._slots.record(result, reason)
        self._set(firmware_update.STATE_IDLE, result)

    def _set(self, state: int, result: int) -> None:
        self.state = state
        self.result = result
        if self._on_change:
            self._on_change()


class _Envelope:
    """Takes an envelope or a directive into RAM."""

    def __init__(self) -> None:
        self.contents = bytearray()

    def write(self, view: memoryview) -> None:
        """Append a block."""
        if len(self.contents) + len(view) > ENVELOPE_MAX_BYTES:
            raise UpdateError(firmware_update.RESULT_NO_FLASH, "envelope is too big")
        self.contents.extend(view)


class _Archive:
    """Takes an archive into a file, behind what an earlier try left; a context manager."""

    def __init__(self, path: str, size_bytes: int, is_wanted: "Callable[[], bool]") -> None:
        # The last block again: it may be half there.
        self.start_block = max(0, _size_bytes(path) - 1) // _BLOCK_BYTES
        self._is_wanted = is_wanted
        self._file: Any = open(path, "r+b" if self.start_block else "wb")
        self._file.seek(self.start_block * _BLOCK_BYTES)
        self._blocks = 0
        # DEFLATE adds at most 5 bytes per stored block of 64 KiB, RFC 1951, 3.2.4.
        self._left_bytes = size_bytes + size_bytes // 1024 + 64 - self.start_block * _BLOCK_BYTES

    def __enter__(self) -> "_Archive":
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
    return _ARCHIVE_START + part.digest[:8].hex()


def _make_data(path: str) -> None:
    if not _exists(path):
        os.mkdir(path)


def _size_bytes(path: str) -> int:
    return os.stat(path)[6] if _exists(path) else 0


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True
