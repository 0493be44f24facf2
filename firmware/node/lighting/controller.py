"""Decides and drives the lamp's level: emergency, override, program, default; fades.

Not the LwM2M object 3416, which translates and calls this, and not the program's rules.
"""

import asyncio
import struct

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_STEP_MS = const(20)
_FADE_MS = const(800)
_KEEP_HOURS_EVERY_S = const(3600)
_IDLE_MS = const(1000)
# The last second before a fade that is to start with others is watched in steps.
_WATCH_FROM_S = const(2)
# Keys of the namespace "lamp" in NVS.
_LEVEL = "level"
_DEFAULT = "default"
_OVERRIDE_END = "until"
_IS_OVERRIDDEN = "override"
_PLANNED = "planned"
_PLANNED_FORMAT = "<BIII"
_SWITCHES = "switches"
_BURNED_S = "burned_s"


class LampController:
    """Owns the lamp.

    - What decides, first to last: an emergency (full light, no fade), an override, the program, the
      default level.
    - Levels are thousandths inside, percent at the border. An override ends at a Unix time, or with
      the next command when that time is 0; while the clock is unknown no override ends.
    - An override may start later: it waits, also through a reboot, until its time or the next
      command. While the clock is unknown it starts at once.

    Args:
        board: For its `set_lamp`, clocks and storage.
        program: A `node.lighting.program.Program`.
        on_change: Called without arguments when a level, or whether an override is active, changed.
        on_settled: Called without arguments when a fade has reached its level.
    """

    def __init__(
        self,
        board: "Any",
        program: "Any",
        on_change: "Callable[[], None]",
        on_settled: "Callable[[], None]",
    ) -> None:
        self._board = board
        self._program = program
        self._on_change = on_change
        self._on_settled = on_settled
        self._storage = board.open_nvs("lamp")
        self.default_percent = self._stored(_DEFAULT, 100)
        self.switch_count = self._stored(_SWITCHES, 0)
        self.burned_s = self._stored(_BURNED_S, 0)
        self.is_overridden = bool(self._stored(_IS_OVERRIDDEN, 0))
        self.override_ends_at = self._stored(_OVERRIDE_END, 0)
        self.command_percent = self._stored(_LEVEL, self.default_percent)
        self.is_emergency = False
        # (percent, ends_at, starts_at, fade_ms)
        self._planned = self._stored_plan()
        self._target_permille = self.command_percent * 10
        # The lamp keeps its level through a reboot: no fade, no wait for anybody.
        self.level_permille = self._target_permille
        self._fade_from_permille = self.level_permille
        self._fade_started_ms = 0
        self._fade_ms = _FADE_MS
        self._is_fading = False
        self._burned_noted_s = board.monotonic_s()
        self._burned_kept_s = self.burned_s
        self._wake = asyncio.Event()
        board.set_lamp(self.level_permille)

    def override(
        self, percent: int, ends_at: int, starts_at: int = 0, fade_ms: int = _FADE_MS
    ) -> None:
        """Set the level until a Unix time, 0 for until the next command.

        Args:
            percent: Level.
            ends_at: Unix time.
            starts_at: Unix time at which the fade begins; in the past, or 0, it begins now.
            fade_ms: How long the fade takes.
        """
        now = self._board.unix_s()
        if now and starts_at > now:
            self._plan((percent, ends_at, starts_at, fade_ms))
            self._wake.set()
        else:
            self._plan(None)
            self._change(percent, True, ends_at, fade_ms)

    def move_end(self, ends_at: int) -> None:
        """Move the end of the active override; without one there is nothing to move."""
        if self.is_overridden:
            self._change(self.command_percent, True, ends_at)

    def set_default(self, percent: int) -> None:
        """Set the level the lamp burns at without override and program; it survives a reboot."""
        self.default_percent = percent
        self._storage.set_i32(_DEFAULT, percent)
        self._storage.commit()
        self.program_changed()

    def release(self) -> None:
        """End the override."""
        self._change(self.scheduled_percent(), False, 0)

    def program_changed(self) -> None:
        """Follow a program that was replaced."""
        if not self.is_overridden:
            self._change(self.scheduled_percent(), False, 0)

    def set_emergency(self, is_emergency: bool) -> None:
        """Give full light at once, or go back to what decides otherwise."""
        self.is_emergency = is_emergency
        if is_emergency:
            self._is_fading = False
            self._target_permille = self.level_permille = 1000
            self._board.set_lamp(1000)
            self._wake.set()
        else:
            self._change(self.command_percent, self.is_overridden, self.override_ends_at)
        self._on_change()

    def scheduled_percent(self) -> int:
        """Give the level that holds without an override: the program's, else the default."""
        percent = self._program.level(self._board.unix_s())
        return self.default_percent if percent is None else percent

    def tick(self) -> bool:
        """Do what is due now; tell whether the next step is due soon."""
        self._note_burning()
        now = self._board.unix_s()
        is_starting = False
        if self._planned:
            percent, ends_at, starts_at, fade_ms = self._planned
            is_starting = starts_at - now <= _WATCH_FROM_S
            if not now or now >= starts_at:
                self._plan(None)
                self._change(percent, True, ends_at, fade_ms)
        if self.is_overridden:
            if self.override_ends_at and now and now >= self.override_ends_at:
                self.release()
        elif now and self.scheduled_percent() != self.command_percent:
            self._change(self.scheduled_percent(), False, 0)
        has_settled = False
        if self._is_fading:
            elapsed = self._board.ticks_diff(self._board.ticks_ms(), self._fade_started_ms)
            if elapsed >= self._fade_ms:
                self.level_permille = self._target_permille
                self._is_fading = False
                has_settled = True
                self._on_change()
            else:
                way = self._target_permille - self._fade_from_permille
                self.level_permille = self._fade_from_permille + way * elapsed // self._fade_ms
            self._board.set_lamp(self.level_permille)
        if has_settled:
            # Only now: who measures the lamp then must find it at its level.
            self._on_settled()
        return self._is_fading or is_starting

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

    def _change(
        self, percent: int, is_overridden: bool, ends_at: int, fade_ms: int = _FADE_MS
    ) -> None:
        self._note_burning()
        if percent and not self.command_percent:
            self.switch_count += 1
            self._storage.set_i32(_SWITCHES, self.switch_count)
        self.command_percent = percent
        self.is_overridden = is_overridden
        self.override_ends_at = ends_at
        self._storage.set_i32(_LEVEL, percent)
        self._storage.set_i32(_IS_OVERRIDDEN, 1 if is_overridden else 0)
        self._storage.set_i32(_OVERRIDE_END, ends_at)
        self._storage.commit()
        if not self.is_emergency:
            self._target_permille = percent * 10
            self._fade_from_permille = self.level_permille
            self._fade_started_ms = self._board.ticks_ms()
            self._fade_ms = fade_ms
            self._is_fading = self.level_permille != self._target_permille
        self._on_change()
        self._wake.set()

    def _plan(self, planned: "tuple[int, int, int, int] | None") -> None:
        if planned == self._planned:
            return
        self._planned = planned
        self._storage.set_blob(_PLANNED, struct.pack(_PLANNED_FORMAT, *planned) if planned else b"")
        self._storage.commit()

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

    def _stored_plan(self) -> "tuple[int, int, int, int] | None":
        buffer = bytearray(struct.calcsize(_PLANNED_FORMAT))
        try:
            if self._storage.get_blob(_PLANNED, buffer) == len(buffer):
                return struct.unpack(_PLANNED_FORMAT, buffer)
        except OSError:
            pass
        return None
