"""A simulated network and clock for endpoint tests: datagrams get lost, late or doubled.

Not a model of throughput: a datagram that nobody interferes with arrives at once. Runs on both
Pythons; nothing in it sleeps.
"""

import asyncio

_TURNS = 12  # of the event loop; enough for every task to run until it waits


class FakeClock:
    """The endpoint's clock contract, driven by `run_until_done` and `advance`."""

    def __init__(self, start: int = 0) -> None:
        self.now = start
        self.dues: list[int] = []

    def ticks_ms(self) -> int:
        return self.now

    def ticks_diff(self, later: int, earlier: int) -> int:
        return later - earlier

    async def wait(self, event, timeout_ms: int) -> bool:
        due = self.now + timeout_ms
        self.dues.append(due)
        try:
            while not event.is_set() and self.now < due:  # noqa: ASYNC110 - no real time
                await asyncio.sleep(0)
        finally:
            self.dues.remove(due)
        return event.is_set()


class FakeNetwork:
    """Carries datagrams between `FakeTransport`s.

    Attributes:
        rule: `rule(source, destination, datagram)` gives the delays in milliseconds of the copies
            that arrive: `[0]` delivers, `[]` loses, `[0, 50]` doubles.
        log: (time, source, destination, datagram) of everything sent; None keeps nothing.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.rule = lambda source, destination, datagram: [0]
        self.in_flight: list = []
        self.log: "list | None" = []

    def send(self, source, destination, datagram: bytes) -> None:
        if self.log is not None:
            self.log.append((self.clock.now, source, destination, datagram))
        for delay in self.rule(source, destination, datagram):
            self.in_flight.append((self.clock.now + delay, destination, source, datagram))

    def sent_by(self, source) -> list:
        return [datagram for _, sender, _, datagram in self.log if sender == source]


class FakeTransport:
    """One address on a `FakeNetwork`; the endpoint's transport contract."""

    def __init__(self, network: FakeNetwork, address) -> None:
        self.network = network
        self.address = address

    def send(self, view, address) -> None:
        self.network.send(self.address, address, bytes(view))

    def take(self):
        """Take the next datagram that has arrived as (source, datagram), None if there is none."""
        arrived = None
        for entry in self.network.in_flight:
            is_here = entry[1] == self.address and entry[0] <= self.network.clock.now
            if is_here and (arrived is None or entry[0] < arrived[0]):
                arrived = entry
        if arrived is None:
            return None
        self.network.in_flight.remove(arrived)
        return arrived[2], arrived[3]

    async def receive_into(self, buffer):
        while True:
            arrived = self.take()
            if arrived is not None:
                source, datagram = arrived
                count = min(len(datagram), len(buffer))
                buffer[:count] = datagram[:count]
                return count, source
            await asyncio.sleep(0)


async def settle() -> None:
    """Let every task run until it waits for time or a datagram."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def advance(network: FakeNetwork, milliseconds: int) -> None:
    """Let this much time pass, stopping wherever something is due."""
    clock = network.clock
    end = clock.now + milliseconds
    await settle()
    while True:
        dues = clock.dues + [entry[0] for entry in network.in_flight]
        dues = [due for due in dues if clock.now < due <= end]
        clock.now = min(dues) if dues else end
        await settle()
        if clock.now >= end:
            return


class Started:
    """A coroutine running as a task, and what became of it."""

    def __init__(self, coroutine) -> None:
        self.outcome: list = []
        self._coroutine = coroutine
        self.task = asyncio.create_task(self._record())

    async def _record(self) -> None:
        # An exception left in a task that nobody awaits yet would be printed by MicroPython.
        try:
            self.outcome.append((await self._coroutine, None))
        except Exception as error:
            self.outcome.append((None, error))


async def run_until_done(network: FakeNetwork, work, limit_ms: int = 600_000):
    """Run a coroutine or a `Started` to its end in simulated time; return or raise as it does."""
    started = work if isinstance(work, Started) else Started(work)
    clock = network.clock
    end = clock.now + limit_ms
    try:
        while True:
            await settle()
            if started.outcome:
                break
            dues = clock.dues + [entry[0] for entry in network.in_flight]
            dues = [due for due in dues if due > clock.now]
            assert dues, "nothing will ever happen"
            clock.now = min(dues)
            assert clock.now < end, "not done in simulated time"
    finally:
        started.task.cancel()
    value, error = started.outcome[0]
    if error is not None:
        raise error
    return value


class CountingRandom:
    """Predictable "random" bytes that do not repeat soon (a linear congruential generator)."""

    def __init__(self, seed: int = 1) -> None:
        self.state = seed

    def __call__(self, count: int) -> bytes:
        made = bytearray(count)
        for index in range(count):
            self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
            made[index] = self.state >> 16 & 0xFF
        return bytes(made)
