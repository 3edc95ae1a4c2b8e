"""The news of revocations: stored before it counts, found again after a restart, and never taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bilateral.engine.revocations import MAX_FOREIGN_KEPT, REFRESH_SECONDS, RevocationNews
from bilateral.ledger.errors import LedgerUnavailable
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Relation
from bilateral.protocol.feed_reader import Equivocation, FeedReader, ForeignSigner
from support.feeds import FEED_KEY, KERNEL, NOW, OTHER_KEY, Feed, feed_of

from .conftest import FakeClock

OURS = Relation("org-a-kernel", KERNEL)
ANOTHER = Relation("org-c-kernel", KERNEL)
READER = FeedReader(KERNEL, (FEED_KEY.public_key,))
MINUTE, HOUR = 60, 3600


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    await opened.close()


async def read(news: RevocationNews, feed: Feed, now: int = NOW) -> None:
    state = await news.load(OURS)
    await news.advance(OURS, READER.read(state, feed.page(state.read.size, now).to_json(), now))


async def test_what_was_read_is_known_and_fresh_for_a_while(ledger: Ledger, clock: FakeClock) -> None:
    news = RevocationNews(ledger, clock)
    await read(news, feed_of(3))
    about = news.about(OURS, HOUR, 1)
    assert [about.is_revoked(f"cap-{number}") for number in range(4)] == [True, True, True, False]
    assert (about.fresh_until, about.lesser, about.equivocated) == (NOW + HOUR, False, False)
    assert news.count(OURS) == 3
    assert not news.about(ANOTHER, HOUR, 1).is_revoked("cap-0")


async def test_nobodys_news_is_fresh(ledger: Ledger, clock: FakeClock) -> None:
    news = RevocationNews(ledger, clock)
    assert news.about(OURS, HOUR, 1).fresh_until is None
    await news.load(OURS)
    assert news.about(OURS, HOUR, 1).fresh_until is None


async def test_a_restart_knows_all_and_goes_on(ledger: Ledger, clock: FakeClock) -> None:
    feed = feed_of(3)
    await read(RevocationNews(ledger, clock), feed)
    again = RevocationNews(ledger, clock)
    assert (await again.load(OURS)).read.size == 3
    assert again.about(OURS, HOUR, 1).is_revoked("cap-2")
    assert again.about(OURS, HOUR, 1).fresh_until == NOW + HOUR
    await read(again, feed.revoke("more"), NOW + MINUTE)
    assert again.about(OURS, HOUR, 1).is_revoked("more")
    assert again.about(OURS, HOUR, 1).fresh_until == NOW + MINUTE + HOUR


async def test_another_replica_finds_it_in_the_ledger(ledger: Ledger, clock: FakeClock) -> None:
    reading, other = RevocationNews(ledger, clock), RevocationNews(ledger, clock)
    await other.load(OURS)
    await read(reading, feed_of(3))
    await other.load(OURS)
    assert not other.about(OURS, HOUR, 1).is_revoked("cap-0"), "the ledger was asked a moment ago"
    clock.advance(REFRESH_SECONDS)
    await other.load(OURS)
    assert other.about(OURS, HOUR, 1).is_revoked("cap-0")
    assert other.about(OURS, HOUR, 1).fresh_until == NOW + HOUR


async def test_what_cannot_be_stored_does_not_count(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> int:
        raise LedgerUnavailable("sqlite")

    news = RevocationNews(ledger, clock)
    monkeypatch.setattr(ledger, "merge_revocations", fail)
    with pytest.raises(LedgerUnavailable):
        await read(news, feed_of(3))
    assert not news.about(OURS, HOUR, 1).is_revoked("cap-0")
    assert news.about(OURS, HOUR, 1).fresh_until is None


async def test_two_histories_close_the_partner_for_every_policy_made_before(
    ledger: Ledger, clock: FakeClock
) -> None:
    news, feed = RevocationNews(ledger, clock), feed_of(3)
    await read(news, feed)
    fork = Feed().revoke("cap-0", "cap-1", "another", "more")
    with pytest.raises(Equivocation) as caught:
        READER.read(await news.load(OURS), fork.page(3, NOW + 10).to_json(), NOW + 10)
    await news.convict(OURS, caught.value.evidence)
    for each in (news, RevocationNews(ledger, clock)):
        await each.load(OURS)
        assert each.about(OURS, HOUR, NOW).equivocated
        assert each.about(OURS, HOUR, NOW + 10).equivocated
        assert not each.about(OURS, HOUR, NOW + 11).equivocated
        assert each.about(OURS, HOUR, NOW + 11).is_revoked("cap-2")


async def test_a_strangers_head_convicts_nobody(ledger: Ledger, clock: FakeClock) -> None:
    news = RevocationNews(ledger, clock)
    forged = Feed(key=OTHER_KEY).revoke("cap-9")

    with pytest.raises(ForeignSigner) as caught:
        READER.read(await news.load(OURS), forged.page(0).to_json(), NOW)
    await news.convict(OURS, caught.value.evidence)
    assert not news.about(OURS, HOUR, 1).equivocated
    assert len(await ledger.load_evidence(OURS)) == 1


async def test_what_could_not_be_kept_closes_all_the_same(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> str:
        raise LedgerUnavailable("sqlite")

    news = RevocationNews(ledger, clock)
    await read(news, feed_of(3))
    fork = Feed().revoke("cap-0", "cap-1", "another", "more")
    with pytest.raises(Equivocation) as caught:
        READER.read(await news.load(OURS), fork.page(3, NOW + 10).to_json(), NOW + 10)
    monkeypatch.setattr(ledger, "keep_evidence", fail)
    with pytest.raises(LedgerUnavailable):
        await news.convict(OURS, caught.value.evidence)
    clock.advance(REFRESH_SECONDS)
    await news.load(OURS)
    assert news.about(OURS, HOUR, NOW).equivocated


async def test_of_strangers_heads_a_few_are_kept(ledger: Ledger, clock: FakeClock) -> None:
    for start in (0, MAX_FOREIGN_KEPT - 3):
        news = RevocationNews(ledger, clock)
        for number in range(start, start + MAX_FOREIGN_KEPT):
            forged = Feed(key=OTHER_KEY).revoke(f"cap-{number}")
            with pytest.raises(ForeignSigner) as caught:
                READER.read(await news.load(OURS), forged.page(0).to_json(), NOW)
            await news.convict(OURS, caught.value.evidence)
    assert len(await ledger.load_evidence(OURS)) == MAX_FOREIGN_KEPT


async def test_an_unsigned_source_is_marked_as_such(ledger: Ledger, clock: FakeClock) -> None:
    news = RevocationNews(ledger, clock)
    await news.load(OURS)
    await news.merge_lesser(OURS, ("cap-0", "cap-1"), NOW)
    await news.merge_lesser(OURS, ("cap-0",), NOW + MINUTE)
    about = news.about(OURS, HOUR, 1)
    assert (about.lesser, about.fresh_until) == (True, NOW + MINUTE + HOUR)
    assert about.is_revoked("cap-1"), "nothing is ever taken back"
    again = RevocationNews(ledger, clock)
    await again.load(OURS)
    assert again.about(OURS, HOUR, 1).is_revoked("cap-1")
    assert (again.about(OURS, HOUR, 1).lesser, again.about(OURS, HOUR, 1).fresh_until) == (
        True,
        NOW + MINUTE + HOUR,
    )


async def test_what_an_unsigned_source_told_in_part_is_known_to_another_replica(
    ledger: Ledger, clock: FakeClock
) -> None:
    reading, other = RevocationNews(ledger, clock), RevocationNews(ledger, clock)
    await other.load(OURS)
    await reading.load(OURS)
    await reading.merge_lesser(OURS, ("cap-0",), NOW, fresh=False)
    clock.advance(REFRESH_SECONDS)
    for each in (reading, other):
        await each.load(OURS)
        assert each.about(OURS, HOUR, 1).is_revoked("cap-0")
        assert each.about(OURS, HOUR, 1).fresh_until is None


async def test_what_a_replica_stored_itself_it_does_not_read_back(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, feed, loads = RevocationNews(ledger, clock), feed_of(3), []
    load = ledger.load_revocations

    def counted(relation: Relation) -> Any:
        loads.append(relation)
        return load(relation)

    monkeypatch.setattr(ledger, "load_revocations", counted)
    await read(news, feed)
    for number in range(3):
        clock.advance(REFRESH_SECONDS)
        await read(news, feed.revoke(f"more-{number}"), NOW + number)
        await news.merge_lesser(OURS, (f"told-{number}",), NOW + number)
    clock.advance(REFRESH_SECONDS)
    await news.load(OURS)
    assert len(loads) == 1
    assert news.about(OURS, HOUR, 1).is_revoked("more-2")
