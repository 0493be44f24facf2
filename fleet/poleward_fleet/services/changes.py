"""Live updates: tells subscribers what changed, merged while they are busy.

Not a log: who needs every state reads the database.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from poleward_fleet.services.web_services import Changed


class _Subscriber:
    """What one subscriber has not seen yet; bounded by the number of things that can change."""

    def __init__(self) -> None:
        self.poles: set[str] = set()
        self.rollouts: set[int] = set()
        self.gateways: set[str] = set()
        self.woken = asyncio.Event()


class ChangeBroadcast:
    """Names of changed poles, rollouts and gateways for any number of subscribers.

    Overflow rule: a slow subscriber gets names merged, never dropped.
    """

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens; publishers may save themselves the work."""
        return bool(self._subscribers)

    def publish(
        self,
        *,
        pole_codes: Iterable[str] = (),
        rollout_numbers: Iterable[int] = (),
        gateway_names: Iterable[str] = (),
    ) -> None:
        """Tell every subscriber."""
        poles, rollouts, gateways = set(pole_codes), set(rollout_numbers), set(gateway_names)
        if not (poles or rollouts or gateways):
            return
        for subscriber in self._subscribers:
            subscriber.poles |= poles
            subscriber.rollouts |= rollouts
            subscriber.gateways |= gateways
            subscriber.woken.set()

    def close(self) -> None:
        """End every subscription; new ones end at once."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.woken.set()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Changed]]:
        """Open a subscription; it ends with the block."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield self._changes(subscriber)
        finally:
            self._subscribers.discard(subscriber)

    async def _changes(self, subscriber: _Subscriber) -> AsyncIterator[Changed]:
        while not self._closed:
            await subscriber.woken.wait()
            subscriber.woken.clear()
            changed = Changed(
                frozenset(subscriber.poles),
                frozenset(subscriber.rollouts),
                frozenset(subscriber.gateways),
            )
            subscriber.poles.clear()
            subscriber.rollouts.clear()
            subscriber.gateways.clear()
            if changed != Changed():
                yield changed
