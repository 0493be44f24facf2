"""Decides and drives the lamp's level: override, default level, fade; last level after a reboot.

Not the LwM2M object 3416: that translates and calls this. No lighting program yet: without an
override the lamp burns at its default level.
"""

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_STEP_MS = 20
_FADE_MS = 800
_KEEP_HOURS_EVERY_S = 3600
_IDLE_MS = 1000
# Keys of the namespace "lamp" in NVS.
_LEVEL = "level"
_DEFAULT = "default"
_OVERRIDE_END = "until"
_IS_OVERRIDDEN = "override"
_SWITCHES = "switches"
_BURNED_S = "burned_s"


class LampController:
    """Owns the lamp.

    Levels are thousandths inside, percent at the border. An override ends at a Unix time, or with
    the next command when that time is 0; while the clock is unknown no override ends.

    Args:
        board: For its `set_lamp`, clocks and storage.
        on_change: Called without arguments when a level, or whether an override is active, changed.
        on_settled: Called without arguments when a fade has reached its level.
    """

    def __init__(
        self, board: "Any", on_change: "Callable[[], None]", on_settled: "Callable[[], None]"
    ) -> None:
        self._board = board
        self._on_change = on_change
        self._on_settled = on_settled
        self._storage = board.open_nvs("lamp")
        self.default_percent = self._stored(_DEFAULT, 100)
        self.switch_count = self._stored(_SWITCHES, 0)
        self.burned_s = self._stored(_BURNED_S, 0)
        self.is_overridden = bool(self._stored(_IS_OVERRIDDEN, 0))
        self.override_ends_at = self._stored(_OVERRIDE_END, 0)
        self.command_percent = self._stored(_LEVEL, self.default_percent)
        self._target_permille = self.command_percent * 10
        # The lamp keeps its level through a reboot: no fade, no wait for anybody.
        self.level_permille = self._target_permille
        self._fade_from_permille = self.level_permille
        self._fade_started_ms = 0
        self._is_fading = False
        self._burned_noted_s = board.monotonic_s()
        self._burned_kept_s = self.burned_s
        self._wake = asyncio.Event()
        board.set_lamp(self.level_permille)

    def override(self, percent: int, ends_at: int) -> None:
        """Set the level until a Unix time, 0 for until the next command."""
        self._change(percent, True, ends_at)

    def move_end(self, ends_at: int) -> None:
        """Move the end of the active override; without one there is nothing to move."""
        if self.is_overridden:
            self._change(self.command_percent, True, ends_at)

    def set_default(self, percent: int) -> None:
        """Set the level the lamp burns at without an override; it survives a reboot."""
        self.default_percent = percent
        self._storage.set_i32(_DEFAULT, percent)
        if self.is_overridden:
            self._storage.commit()
        else:
            self._change(percent, False, 0)

    def release(self) -> None:
        """End the override."""
        self._change(self.default_percent, False, 0)

    def tick(self) -> bool:
        """Do what is due now; tell whether a fade is under way."""
        self._note_burning()
        if self.is_overridden and self.override_ends_at:
            now = self._board.unix_s()
            if now and now >= self.override_ends_at:
                self.release()
        has_settled = False
        if self._is_fading:
            elapsed = self._board.ticks_diff(self._board.ticks_ms(), self._fade_started_ms)
            if elapsed >= _FADE_MS:
                self.level_permille = self._target_permille
                self._is_fading = False
                has_settled = True
                self._on_change()
            else:
                way = self._target_permille - self._fade_from_permille
                self.level_permille = self._fade_from_permille + way * elapsed // _FADE_MS
            self._board.set_lamp(self.level_permille)
        if has_settled:
            # Only now: who measures the lamp then must find it at its level.
            self._on_settled()
        return self._is_fading

    async def run(self, beat: "Callable[[], None]") -> None:
        """Drive the lamp until cancelled.

        Args:
            beat: Called at least every second, to show that the lamp is looked after.
        """
        while True:
            beat()
            pause_ms = _STEP_MS if self.tick() else _IDLE_MS
            try:
                await asyncio.wait_for_ms(self._wake.wait(), pause_ms)
            except asyncio.TimeoutError:
                pass
            self._wake.clear()

    def _change(self, percent: int, is_overridden: bool, ends_at: int) -> None:
        self._note_burning()
        if percent and not self._target_permille:
            self.switch_count += 1
            self._storage.set_i32(_SWITCHES, self.switch_count)
        self.command_percent = percent
        self.is_overridden = is_overridden
        self.override_ends_at = ends_at
        self._storage.set_i32(_LEVEL, percent)
        self._storage.set_i32(_IS_OVERRIDDEN, 1 if is_overridden else 0)
        self._storage.set_i32(_OVERRIDE_END, ends_at)
        self._storage.commit()
        self._target_permille = percent * 10
        self._fade_from_permille = self.level_permille
        self._fade_started_ms = self._board.ticks_ms()
        self._is_fading = self.level_permille != self._target_permille
        self._on_change()
        self._wake.set()

    def _note_burning(self) -> None:
        now = self._board.monotonic_s()
        if self.level_permille:
            self.burned_s += now - self._burned_noted_s
        self._burned_noted_s = now
        if self.burned_s - self._burned_kept_s >= _KEEP_HOURS_EVERY_S:
            self._burned_kept_s = self.burned_s
            self._storage.set_i32(_BURNED_S, self.burned_s)
            self._storage.commit()

    def _stored(self, key: str, default: int) -> int:
        try:
            return int(self._storage.get_i32(key))
        except OSError:
            return default
