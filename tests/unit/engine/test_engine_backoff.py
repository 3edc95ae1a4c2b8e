"""Failures delay one key, ever longer; an API server that is heard of again ends the waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bilateral.engine.api import APIError, Unreachable
from bilateral.engine.backoff import FIRST_SECONDS, MAX_SECONDS, Backoff
from bilateral.engine.cache import Key, Kind
from bilateral.engine.controller import Controller
from bilateral.engine.metrics import Metrics
from bilateral.engine.queue import WorkQueue

from .conftest import FakeClock

ONE = Key(Kind.FEDERATION_PEER, "trust", "one")
TWO = Key(Kind.FEDERATION_PEER, "trust", "two")


def test_the_wait_doubles_up_to_a_minute() -> None:
    backoff: Backoff[str] = Backoff()
    for number in range(1, 100):
        longest = min(MAX_SECONDS, FIRST_SECONDS * 2**number)
        assert longest / 2 <= backoff.failed("key") <= longest


def test_a_success_ends_it_and_others_are_not_concerned() -> None:
    backoff: Backoff[str] = Backoff()
    for _ in range(10):
        backoff.failed("key")
    assert backoff.failed("other") <= 2 * FIRST_SECONDS
    backoff.succeeded("key")
    assert backoff.failed("key") <= 2 * FIRST_SECONDS


def test_what_the_server_asks_for_is_waited() -> None:
    assert Backoff[str]().failed("key", at_least=30.0) == 30.0


def test_unanswered_keys_are_those_that_failed_so_last() -> None:
    backoff: Backoff[str] = Backoff()
    for key in ("gone", "refused", "done"):
        for _ in range(9):
            backoff.failed(key, answered=False)
    backoff.failed("refused")
    backoff.succeeded("done")
    assert backoff.take_unanswered() == {"gone"}
    assert backoff.take_unanswered() == frozenset()
    assert backoff.failed("gone", answered=False) <= 2 * FIRST_SECONDS


@dataclass
class Failing:
    """A looker whose API server does what the test says."""

    error: APIError | None
    looked: list[str] = field(default_factory=list)

    async def look(self, key: Key) -> None:
        self.looked.append(key.name)
        if self.error is not None:
            raise self.error


@dataclass
class Stage:
    clock: FakeClock
    looker: Failing
    queue: WorkQueue[Key]
    controller: Controller
    leads: bool = True

    async def turn(self) -> None:
        """Let the worker do what is due."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def let_fail(self, times: int) -> None:
        for _ in range(times):
            self.queue.add(ONE)
            await self.turn()
        assert len(self.looker.looked) == times


@pytest.fixture
async def stage(clock: FakeClock) -> AsyncIterator[Stage]:
    queue: WorkQueue[Key] = WorkQueue(clock)
    looker = Failing(Unreachable(0))
    controller = Controller(
        queue=queue,
        lookers={Kind.FEDERATION_PEER.value: looker},
        clock=clock,
        metrics=Metrics(),
        holds=lambda: made.leads,
    )
    made = Stage(clock, looker, queue, controller)
    controller.start(1)
    yield made
    await controller.stop()


async def test_an_api_server_that_is_heard_of_again_is_asked_at_once(stage: Stage) -> None:
    await stage.let_fail(9)
    stage.looker.error = None
    await stage.turn()
    assert len(stage.looker.looked) == 9, "it waits"
    stage.controller.api_answers()
    await stage.turn()
    assert len(stage.looker.looked) == 10
    stage.controller.api_answers()
    await stage.turn()
    assert len(stage.looker.looked) == 10, "once"


async def test_a_refusal_waits_for_its_time_all_the_same(stage: Stage) -> None:
    stage.looker.error = APIError(500)
    await stage.let_fail(9)
    stage.controller.api_answers()
    await stage.turn()
    assert len(stage.looker.looked) == 9


async def test_a_new_leader_carries_no_failures_over(stage: Stage) -> None:
    stage.looker.error = APIError(500)
    await stage.let_fail(9)
    stage.controller.begin_anew()
    stage.queue.add(ONE)
    await stage.turn()
    stage.clock.advance(2 * FIRST_SECONDS)
    stage.queue.add(TWO)
    await stage.turn()
    assert stage.looker.looked[9:] in (["one", "one", "two"], ["one", "two", "one"])


async def test_who_does_not_lead_asks_nobody(stage: Stage) -> None:
    await stage.let_fail(3)
    stage.leads = False
    stage.controller.api_answers()
    await stage.turn()
    assert len(stage.looker.looked) == 3
