"""One Lease, one leader: taking, renewing, losing and releasing it (R-K8), on a store that knows versions."""

from __future__ import annotations

from typing import Any

import pytest

from bilateral.engine.api import Conflict, KubernetesAPI, NotFound, Unreachable
from bilateral.engine.clock import ClockGuard
from bilateral.engine.election import LEASE_SECONDS, MARGIN_SECONDS, Election

from .conftest import FakeClock


class Store(KubernetesAPI):
    """Keeps one Lease as the API server would: every write moves its version."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.answers_after = 0.0
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.writes = 0

    async def get(self, path: str) -> dict[str, Any]:
        self.clock.advance(self.answers_after)
        if self.down:
            raise Unreachable(0)
        if self.lease is None:
            raise NotFound(404)
        return self.lease

    async def create(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        return self._store(body)

    async def replace(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if self.down:
            raise Unreachable(0)
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409)
        return self._store(body)

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return Store(clock)


class Replica:
    def __init__(self, store: Store, clock: FakeClock, name: str) -> None:
        self.changes: list[bool] = []
        self.clock = clock
        self.guard = ClockGuard(clock)
        self.election = Election(
            store,
            clock,
            self.guard,
            namespace="trust",
            name="bilateral",
            identity=name,
            on_change=self.changes.append,
        )

    async def round(self) -> bool:
        await self.election._round(self.clock.monotonic())
        return self.election.holds


async def test_the_first_takes_it_and_the_second_waits(store: Store, clock: FakeClock) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    assert await one.round()
    assert not await two.round()
    assert (one.changes, two.changes) == ([True], [])


async def test_the_holder_counts_itself_deposed_before_anybody_may_take_over(
    store: Store, clock: FakeClock
) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    await one.round()
    await two.round()
    clock.advance(LEASE_SECONDS - MARGIN_SECONDS)
    assert not one.election.holds
    assert not await two.round(), "not yet"
    clock.advance(MARGIN_SECONDS)
    assert await two.round()


async def test_a_renewed_lease_is_not_taken(store: Store, clock: FakeClock) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    for _ in range(10):
        assert await one.round()
        assert not await two.round()
        clock.advance(4)


async def test_a_resumed_leader_finds_that_it_lost(store: Store, clock: FakeClock) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    await one.round()
    await two.round()
    clock.advance(LEASE_SECONDS + 1)
    assert await two.round()
    assert not one.election.holds
    assert not await one.round()
    assert one.changes == [True, False]


async def test_released_it_is_taken_at_once(store: Store, clock: FakeClock) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    await one.round()
    await one.election.stop()
    assert not one.election.holds
    assert store.lease is not None
    assert store.lease["spec"]["holderIdentity"] == ""
    assert await two.round()


async def test_of_two_at_once_one_wins(store: Store, clock: FakeClock) -> None:
    one, two = Replica(store, clock, "one"), Replica(store, clock, "two")
    await one.round()
    await one.election.stop()
    seen = await store.get("")
    await two.election._write(seen, holder="two")
    with pytest.raises(Conflict):
        await one.election._write(seen, holder="one")


async def test_without_the_api_server_the_holder_lets_go(store: Store, clock: FakeClock) -> None:
    one = Replica(store, clock, "one")
    await one.round()
    store.down = True
    clock.advance(LEASE_SECONDS - MARGIN_SECONDS + 1)
    with pytest.raises(Unreachable):
        await one.round()
    assert not one.election.holds


async def test_a_renewal_that_came_too_late_is_a_loss_and_a_win(store: Store, clock: FakeClock) -> None:
    """An API server that starts, or stood still, answers late: what was not done meanwhile must be done."""
    one = Replica(store, clock, "one")
    await one.round()
    clock.advance(LEASE_SECONDS - MARGIN_SECONDS - 1)
    store.answers_after = 2.0
    started = clock.monotonic()
    await one.round()
    assert clock.monotonic() > started + 1
    assert one.election.holds
    assert one.changes == [True, False, True]


async def test_a_renewal_in_time_is_no_change(store: Store, clock: FakeClock) -> None:
    one = Replica(store, clock, "one")
    await one.round()
    clock.advance(LEASE_SECONDS - MARGIN_SECONDS - 3)
    store.answers_after = 2.0
    await one.round()
    assert one.changes == [True]


async def test_a_lease_from_the_future_shows_that_our_clock_is_behind(store: Store, clock: FakeClock) -> None:
    ahead = FakeClock(clock.wall + 3600)
    await Replica(store, ahead, "one").round()
    two = Replica(store, clock, "two")
    await two.round()
    assert two.guard.regressed
