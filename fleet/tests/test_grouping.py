"""Questions that are asked at the same moment: who is answered what, and together with whom."""

import asyncio
from collections.abc import Sequence

import pytest

from poleward_fleet.adapters.sql.grouping import MAX_GROUP, Grouping
from poleward_fleet.domain.errors import ConflictError, UnavailableError

Asked = list[asyncio.Task[int]]


class Doubling:
    """Doubles numbers; refuses negative ones, is away at zero, and waits until it may go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go_on = asyncio.Event()
        self.grouping = Grouping(self._carry_out)

    async def _carry_out(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        await self.may_go_on.wait()
        if 0 in items:
            raise UnavailableError("away")
        if any(item < 0 for item in items):
            raise ConflictError(f"{items} has a negative number")
        return [2 * item for item in items]

    async def ask(self, *items: int) -> Asked:
        """Ask for all of them at the same moment."""
        asked = [asyncio.create_task(self.grouping.ask(item)) for item in items]
        await asyncio.sleep(0)
        return asked

    async def answers(self, asked: Asked) -> list[int | BaseException]:
        """Go on, and wait for what becomes of it."""
        self.may_go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_is_asked_meanwhile_is_the_next_group() -> None:
    doubling = Doubling()
    asked = await doubling.ask(1)
    asked += await doubling.ask(2, 3)
    asked += await doubling.ask(4)
    assert await doubling.answers(asked) == [2, 4, 6, 8]
    assert doubling.groups == [[1], [2, 3, 4]]


async def test_a_group_has_an_end() -> None:
    doubling = Doubling()
    many = range(1, 2 * MAX_GROUP)
    assert await doubling.answers(await doubling.ask(*many)) == [2 * item for item in many]
    assert [len(group) for group in doubling.groups] == [MAX_GROUP, MAX_GROUP - 1]


async def test_nobody_is_refused_for_what_another_asked() -> None:
    doubling = Doubling()
    first, refused, last = await doubling.answers(await doubling.ask(1, -2, 3))
    assert (first, last) == (2, 6)
    assert str(refused) == "[-2] has a negative number"
    assert doubling.groups == [[1, -2, 3], [1], [-2], [3]]


async def test_all_are_told_that_the_database_is_away() -> None:
    doubling = Doubling()
    outcomes = await doubling.answers(await doubling.ask(1, 0, 2))
    assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
    assert doubling.groups == [[1, 0, 2]]


async def test_who_gives_up_takes_nobody_with_it() -> None:
    doubling = Doubling()
    under_way = await doubling.ask(1, 2)
    waiting = await doubling.ask(3, 4)
    for given_up in (under_way[0], waiting[0]):
        given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert not under_way[0].done()  # its group is not over
    assert await doubling.answers([under_way[1], waiting[1]]) == [4, 8]
    with pytest.raises(asyncio.CancelledError):
        await under_way[0]
    assert doubling.groups == [[1, 2], [4]]


async def test_it_goes_on_after_everybody_was_answered() -> None:
    doubling = Doubling()
    assert await doubling.answers(await doubling.ask(1)) == [2]
    assert await doubling.answers(await doubling.ask(2)) == [4]
