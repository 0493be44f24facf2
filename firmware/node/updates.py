"""Runs updates for object 5 and judges a release on trial.

Not verifying and installing: `node.ota.updater` does, loaded for one update and dropped after it.
"""

import asyncio
import gc

from micropython import const

from node.ota.errors import UpdateError
from node.passing import drop
from nodelink import firmware_update
from nodelink.release_format import CLASS_IDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# The answer to the execute leaves, and may be repeated, before the node is busy installing.
_ANSWER_MS = const(1000)
_CHECK_MS = const(500)
# A release on trial must be healthy for so long without a break, and become so within the limit.
_SOAK_MS = const(5000)
_TRIAL_LIMIT_MS = const(120000)
_HEAP_FREE_MIN_BYTES = const(40 * 1024)


class Updates:
    """One update at a time.

    Args:
        slots: A `node.ota.slots.Slots`.
        fetch: Downloads from the gateway; see `node.ota.updater.Updater`.
        trust: A `node.ota.trust.Trust`.
        profile: Board profile, decides the class id.
        sequence: Of the running release.
        on_change: Called after each change of `state` or `result`.
        reset: Keeps what must be kept, then resets the node.
        reason_to_wait: Says why nothing may be installed now, an empty string for nothing.
    """

    def __init__(
        self,
        slots: "Any",
        fetch: "Any",
        trust: "Any",
        profile: str,
        sequence: int,
        on_change: "Callable[[], None]",
        reset: "Callable[[], None]",
        reason_to_wait: "Callable[[], str]",
    ) -> None:
        self._slots = slots
        self._fetch = fetch
        self.trust = trust
        self._profile = profile
        self._sequence = sequence
        self._on_change = on_change
        self._reset = reset
        self._reason_to_wait = reason_to_wait
        self._updater: Any = None
        self._is_install_wanted = False
        self._wake = asyncio.Event()
        self.uri = ""
        self.package_version = ""
        self.state = firmware_update.STATE_IDLE
        if slots.is_on_trial:
            self.state = firmware_update.STATE_UPDATING
        self.result = slots.result

    def start(self, uri: str) -> None:
        """Take a package URI; an empty one cancels.

        Raises:
            ValueError: The URI or the state does not fit; the text says which.
        """
        if self._updater is None:
            from node.ota.updater import Updater

            self._updater = Updater(
                self._slots,
                self._fetch,
                trust=self.trust,
                class_id=CLASS_IDS[self._profile],
                sequence=self._sequence,
                on_change=self._follow,
            )
        try:
            self._updater.start(uri)
        except UpdateError as error:
            raise ValueError(error.reason)
        finally:
            self._wake.set()
        self.uri = uri

    def install(self) -> None:
        """Install what was downloaded, soon.

        Raises:
            ValueError: Nothing is downloaded, or something is more urgent; ask again later.
        """
        reason = self._reason_to_wait()
        if reason:
            raise ValueError(reason)
        if self.state != firmware_update.STATE_DOWNLOADED:
            raise ValueError("nothing is downloaded")
        self._is_install_wanted = True
        self._wake.set()

    def follow_trust(self) -> None:
        """Take newer trust documents over, soon."""
        self._wake.set()

    async def run(self) -> None:
        """Download and install what was asked for, until cancelled or the node resets."""
        if self._updater:
            self._wake.set()  # this task failed, and goes on where it was
        while True:
            await self._wake.wait()
            self._wake.clear()
            updater = self._updater
            if self._is_install_wanted:
                self._is_install_wanted = False
                await asyncio.sleep_ms(_ANSWER_MS)
                try:
                    # A call may have come since, or come while flash is written: no reset then.
                    await self._until_free()
                    await updater.install()
                    await self._until_free()
                    self._reset()
                except UpdateError as error:
                    print("update not installed:", error.reason)
            else:
                # Before every release: the key that signed it may have been revoked.
                await self._walk_trust_chain()
                if updater and updater.state == firmware_update.STATE_DOWNLOADING:
                    await updater.download()
            if updater and updater.state == firmware_update.STATE_IDLE and not self._wake.is_set():
                self._drop()

    async def run_trial(self, is_healthy: "Callable[[], str]", ticks_ms: "Any") -> None:
        """Judge a release on trial: confirm it, or note why not and reset.

        Args:
            is_healthy: Gives an empty string, or what is missing.
            ticks_ms: The board's `(ticks_ms, ticks_diff)`.
        """
        if not self._slots.is_on_trial:
            return
        now, difference = ticks_ms
        started = healthy_since = now()
        missing = "never checked"
        while difference(now(), started) < _TRIAL_LIMIT_MS:
            missing = is_healthy() or _missing_heap()
            if missing:
                healthy_since = now()
            elif difference(now(), healthy_since) >= _SOAK_MS:
                self._slots.confirm()
                self.state = firmware_update.STATE_IDLE
                self.result = firmware_update.RESULT_SUCCESS
                self._on_change()
                print("release confirmed")
                return
            await asyncio.sleep_ms(_CHECK_MS)
        print("release given up:", missing)
        self._slots.reject(missing)
        self._reset()

    async def _walk_trust_chain(self) -> None:
        try:
            from node.ota import trust_chain

            await trust_chain.walk(self.trust, self._fetch)
        except Exception as error:
            # Whatever it was: what counted so far goes on counting.
            print("trust document refused:", repr(error))
        drop("node.ota", ("trust_chain", "suit", "ed25519", "hss"))

    async def _until_free(self) -> None:
        """Wait while something is more urgent than an update."""
        while self._reason_to_wait():
            await asyncio.sleep_ms(_CHECK_MS)

    def _follow(self) -> None:
        updater = self._updater
        self.state = updater.state
        self.result = updater.result
        self.package_version = updater.package_version
        self._on_change()

    def _drop(self) -> None:
        self._updater = None
        drop("node.ota", ("updater", "archives"))


def heap_free_bytes() -> int:
    """Collect, then give what is free."""
    gc.collect()
    return gc.mem_free()


def _missing_heap() -> str:
    free = heap_free_bytes()
    return "" if free >= _HEAP_FREE_MIN_BYTES else "only %d bytes of heap free" % free
