"""The emergency call: light first, then the latch in flash, then the event, then the answer.

Not the delivery of the event, which the application does ahead of everything else.
"""

import asyncio

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_BLINK_MS = const(250)
_SEVERITY_RECORD = const(1)
_SEVERITY_ACT = const(3)
# Keys of the namespace "sos" in NVS.
_STATE = "state"
_COUNT = "count"
_IS_TOLD = "is_told"
_PRESSED_AT = "pressed_at"
_IDLE = const(0)
_CALLING = const(1)
_ACCEPTED = const(2)


class EmergencyCall:
    """One call at a time; only an operator ends it.

    - A press gives full light and a blinking beacon at once, whatever the network does.
    - The call survives any power cut after that: latched in flash, its event is made once more
      when a cut came between the latch and the event.
    - Accepted, the beacon is steady: somebody has seen it. Pressing again only counts.

    Args:
        board: For button, beacon, clocks and storage.
        lamp: A `node.lighting.controller.LampController`.
        tell: `tell(kind, severity, detail)` keeps an event durably; raises OSError when it cannot.
        on_change: Called after each change.
    """

    def __init__(
        self,
        board: "Any",
        lamp: "Any",
        tell: "Callable[[str, int, str], None]",
        on_change: "Callable[[], None]",
    ) -> None:
        self._board = board
        self._lamp = lamp
        self._tell = tell
        self._on_change = on_change
        self._storage = board.open_nvs("sos")
        self._state = self._stored(_STATE)
        self._is_told = bool(self._stored(_IS_TOLD))
        self.count = self._stored(_COUNT)
        self.pressed_at = self._stored(_PRESSED_AT)
        self._changed = asyncio.Event()
        if self.is_active:
            lamp.set_emergency(True)

    @property
    def is_active(self) -> bool:
        """Whether somebody called and the call was not reset."""
        return self._state != _IDLE

    @property
    def is_accepted(self) -> bool:
        """Whether an operator has accepted the call."""
        return self._state == _ACCEPTED

    async def run(self) -> None:
        """Wait for presses until cancelled."""
        while True:
            await self._board.button_press()
            self.press()

    async def run_beacon(self) -> None:
        """Show the call's state until cancelled: blinking, steady when accepted, else dark.

        It also tells of a call that could not be told: power was lost, or the flash was full.
        """
        is_on = False
        while True:
            self._tell_untold("")
            is_on = not is_on if self._state == _CALLING else self.is_accepted
            self._board.set_beacon(is_on)
            try:
                if self._state == _CALLING:
                    await asyncio.wait_for_ms(self._changed.wait(), _BLINK_MS)
                else:
                    await self._changed.wait()
            except asyncio.TimeoutError:
                pass
            self._changed.clear()

    def press(self) -> None:
        """Take a press of the button."""
        started = self._board.ticks_ms()
        was_active = self.is_active
        if not was_active:
            self._board.set_beacon(True)
            self._lamp.set_emergency(True)
        light_ms = self._board.ticks_diff(self._board.ticks_ms(), started)
        self.count += 1
        self._storage.set_i32(_COUNT, self.count)
        if was_active:
            self._storage.commit()
            return
        self.pressed_at = self._board.unix_s()
        self._is_told = False
        self._storage.set_i32(_PRESSED_AT, self.pressed_at)
        self._storage.set_i32(_IS_TOLD, 0)
        self._set_state(_CALLING)
        print("emergency call, light after", light_ms, "ms")
        self._tell_untold("light after %d ms" % light_ms)

    def accept(self) -> None:
        """Show whoever called that somebody has seen it."""
        if self._state == _CALLING:
            self._set_state(_ACCEPTED)
            self._try_to_tell("sos.accepted", _SEVERITY_RECORD, "")

    def reset(self) -> None:
        """End the call: an operator says that help was given."""
        if self.is_active:
            self._set_state(_IDLE)
            self._lamp.set_emergency(False)
            self._try_to_tell("sos.reset", _SEVERITY_RECORD, "")

    def _set_state(self, state: int) -> None:
        self._state = state
        self._storage.set_i32(_STATE, state)
        self._storage.commit()
        self._changed.set()
        self._on_change()

    def _tell_untold(self, detail: str) -> None:
        if self.is_active and not self._is_told:
            self._is_told = self._try_to_tell("sos.pressed", _SEVERITY_ACT, detail)
            if self._is_told:
                self._storage.set_i32(_IS_TOLD, 1)
                self._storage.commit()

    def _try_to_tell(self, kind: str, severity: int, detail: str) -> bool:
        try:
            self._tell(kind, severity, detail)
            return True
        except OSError as error:
            print("event", kind, "not kept:", repr(error))
            return False

    def _stored(self, key: str) -> int:
        try:
            return int(self._storage.get_i32(key))
        except OSError:
            return 0
