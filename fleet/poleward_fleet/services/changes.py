"""Live updates: tells subscribers what changed, merged while they are busy.

Not a log: who needs every state reads the database.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from poleward_fleet.services.web_services import Changed


class Subscriber:
    """What one subscriber has not seen yet; bounded by the number of things that can change."""

    def __init__(self) -> None:
        self.poles: set[str] = set()
        self.rollouts: set[int] = set()
        self.gateways: set[str] = set()
        self.alarms = False
        self.woken = asyncio.Event()

    def take(self) -> Changed:
        """Return what changed since the last time, without waiting."""
        self.woken.clear()
        changed = Changed(
            frozenset(self.poles),
            frozenset(self.rollouts),
            frozenset(self.gateways),
            self.alarms,
        )
        self.poles.clear()
        self.rollouts.clear()
        self.gateways.clear()
        self.alarms = False
        return changed


class ChangeBroadcast:
    """Names of changed poles, rollouts and gateways, and alarms, for any number of subscribers.

    Overflow rule: a slow subscriber gets names merged, never dropped.
    """

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
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
        alarms: bool = False,
    ) -> None:
        """Tell every subscriber."""
        poles, rollouts, gateways = set(pole_codes), set(rollout_numbers), set(gateway_names)
        if not (poles or rollouts or gateways or alarms):
            return
        for subscriber in self._subscribers:
            subscriber.poles |= poles
            subscriber.rollouts |= rollouts
            subscriber.gateways |= gateways
            subscriber.alarms |= alarms
            subscriber.woken.set()

    def close(self) -> None:
        """End every subscription; new ones end at once."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.woken.set()

    def listen(self) -> Subscriber:
        """Open a subscription that lasts until `leave`."""
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """End a subscription."""
        self._subscribers.discard(subscriber)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Changed]]:
        """Open a subscription; it ends with the block."""
        subscriber = self.listen()
        try:
            yield self._changes(subscriber)
        finally:
            self.leave(subscriber)

    async def _changes(self, subscriber: Subscriber) -> AsyncIterator[Changed]:
        while not self._closed:
            await subscriber.woken.wait()
            changed = subscriber.take()
            if changed != Changed():
                yield changed
