"""The work queue: one worker a key, nothing lost, the fast lane first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.engine.clock import SystemClock
from bilateral.engine.queue import Lane, QueueStatistics, WorkQueue

from .conftest import FakeClock


async def take(queue: WorkQueue[str]) -> str | None:
    """A key that is due now, or None; a moment is enough, for the clock does not move by itself."""
    try:
        async with asyncio.timeout(0.02):
            return await queue.get()
    except TimeoutError:
        return None


async def test_a_key_is_handed_out_when_it_is_due_and_not_before(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", due=clock.mono + 10)
    assert await take(queue) is None
    clock.advance(10)
    assert await take(queue) == "a"


async def test_the_fast_lane_goes_first(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("slow")
    queue.add("fast", lane=Lane.FAST)
    assert [await take(queue), await take(queue)] == ["fast", "slow"]


async def test_the_earlier_of_two_wishes_counts(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", due=clock.mono + 5)
    queue.add("a", due=clock.mono + 50)
    clock.advance(5)
    assert await take(queue) == "a"
    queue.done("a")
    clock.advance(100)
    assert await take(queue) is None, "and the later one is gone with it"


async def test_a_key_in_flight_is_not_handed_out_again_until_it_is_done(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    assert await take(queue) is None
    queue.done("a")
    assert await take(queue) == "a"


async def test_a_plan_made_in_flight_gives_way_to_an_event(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    await take(queue)
    queue.schedule("a", due=clock.mono + 1000)
    queue.add("a")
    queue.done("a")
    assert await take(queue) == "a"


async def test_a_plan_does_not_undo_an_event_that_came_before_it(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.schedule("a", due=clock.mono + 1000)
    queue.done("a")
    assert await take(queue) == "a"


@pytest.mark.parametrize("plans", [(5, 300), (300, 5)])
async def test_of_two_plans_made_in_flight_the_earlier_counts(
    clock: FakeClock, plans: tuple[int, int]
) -> None:
    """A look plans its next one; what comes in at the endpoint meanwhile plans, too."""
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    await take(queue)
    for seconds in plans:
        queue.schedule("a", due=clock.mono + seconds)
    queue.done("a")
    clock.advance(5)
    assert await take(queue) == "a"


async def test_a_plan_may_be_put_off(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.schedule("a", due=clock.mono + 10)
    queue.schedule("a", due=clock.mono + 20)
    clock.advance(10)
    assert await take(queue) is None
    clock.advance(10)
    assert await take(queue) == "a"


@pytest.mark.parametrize("forget", ["discard", "clear"])
async def test_what_is_forgotten_does_not_come(clock: FakeClock, forget: str) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    if forget == "discard":
        queue.discard("a")
    else:
        queue.clear()
    assert await take(queue) is None
    assert queue.statistics() == QueueStatistics(waiting=0, in_flight=0)


async def test_a_waiting_worker_wakes_by_itself() -> None:
    clock = SystemClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for number in range(3):
        queue.add(str(number), due=clock.monotonic() + 0.01)
    async with asyncio.timeout(5):
        assert sorted(await asyncio.gather(*waiting)) == ["0", "1", "2"]


async def test_a_cancelled_worker_takes_no_key_with_it(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    queue.add("a")
    assert await take(queue) == "a"


async def test_joining_waits_for_the_last_key(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    await take(queue)
    joining = asyncio.create_task(queue.join_in_flight())
    await asyncio.sleep(0)
    assert not joining.done()
    queue.done("a")
    async with asyncio.timeout(5):
        await joining


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "schedule", "take", "done"]), st.sampled_from("abc"), st.integers(0, 5))
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_nothing_is_lost_and_nothing_is_doubled(steps: list[tuple[str, str, int]]) -> None:
    """Whatever happens, a key that was added is handed out afterwards, and never twice at once."""

    async def run() -> None:
        clock = FakeClock()
        queue: WorkQueue[str] = WorkQueue(clock)
        held: set[str] = set()
        owed: set[str] = set()
        for step, key, seconds in steps:
            match step:
                case "add" | "schedule":
                    getattr(queue, step)(key, due=clock.mono + seconds)
                    owed.add(key)
                case "take":
                    taken: Any = queue._take()
                    if taken is not None:
                        assert taken not in held
                        held.add(taken)
                        owed.discard(taken)
                case _:
                    if key in held:
                        held.discard(key)
                        queue.done(key)
            clock.advance(1)
        for key in held:
            queue.done(key)
        clock.advance(1000)
        found = set()
        while (left := queue._take()) is not None:
            found.add(left)
        assert found == owed

    asyncio.run(run())
