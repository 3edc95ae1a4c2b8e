"""Our feeds only grow, head and entries together; two writers never both win."""

from __future__ import annotations

import asyncio

import pytest

from bilateral.ledger.errors import LedgerConflict
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.verification import Flaw
from bilateral.protocol.errors import MalformedDocument
from unit.ledger.records import entry, feed_head, tamper

KERNEL = "org-b-kernel"


async def publish(ledger: Ledger, *names: str, after: int = 0, at: int = 10) -> None:
    await ledger.append_revocations(
        KERNEL, after, [entry(name) for name in names], feed_head(after + len(names), at)
    )


async def test_a_page_has_the_entries_and_the_head_of_one_moment(ledger: Ledger) -> None:
    await publish(ledger, "a", "b", "c")
    await publish(ledger, "d", after=3, at=11)
    page = await ledger.feed_page(KERNEL, 1, 2)
    assert (page.start, [each["capabilityId"] for each in page.entries]) == (1, ["b", "c"])
    assert page.head == feed_head(4, 11) == await ledger.feed_head(KERNEL)
    assert (await ledger.feed_page(KERNEL, 4)).entries == ()
    assert [await ledger.find_feed_entry(KERNEL, name) for name in ("d", "e")] == [3, None]


async def test_a_page_has_a_thousand_entries_at_most(ledger: Ledger) -> None:
    names = [f"cap-{each:04}" for each in range(1500)]
    await ledger.append_revocations(KERNEL, 0, [entry(each) for each in names], feed_head(1500, names=names))
    first = await ledger.feed_page(KERNEL, 0, 5000)
    assert len(first.entries) == 1000
    assert len((await ledger.feed_page(KERNEL, 1000)).entries) == 500
    report = await ledger.verify()
    assert (report.intact, report.feed_entries) == (True, 1500)


async def test_there_is_no_feed_before_the_first_head(ledger: Ledger) -> None:
    assert await ledger.feed_head(KERNEL) is None
    page = await ledger.feed_page(KERNEL, 0)
    assert (page.entries, page.head) == ((), None)
    await publish(ledger)
    assert await ledger.feed_head(KERNEL) == feed_head(0)


async def test_a_head_may_be_signed_anew_without_entries(ledger: Ledger) -> None:
    await publish(ledger, "a")
    await publish(ledger, after=1, at=99)
    assert await ledger.feed_head(KERNEL) == feed_head(1, 99)


REFUSED = {
    "somebody else added first": (0, ["x"], feed_head(1, 20), "feed-moved"),
    "more than there is": (5, ["x"], feed_head(6, 20), "feed-moved"),
    "a head over something else": (2, ["x"], feed_head(9, 20), "feed-moved"),
    "another root of the same size": (2, [], feed_head(2, 20, ["a", "x"]), "head-forked"),
    "an earlier head": (2, [], feed_head(2, 9), "head-regressed"),
    "revoked before": (2, ["b"], feed_head(3, 20), "already-revoked"),
    "revoked twice at once": (2, ["x", "x"], feed_head(4, 20), "already-revoked"),
}


@pytest.mark.parametrize(("after", "names", "head", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_contradicts_the_feed_changes_nothing(
    ledger: Ledger, after: int, names: list[str], head: object, code: str
) -> None:
    await publish(ledger, "a", "b")
    before = await ledger.feed_page(KERNEL, 0)
    with pytest.raises(LedgerConflict) as caught:
        await ledger.append_revocations(KERNEL, after, [entry(name) for name in names], head)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert await ledger.feed_page(KERNEL, 0) == before


async def test_of_two_writers_one_wins_and_the_other_reads_again(url: str) -> None:
    one, two = [await open_ledger(url) for _ in range(2)]
    outcomes = await asyncio.gather(publish(one, "a"), publish(two, "b"), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["LedgerConflict", "NoneType"]
    assert len((await one.feed_page(KERNEL, 0)).entries) == 1
    await one.close()
    await two.close()


async def test_each_trust_domain_has_a_feed_of_its_own(ledger: Ledger) -> None:
    for kernel in ("one-kernel", "other-kernel"):
        await ledger.append_revocations(kernel, 0, [entry("a")], feed_head(1, names=["a"]))
    report = await ledger.verify()
    assert (report.intact, report.feed_entries) == (True, 2)


@pytest.mark.parametrize("name", ["", "x" * 513, "a\0b", "a\nb", "\ud800"])
async def test_an_id_that_cannot_be_shown_is_not_stored(ledger: Ledger, name: str) -> None:
    with pytest.raises(MalformedDocument):
        await publish(ledger, name)
    assert await ledger.feed_head(KERNEL) is None


MISSING = (f"{KERNEL} 1", Flaw.MISSING)
DIFFERS = (f"{KERNEL} 1", Flaw.DIFFERS)
HEAD = (f"{KERNEL} 3", Flaw.HEAD_DIFFERS)
TAMPERED = {
    "an entry is gone": ("DELETE FROM ledger_feed_entries WHERE leaf = 1", [MISSING, HEAD]),
    "the last is gone": (
        "DELETE FROM ledger_feed_entries WHERE leaf = 2",
        [(f"{KERNEL} 2", Flaw.MISSING), HEAD],
    ),
    "another id": (
        "UPDATE ledger_feed_entries SET document = replace(document, '\"b\"', '\"x\"') WHERE leaf = 1",
        [DIFFERS, HEAD],
    ),
    "another signature": (
        "UPDATE ledger_feed_entries SET document = replace(document, '\"00\"', '\"01\"') WHERE leaf = 1",
        [HEAD],
    ),
    "no document": ("UPDATE ledger_feed_entries SET document = '[]' WHERE leaf = 1", [DIFFERS, HEAD]),
    "another root": ("UPDATE ledger_feeds SET root_hash = 'x'", [HEAD]),
    "one more": (
        "INSERT INTO ledger_feed_entries VALUES ('org-b-kernel', 3, 'x', 1, '{\"capabilityId\":\"x\"}')",
        [(f"{KERNEL} 3", Flaw.PAST_THE_HEAD)],
    ),
}


@pytest.mark.parametrize(("statement", "found"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_a_feed_that_was_tampered_with_is_found(
    ledger: Ledger, url: str, statement: str, found: list[tuple[str, Flaw]]
) -> None:
    names = ["a", "b", "c"]
    await ledger.append_revocations(KERNEL, 0, [entry(each) for each in names], feed_head(3, names=names))
    assert (await ledger.verify()).intact
    tamper(url, statement)
    report = await ledger.verify()
    assert [(each.where, each.what) for each in report.defects] == found
    assert {each.part for each in report.defects} == {"feeds"}
