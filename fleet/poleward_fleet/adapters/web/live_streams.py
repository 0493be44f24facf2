"""Server-sent events: their format, their heartbeat and their end.

Not what is in them.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi.responses import StreamingResponse

# A browser that hears nothing for three of these says that the connection is lost.
HEARTBEAT_S = 5.0
# A stream ends after this and the browser opens the next, so that an ended session is noticed.
LIFETIME_S = 900.0


def event_text(name: str, data: object) -> str:
    """Format one event (HTML Standard, 9.2.5)."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n"


class LiveStreams:
    """The open live streams of this server, so that it can end them when it stops.

    Args:
        heartbeat_s: A stream with nothing to say sends a heartbeat at this interval.
        lifetime_s: A stream ends after this time.
    """

    def __init__(self, heartbeat_s: float = HEARTBEAT_S, lifetime_s: float = LIFETIME_S) -> None:
        self._heartbeat_s = heartbeat_s
        self._lifetime_s = lifetime_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream, and each that opens from now on."""
        self._closing.set()

    def response(self, events: AsyncGenerator[tuple[str, object], None]) -> StreamingResponse:
        """Return a response that sends (name, data) pairs as they come."""
        return StreamingResponse(
            self._text(events),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _text(self, events: AsyncGenerator[tuple[str, object], None]) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._lifetime_s
        closing = asyncio.create_task(self._closing.wait())
        pending: asyncio.Task[tuple[str, object] | None] | None = None
        try:
            yield "retry: 2000\n\n"
            while loop.time() < ends_at:
                pending = pending or asyncio.create_task(_next(events))
                await asyncio.wait(
                    {pending, closing},
                    timeout=self._heartbeat_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if closing.done():
                    return
                if not pending.done():
                    yield event_text("beat", {})
                    continue
                event = pending.result()
                pending = None
                if event is None:
                    return
                yield event_text(*event)
        finally:
            # A generator cannot be closed while a task is inside it.
            closing.cancel()
            if pending is not None:
                pending.cancel()
                await asyncio.wait({pending})
                if not pending.cancelled():
                    pending.exception()
            await events.aclose()


async def _next(events: AsyncGenerator[tuple[str, object], None]) -> tuple[str, object] | None:
    return await anext(events, None)
