"""Our feeds: whatever happens between replicas, nobody is shown two histories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bilateral.engine.publishing import HEAD_SECONDS, Feeds
from bilateral.exchange.errors import Refusal
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.feed_reader import FeedReader, FeedState
from bilateral.protocol.keys import PublicKey, parse_public_key
from bilateral.protocol.reasons import Reason

from .conftest import FakeClock
from .memory import MemoryAPI, Replica

KERNEL = "org-a-kernel"


class Scene:
    """Two replicas over one ledger."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self.clock = clock
        self.api = MemoryAPI()
        self.api.add("trustdomains", {"metadata": {"name": "org-a"}, "spec": {"kernelId": KERNEL}})
        self.replicas = [Replica(self.api, clock), Replica(self.api, clock)]
        self.feeds = [Feeds(ledger, each.views, each.guard) for each in self.replicas]

    @property
    def key(self) -> PublicKey:
        return parse_public_key(self.replicas[0].status("trustdomains", "org-a")["publicKey"])

    async def read(self, which: int, state: FeedState | None = None) -> tuple[FeedState, list[str]]:
        """Read on, as a partner does, from one of the replicas."""
        state = state or FeedState()
        found: list[str] = []
        for _ in range(10):
            page = await self.feeds[which].feed_page(KERNEL, state.read.size)
            advance = FeedReader(KERNEL, (self.key,)).read(state, page, int(self.clock.wall))
            state, found = advance.state, [*found, *(each.capability_id for each in advance.entries)]
            if state.is_complete:
                break
        return state, found


@pytest.fixture
async def scene(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Scene]:
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    made = Scene(ledger, clock)
    for replica in made.replicas:
        await replica.settle()
        replica.catch_up()
    made.replicas[0].catch_up()
    yield made
    await ledger.close()


async def test_an_empty_feed_has_a_head(scene: Scene) -> None:
    state, found = await scene.read(0)
    assert (state.read.size, found, state.published_at) == (0, [], int(scene.clock.wall))


async def test_what_one_replica_revokes_both_show(scene: Scene) -> None:
    head = await scene.feeds[0].revoke(KERNEL, ["cap-1", "cap-2", "cap-1"])
    assert head.size == 2
    for which in (0, 1):
        state, found = await scene.read(which)
        assert (state.read.root.hex(), found) == (head.root_hash, ["cap-1", "cap-2"])


async def test_revoking_again_changes_nothing(scene: Scene) -> None:
    head = await scene.feeds[0].revoke(KERNEL, ["cap-1"])
    assert await scene.feeds[1].revoke(KERNEL, ["cap-1"]) == head
    assert (await scene.feeds[1].revoke(KERNEL, ["cap-1", "cap-2"])).size == 2


async def test_a_reader_may_go_from_replica_to_replica(scene: Scene) -> None:
    state, found = None, []
    for step in range(12):
        await scene.feeds[step % 2].revoke(KERNEL, [f"cap-{step}", f"cap-{step}-more"])
        scene.clock.advance(step * 7)
        state, more = await scene.read((step // 2) % 2, state)
        found += more
    assert found == [f"cap-{step}{end}" for step in range(12) for end in ("", "-more")]


async def test_replicas_that_revoke_at_once_make_one_log(scene: Scene) -> None:
    await asyncio.gather(*(scene.feeds[number % 2].revoke(KERNEL, [f"cap-{number}"]) for number in range(20)))
    assert sorted((await scene.read(0))[1]) == sorted(f"cap-{number}" for number in range(20))
    assert (await scene.read(0))[0].read == (await scene.read(1))[0].read


async def test_a_long_feed_comes_in_pages(scene: Scene) -> None:
    await scene.feeds[0].revoke(KERNEL, [f"cap-{number}" for number in range(2500)])
    state, found = await scene.read(1)
    assert state.is_complete
    assert len(found) == 2500


async def test_a_head_is_signed_anew_when_it_is_old(scene: Scene) -> None:
    first = await scene.feeds[0].revoke(KERNEL, ["cap-1"])
    scene.clock.advance(HEAD_SECONDS - 1)
    assert (await scene.read(1))[0].published_at == first.published_at
    scene.clock.advance(1)
    assert (await scene.read(1))[0].published_at == first.published_at + HEAD_SECONDS
    assert (await scene.read(0))[0].published_at == first.published_at + HEAD_SECONDS


async def test_a_replica_whose_clock_is_behind_revokes_all_the_same(scene: Scene, clock: FakeClock) -> None:
    first = await scene.feeds[0].revoke(KERNEL, ["cap-1"])
    clock.wall -= 2
    head = await scene.feeds[1].revoke(KERNEL, ["cap-2"])
    assert (head.size, head.published_at) == (2, first.published_at)
    assert (await scene.read(0))[1] == ["cap-1", "cap-2"]


async def test_a_reader_with_a_ceiling_of_seconds_never_finds_the_news_too_old(scene: Scene) -> None:
    ceiling, poll = 15, 5
    state = None
    for step in range(12):
        scene.clock.advance(poll if step % 2 else poll - 1)
        state, _ = await scene.read(step % 2, state)
        until = state.fresh_until(ceiling)
        assert until is not None
        assert until > int(scene.clock.wall) + poll


@pytest.mark.parametrize(("kernel", "reason"), [("nobody", Reason.NOT_FOUND), (KERNEL, Reason.NOT_READY)])
async def test_there_is_no_feed_without_a_key(scene: Scene, kernel: str, reason: Reason) -> None:
    scene.replicas[0].clock.wall -= 3600
    scene.replicas[0].guard.now()
    for asked in (scene.feeds[0].feed_page(kernel, 0), scene.feeds[0].revoke(kernel, ["cap-1"])):
        with pytest.raises(Refusal) as refused:
            await asked
        assert refused.value.reason is reason


async def test_what_is_no_capabilitys_id_is_refused(scene: Scene) -> None:
    with pytest.raises(MalformedDocument):
        await scene.feeds[0].revoke(KERNEL, ["cap-1", "not an id"])
    assert (await scene.read(0))[1] == []


async def test_the_only_feed_needs_no_name(scene: Scene) -> None:
    await scene.feeds[0].revoke(KERNEL, ["cap-1"])
    assert await scene.feeds[0].feed_page(None, 0) == await scene.feeds[0].feed_page(KERNEL, 0)
    scene.api.add("trustdomains", {"metadata": {"name": "other"}, "spec": {"kernelId": "other-kernel"}})
    scene.replicas[0].catch_up()
    with pytest.raises(Refusal) as refused:
        await scene.feeds[0].feed_page(None, 0)
    assert refused.value.reason is Reason.NOT_FOUND
