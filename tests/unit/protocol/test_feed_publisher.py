"""Publishing: pages that a reader takes, and nothing beyond the head that they speak of."""

from __future__ import annotations

import pytest

from bilateral.protocol.feed_publisher import FeedPublisher
from bilateral.protocol.feed_reader import FeedReader, FeedState
from bilateral.protocol.revocations import MAX_PAGE_ENTRIES
from support.feeds import FEED_KEY, KERNEL, NOW, Feed, feed_of

READER = FeedReader(KERNEL, (FEED_KEY.public_key,))


def test_a_page_has_what_the_head_has_and_no_more() -> None:
    feed = feed_of(5)
    note = feed.head()
    feed.revoke("after", "the", "head")
    page = feed.publisher.build_page(2, feed.entries[2:], note)
    assert [each.capability_id for each in page.entries] == ["cap-2", "cap-3", "cap-4"]
    assert page.consistency == ()


def test_a_page_is_not_larger_than_pages_are() -> None:
    feed = feed_of(MAX_PAGE_ENTRIES + 3)
    page = feed.publisher.build_page(0, feed.entries, feed.head())
    assert len(page.entries) == MAX_PAGE_ENTRIES
    state = READER.read(FeedState(), page.to_json(), NOW).state
    last = feed.publisher.build_page(MAX_PAGE_ENTRIES, feed.entries[MAX_PAGE_ENTRIES:], feed.head())
    assert READER.read(state, last.to_json(), NOW).state.is_complete


@pytest.mark.parametrize("start", [5, 6, 1000])
def test_whoever_has_everything_is_shown_the_head(start: int) -> None:
    feed = feed_of(5)
    page = feed.publisher.build_page(start, feed.entries[start:], feed.head())
    assert (page.start, page.entries, page.consistency) == (start, (), ())


def test_a_head_can_be_signed_over_entries_that_are_still_to_be_stored() -> None:
    feed = feed_of(5)
    more = feed_of(8).entries[5:]
    note = feed.publisher.sign_head(FEED_KEY, NOW, feed.publisher.grown(more))
    assert feed.publisher.size == 5, "nothing is appended before it is stored"
    with pytest.raises(ValueError, match="size"):
        feed.publisher.build_page(0, [*feed.entries, *more], note)
    feed.publisher.extend(more)
    page = feed.publisher.build_page(0, [*feed.entries, *more], note)
    assert READER.read(FeedState(), page.to_json(), NOW).state.is_complete


def test_it_starts_again_from_its_entries() -> None:
    feed = feed_of(9)
    again = FeedPublisher(KERNEL, feed.entries)
    assert (again.size, again.root(), again.root(4)) == (9, feed.publisher.root(), feed.publisher.root(4))


@pytest.mark.parametrize(
    "wrong", ["another kernel", "another log", "a larger log", "no entries", "an empty log"]
)
def test_what_would_contradict_the_log_is_not_told(wrong: str) -> None:
    feed = feed_of(5)
    notes = {
        "another kernel": Feed("org-c-kernel").revoke(*"abcde").head(),
        "another log": feed_of(5, "other").head(),
        "a larger log": feed_of(6).head(),
        "no entries": feed.head(),
        "an empty log": Feed("org-c-kernel").head(),
    }
    entries = [] if wrong == "no entries" else feed.entries
    with pytest.raises(ValueError):  # noqa: PT011 - which of them is the table's business
        feed.publisher.build_page(0, entries, notes[wrong])
