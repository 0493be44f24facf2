"""Carries queued reports and events to the gateway with LwM2M Send, until each is acknowledged.

Not the queue's rules and not the packs: it only decides what is sent when.
"""

import asyncio

from micropython import const

from node.coap import message
from node.coap.client import RequestError
from node.codec import options
from node.lwm2m.back_off import BackOff
from node.lwm2m.client import NotRegisteredError
from node.lwm2m.reports import stamp
from node.lwm2m.values import FORMAT_SENML_CBOR
from node.oscore.context import OscoreError
from node.store.report_queue import HEADER_BYTES, base_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_PATH = ("dp",)
# The gateway writes the time right after the registration; reports of a node without time wait
# for that, but not for ever.
_TIME_WAIT_S = const(15)
_MUTED_MS = const(500)
_HOLD_MAX_S = const(120)
_CALL_RETRY_MAX_MS = const(2000)


class Delivery:
    """Sends what waits, oldest first; events on a path of their own that nothing delays.

    - 2.04 means that the gateway has it on its disk: only then is it forgotten.
    - A report that is not acknowledged moves to flash with all others, and the registration is
      checked.
    - 4.00 and 4.13 would come again for ever: the report is dropped and counted as refused.

    Args:
        client: The registration.
        account: Says whether Send is muted.
        queue: What waits.
        board: Clocks and random numbers.
        boot_count: Of this boot.
    """

    def __init__(
        self, client: "Any", account: "Any", queue: "Any", board: "Any", boot_count: int
    ) -> None:
        self._client = client
        self._account = account
        self._queue = queue
        self._board = board
        self._boot_count = boot_count
        self._reports_wait = asyncio.Event()
        self._events_wait = asyncio.Event()
        self._calls_wait = asyncio.Event()
        self._hold_ms = 0
        self.acknowledged = 0
        self.refused = 0

    def wake(self) -> None:
        """Look at the queue: something was put into it."""
        self._reports_wait.set()
        self._events_wait.set()
        self._calls_wait.set()

    async def run_reports(self) -> None:
        """Send reports until cancelled."""
        back_off = BackOff(self._board.random_bytes)
        while True:
            record = self._queue.first()
            if record is None:
                self._reports_wait.clear()
                await self._reports_wait.wait()
                continue
            await self._client.registered.wait()
            if self._account.is_send_muted or self._must_wait_for_time():
                await asyncio.sleep_ms(_MUTED_MS)
                continue
            if await self._send(record):
                self._queue.done(record)
                back_off.reset()
            else:
                self._queue.spill()
                await self._pause(back_off)

    async def run_events(self) -> None:
        """Send events until cancelled; a failure is retried as long as it takes."""
        queue = self._queue
        back_off = BackOff(self._board.random_bytes)
        await self._run(queue.first_event, queue.event_done, self._events_wait, back_off)

    async def run_calls(self) -> None:
        """Send emergency calls until cancelled, beside everything else and with short pauses."""
        queue = self._queue
        back_off = BackOff(self._board.random_bytes, _CALL_RETRY_MAX_MS)
        await self._run(queue.first_call, queue.call_done, self._calls_wait, back_off)

    async def _run(
        self,
        first: "Callable[[], bytes | None]",
        done: "Callable[[], None]",
        wait: "asyncio.Event",
        back_off: BackOff,
    ) -> None:
        while True:
            record = first()
            if record is None:
                wait.clear()
                await wait.wait()
                continue
            await self._client.registered.wait()
            if not self._account.is_send_muted and await self._send(record, is_urgent=True):
                done()
                back_off.reset()
            else:
                await self._pause(back_off)

    async def _pause(self, back_off: BackOff) -> None:
        """Wait for the back-off, or for what an overloaded gateway asked if that is longer."""
        hold_ms, self._hold_ms = self._hold_ms, 0
        await asyncio.sleep_ms(max(hold_ms, back_off.next_ms()))

    async def _send(self, record: bytes, is_urgent: bool = False) -> bool:
        """Send one record; tell whether it needs no further care."""
        payload = bytearray(record[HEADER_BYTES:])
        board = self._board
        stamp(payload, base_time(record, self._boot_count, board.monotonic_s(), board.unix_s()))
        try:
            response = await self._client.request(_PATH, payload, FORMAT_SENML_CBOR, is_urgent)
        except NotRegisteredError:
            return False
        except (RequestError, OscoreError):
            self._client.update()
            return False
        if response.code == message.CHANGED:
            self.acknowledged += 1
            return True
        # Anybody can forge an unprotected refusal, and 4.00 also comes for keys that were changed.
        if response.is_protected and response.code in (message.BAD_REQUEST, message.TOO_LARGE):
            print("refused:", bytes(record[HEADER_BYTES:]).hex())
            self.refused += 1
            return True
        if response.code == message.UNAVAILABLE:
            max_age_s = options.find_uint(response.options, options.MAX_AGE)
            self._hold_ms = min(max_age_s or 0, _HOLD_MAX_S) * 1000
        else:  # 4.01, 4.04: the gateway does not know us any more
            self._client.update()
        return False

    def _must_wait_for_time(self) -> bool:
        board = self._board
        if board.unix_s():
            return False
        return bool(board.monotonic_s() - self._client.registered_at_s < _TIME_WAIT_S)
