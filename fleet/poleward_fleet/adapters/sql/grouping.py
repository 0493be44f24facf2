"""What callers ask for at the same moment goes to the database together.

Not what is asked: the stores' statements take many at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from poleward_fleet.domain.errors import UnavailableError

MAX_GROUP = 64

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Grouping(Generic[_Item, _Result]):
    """Carries out one group at a time; what is asked meanwhile is the next group.

    - A group begins after everything in it was asked: nobody reads what is older than the question.
    - A group that fails is carried out one by one, so that nobody is refused for what another
      asked. All are told when the database is away.
    - What a caller gives up before its turn is left out. Later it stays until its group has ended,
      so that no group outlives its callers. As many wait as calls are open.

    Args:
        carry_out: Returns a result for each item, in order; does all of them or nothing.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result]]]
    ) -> None:
        self._carry_out = carry_out
        self._waiting: list[tuple[_Item, asyncio.Future[_Result]]] = []
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def ask(self, item: _Item) -> _Result:
        """Have an item carried out; return its result or raise what came of it."""
        answer: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        asked = (item, answer)
        self._waiting.append(asked)
        if self._task is None or self._task.done():
            # A task of its own: a caller that gives up takes nobody with it.
            self._task = asyncio.create_task(self._carry_out_waiting())
        try:
            return await answer
        except asyncio.CancelledError:
            if asked in self._waiting:
                self._waiting.remove(asked)
            else:
                await self._ended.wait()
            raise

    async def _carry_out_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            self._ended.clear()
            try:
                await self._answer(group)
            finally:
                self._ended.set()

    async def _answer(self, group: Sequence[tuple[_Item, asyncio.Future[_Result]]]) -> None:
        (outcome,) = await asyncio.gather(
            self._carry_out([item for item, _ in group]), return_exceptions=True
        )
        failed = isinstance(outcome, BaseException)
        if failed and len(group) > 1 and not isinstance(outcome, UnavailableError):
            for asked in group:
                await self._answer([asked])
            return
        for position, (_, answer) in enumerate(group):
            if answer.done():
                continue
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome[position])
