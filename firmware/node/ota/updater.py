"""An update from its URI to the restart: what object 5 (Firmware Update) drives.

Not the transfer, which is injected, and not the health check, which is the application's.

What verifies and installs is imported for one update and dropped after it, to give back its heap.
"""

import asyncio
import hashlib

from micropython import const

from node.ota.archives import Archives
from node.ota.errors import FetchRefused, UpdateError
from node.ota.slots import NAMES, Slots
from node.passing import drop
from nodelink import firmware_update
from nodelink.limits import ENVELOPE_MAX_BYTES
from nodelink.release_format import PATH_DIRECTIVE, PATH_RELEASES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A gateway that trickles gets no more of a node's time; the next try goes on where this one ended.
_DOWNLOAD_MAX_MS = const(14_400_000)
_URI_START = "coap:///" + PATH_RELEASES + "/"
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
        self._envelope = b""
        self._release: Any = None
        self._rollout, self._from_s, self._until_s = "", 0, 0
        self._archives: Any = None
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
            digest = self._digest
            result = firmware_update.RESULT_INITIAL
            reason = ""
            try:
                await asyncio.wait_for_ms(self._download(digest), _DOWNLOAD_MAX_MS)
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

        await installer.install(
            release.bundle, self._envelope, self._archives, *self._directories()
        )
        self._slots.begin_trial(self._image_target)

    async def _download(self, digest: bytes) -> None:
        envelope, release = await self._fetch_release(digest)
        # Verifying needs its heap before, installing after: never both at once.
        drop("node.ota", _PASSING_MODULES)
        self._envelope = envelope
        self._release = release
        self.package_version = release.version
        from node.ota import installer

        other, running = self._directories()
        installer.check_room(self._root, release.bundle.size_bytes, other)
        archives = self._archives = Archives(
            self._root + "data/", self._fetch, self._sequence, lambda: digest == self._digest
        )
        archives.keep([part for part in (release.bundle, release.image) if part])
        self._image_target = None
        if release.image:
            from node.ota import image

            self._image_target = await image.download(
                release.image, archives, *self._slots.image_partitions()
            )
            drop("node.ota", _PASSING_MODULES)
            from node.ota import installer
        await installer.download(release.bundle, archives, other, running)

    def _directories(self) -> "tuple[str, str]":
        """Give where the other slot and the running one are."""
        slots = self._slots
        return self._root + NAMES[slots.other], self._root + NAMES[slots.running]

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

    def _forget(self) -> None:
        """Remove what was downloaded; where that fails the next download does."""
        if self._archives:
            try:
                self._archives.keep([])
            except OSError:
                pass

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
