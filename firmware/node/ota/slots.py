"""Which slot runs, which is on trial, and how the last update ended: what boot.py decides by.

Not the files in the slots: those are the installer's.

Kept in NVS namespace "boot", one key per fact so that every transition is one atomic write:
- `slot` i32: the confirmed slot, 0 = a, 1 = b.
- `trial` i32: 0 = none, 1 + slot = the slot on trial.
- `tries` i32: boots of the slot on trial so far; boot.py counts them.
- `image` i32: offset of the partition that must run with the slot on trial, 0 = any.
- `count` i32: boots since the node was made; boot.py counts them.
- `result` i32: 5/0/5 of the last update, kept until the next one starts.
- `failure` blob: why the last update failed, UTF-8; means something only when `result` says failed.
"""

import sys

from micropython import const

from nodelink import firmware_update

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = ("slot_a", "slot_b")
_FAILURE_MAX_BYTES = const(96)
_NEVER_CONFIRMED = b"restarted before it was confirmed"


class Slots:
    """The state of both slots.

    Args:
        nvs: the NVS namespace "boot", as `esp32.NVS` gives it.
        running: 0 or 1; None takes it from where boot.py mounted the application.
        partition: `esp32.Partition`, for releases with an image.
    """

    def __init__(self, nvs: "Any", running: "int | None" = None, partition: "Any" = None) -> None:
        self._nvs = nvs
        self._partition = partition
        if running is None:
            running = 1 if "/b" in sys.path else 0
        self.running = running
        self.other = 1 - running

    @property
    def is_on_trial(self) -> bool:
        """The running slot is not confirmed yet."""
        return self._integer("trial") == 1 + self.running and self._integer("slot") != self.running

    @property
    def result(self) -> int:
        """5/0/5 of the last update."""
        return self._integer("result")

    @property
    def failure(self) -> str:
        """Why the last update failed, or an empty string."""
        if self.result <= firmware_update.RESULT_SUCCESS:
            return ""
        buffer = bytearray(_FAILURE_MAX_BYTES)
        try:
            count = self._nvs.get_blob("failure", buffer)
        except OSError:
            return ""
        return bytes(buffer[:count]).decode()

    def image_partitions(self) -> "tuple[Any, Any]":
        """Give the partition for the next image, and the one that runs."""
        running = self._partition(self._partition.RUNNING)
        return running.get_next_update(), running

    def begin_trial(self, image: "Any" = None) -> None:
        """Have the other slot booted next, once; the last writes of an installation.

        Args:
            image: the partition to be started with it, None for the one that runs. It is selected
                last: boot.py ends a trial whose image does not run.

        Raises:
            OSError: the image cannot be started; nothing is on trial.
        """
        if self._integer("slot") != self.running:
            # boot.py fell back to this slot; from now on it is the one to return to.
            self._nvs.set_i32("slot", self.running)
        self._nvs.set_i32("tries", 0)
        # The reason in case nobody lives to give one.
        self._nvs.set_blob("failure", _NEVER_CONFIRMED)
        self._nvs.set_i32("image", image.info()[2] if image else 0)
        self._nvs.set_i32("trial", 1 + self.other)
        self._nvs.commit()
        if image:
            try:
                image.set_boot()
            except OSError:
                self._nvs.set_i32("trial", 0)
                self._nvs.commit()
                raise

    def confirm(self) -> None:
        """Keep the running slot; to be called once its health is proven."""
        self._nvs.set_i32("result", firmware_update.RESULT_SUCCESS)
        if self._integer("image"):
            # Decides for the slot, too: boot.py finds the image still running and goes on here.
            self._partition.mark_app_valid_cancel_rollback()
        # From this write on boot.py stays with the running slot.
        self._nvs.set_i32("slot", self.running)
        self._nvs.set_i32("trial", 0)
        self._nvs.commit()

    def reject(self, reason: str) -> None:
        """Note why the running slot on trial is not healthy; a reset after it returns to the old.

        Args:
            reason: for people, cut to 96 bytes.
        """
        self._nvs.set_blob("failure", _cut(reason))
        self._nvs.commit()

    def record(self, result: int, reason: str = "") -> None:
        """Keep the result of an update that ended before a trial."""
        if reason:
            self._nvs.set_blob("failure", _cut(reason))
        self._nvs.set_i32("result", result)
        self._nvs.commit()

    def _integer(self, key: str) -> int:
        try:
            return int(self._nvs.get_i32(key))
        except OSError:
            return 0


def _cut(reason: str) -> bytes:
    """Encode as much of a text as there is room for, whole characters only."""
    reason = reason[:_FAILURE_MAX_BYTES]
    while len(reason.encode()) > _FAILURE_MAX_BYTES:
        reason = reason[:-1]
    return reason.encode()
