"""Reading a feed: an honest one to its end, and every other one to the word for what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bilateral.protocol.checkpoints import Checkpoint, parse_checkpoint, sign_checkpoint
from bilateral.protocol.errors import (
    ClockSkewExceeded,
    InvalidSignature,
    MalformedDocument,
    ProtocolError,
)
from bilateral.protocol.feed_reader import (
    EVIDENCE_SCHEMA,
    Advance,
    Contradiction,
    Equivocation,
    FeedOfAnother,
    FeedReader,
    FeedState,
    FeedTooLarge,
    ForeignSigner,
    restore_state,
)
from bilateral.protocol.revocation_set import RevocationSet
from bilateral.protocol.revocations import FeedPage, InvalidEntry, sign_entry
from support.feeds import FEED_KEY, KERNEL, NOW, OTHER_KEY, Feed, feed_of, page_over, resigned

READER = FeedReader(KERNEL, (FEED_KEY.public_key,))
START = FeedState()


def advance(feed: Feed, state: FeedState = START, now: int = NOW, limit: int = 1000) -> Advance:
    return READER.read(state, feed.page(state.read.size, now, limit).to_json(), now)


def read_all(feed: Feed, state: FeedState = START, now: int = NOW, limit: int = 1000) -> FeedState:
    state = advance(feed, state, now, limit).state
    while not state.is_complete:
        state = advance(feed, state, now, limit).state
    return state


def caught(state: FeedState, page: FeedPage, now: int = NOW) -> Equivocation:
    with pytest.raises(Equivocation) as error:
        READER.read(state, page.to_json(), now)
    return error.value


# Honest feeds


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 20])
@pytest.mark.parametrize("limit", [1, 3, 8, 1000])
def test_a_feed_is_read_to_its_end_in_pages_of_any_size(count: int, limit: int) -> None:
    feed, state, ids = feed_of(count), START, list[str]()
    while not state.is_complete:
        step = advance(feed, state, limit=limit)
        ids += [each.capability_id for each in step.entries]
        state = step.state
    assert ids == [f"cap-{number}" for number in range(count)]
    assert state.newest is not None
    assert state.read.root == state.newest.checkpoint.root == feed.publisher.root()
    assert (state.published_at, state.received_at, state.between) == (NOW, NOW, ())


def test_a_feed_that_grows_is_read_on_from_where_it_was() -> None:
    feed = feed_of(5)
    state = read_all(feed)
    step = advance(feed.revoke("later"), state, NOW + 60)
    assert [each.capability_id for each in step.entries] == ["later"]
    assert step.state.is_complete
    assert (step.state.published_at, step.state.received_at) == (NOW + 60, NOW + 60)


def test_a_feed_may_grow_between_two_pages() -> None:
    feed = feed_of(10)
    state = advance(feed, limit=4).state
    feed.revoke("a", "b")
    state = advance(feed, state, NOW + 1, limit=4).state
    assert [each.checkpoint.size for each in state.between] == [10]
    state = advance(feed, state, NOW + 2, limit=4).state
    assert state.is_complete
    assert state.between == ()
    assert state.published_at == NOW + 2


def test_news_is_as_old_as_the_newest_head_that_was_reached() -> None:
    feed = feed_of(10)
    state = read_all(feed)
    state = advance(feed.revoke(*"abcdef"), state, NOW + 600, limit=2).state
    assert not state.is_complete
    assert state.published_at == NOW, "entries are missing"
    assert read_all(feed, state, NOW + 601).published_at == NOW + 601


def test_the_same_tree_signed_anew_is_news() -> None:
    feed = feed_of(3)
    state = read_all(feed)
    again = advance(feed, state, NOW + 30)
    assert again.entries == ()
    assert (again.state.published_at, again.state.received_at) == (NOW + 30, NOW + 30)


def test_a_head_that_is_shown_again_is_no_news() -> None:
    feed = feed_of(3)
    state = read_all(feed)
    page = feed.page(3, NOW)
    assert READER.read(state, page.to_json(), NOW + 3000).state == state


def test_an_older_head_of_the_same_tree_changes_nothing() -> None:
    feed = feed_of(3)
    state = read_all(feed, now=NOW + 60)
    assert READER.read(state, feed.page(3, NOW).to_json(), NOW + 61).state == state


def test_a_clock_that_was_set_back_does_not_make_news_older() -> None:
    feed = feed_of(3)
    state = read_all(feed, now=NOW + 60)
    later = read_all(feed.revoke("later"), state, now=NOW)
    assert later.read.size == 4
    assert (later.published_at, later.received_at) == (NOW + 60, NOW + 60)


def test_entries_of_an_earlier_key_are_entries_of_the_log() -> None:
    feed = feed_of(2).revoke("of the old key".replace(" ", "-"), key=OTHER_KEY)
    assert read_all(feed).read.size == 3


@pytest.mark.parametrize("ahead", [0, 300])
def test_a_head_within_the_skew_is_as_old_as_we_know_it(ahead: int) -> None:
    page = feed_of(1).page(0, NOW + ahead)
    state = READER.read(START, page.to_json(), NOW).state
    assert state.fresh_until(3600) == NOW + 3600


def test_before_any_head_was_reached_there_is_no_news() -> None:
    assert START.fresh_until(3600) is None
    assert advance(feed_of(5), limit=2).state.fresh_until(3600) is None


# Refusals


def test_a_page_begins_where_the_reader_stopped() -> None:
    with pytest.raises(MalformedDocument, match="from"):
        READER.read(START, feed_of(5).page(2).to_json(), NOW)


def test_a_feed_of_another_kernel_is_refused_even_by_the_same_key() -> None:
    feed = Feed("org-c-kernel").revoke("cap")
    with pytest.raises(FeedOfAnother):
        READER.read(START, feed.page(0).to_json(), NOW)


def test_a_foreign_signer_is_refused_and_kept() -> None:
    page = resigned(feed_of(3).page(0), OTHER_KEY)
    with pytest.raises(ForeignSigner) as error:
        READER.read(START, page.to_json(), NOW)
    assert error.value.evidence.kind is Contradiction.SIGNER
    assert error.value.evidence.presented == page.checkpoint


def test_a_head_that_its_signer_did_not_sign_is_refused() -> None:
    page = feed_of(3).page(0)
    with pytest.raises(InvalidSignature):
        READER.read(
            START,
            replace(page, checkpoint=page.checkpoint.replace("published 18", "published 17")).to_json(),
            NOW,
        )


def test_a_head_from_the_future_is_refused() -> None:
    page = feed_of(1).page(0, NOW + 301)
    with pytest.raises(ClockSkewExceeded):
        READER.read(START, page.to_json(), NOW)


def test_a_feed_beyond_all_measure_is_refused() -> None:
    small = replace(READER, max_entries=4)
    assert small.read(START, feed_of(4).page(0).to_json(), NOW).state.is_complete
    with pytest.raises(FeedTooLarge):
        small.read(START, feed_of(5).page(0).to_json(), NOW)


def test_a_page_that_leads_nowhere_is_refused() -> None:
    feed = feed_of(5)
    page = replace(feed.page(0, limit=1), entries=())
    with pytest.raises(MalformedDocument, match="entries"):
        READER.read(START, page.to_json(), NOW)


def test_more_entries_than_the_head_has_are_refused() -> None:
    feed = feed_of(5)
    page = replace(feed.page(0), checkpoint=feed_of(4).head())
    with pytest.raises(MalformedDocument, match="entries"):
        READER.read(START, page.to_json(), NOW)


def test_a_proof_where_there_is_nothing_to_prove_is_refused() -> None:
    page = replace(feed_of(2).page(0), consistency=(bytes(32),))
    with pytest.raises(MalformedDocument, match="consistency"):
        READER.read(START, page.to_json(), NOW)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_entry_that_is_not_signed_refuses_the_page(index: int) -> None:
    entries = feed_of(3).entries
    entries[index] = replace(entries[index], revoked_at=1)
    with pytest.raises(InvalidEntry) as error:
        READER.read(START, page_over(entries).to_json(), NOW)
    assert error.value.index == index


def test_an_entry_of_another_kernels_feed_refuses_the_page() -> None:
    entries = [*feed_of(2).entries, sign_entry("org-c-kernel", "cap", NOW, FEED_KEY)]
    with pytest.raises(InvalidEntry):
        READER.read(START, page_over(entries).to_json(), NOW)


# Contradictions


def test_a_smaller_tree_is_a_rollback() -> None:
    feed = feed_of(5)
    state = read_all(feed)
    smaller = feed_of(4)
    page = FeedPage(smaller.head(), 5, (), ())
    evidence = caught(state, page).evidence
    assert (evidence.kind, evidence.held) == (Contradiction.ROLLBACK, state.newest and state.newest.note)
    assert evidence.presented == page.checkpoint


def test_a_smaller_tree_than_was_shown_is_a_rollback_before_it_was_read() -> None:
    feed = feed_of(9)
    state = advance(feed, limit=2).state
    honest_but_old = feed_of(8)
    assert caught(state, honest_but_old.page(2)).evidence.kind is Contradiction.ROLLBACK


def test_another_root_of_the_same_size_is_a_fork() -> None:
    state = read_all(feed_of(5))
    other = feed_of(4).revoke("other")
    assert caught(state, other.page(5)).evidence.kind is Contradiction.FORK


@pytest.mark.parametrize("shared", range(5))
def test_a_larger_tree_that_forked_before_is_found(shared: int) -> None:
    state = read_all(feed_of(5))
    fork = feed_of(shared).revoke(*(f"other-{number}" for number in range(8)))
    assert caught(state, fork.page(5)).evidence.kind is Contradiction.PROOF


def test_entries_below_anothers_head_are_found() -> None:
    page = replace(feed_of(5, "other").page(0), checkpoint=feed_of(5).head())
    assert caught(START, page).evidence.kind is Contradiction.PROOF


@pytest.mark.parametrize("damage", ["dropped", "changed", "added", "swapped"])
def test_a_proof_that_does_not_hold_is_found(damage: str) -> None:
    page = feed_of(13).page(0, limit=5)
    proof = list(page.consistency)
    assert len(proof) > 1
    changed = {
        "dropped": proof[:-1],
        "changed": [bytes(32), *proof[1:]],
        "added": [*proof, bytes(32)],
        "swapped": proof[::-1],
    }[damage]
    assert caught(START, replace(page, consistency=tuple(changed))).evidence.kind is Contradiction.PROOF


@pytest.mark.parametrize("damage", ["order", "left out", "repeated"])
def test_entries_in_another_order_are_found(damage: str) -> None:
    feed = feed_of(4)
    first, second, third, fourth = feed.entries
    entries = {
        "order": [second, first, third, fourth],
        "left out": [first, second, fourth],
        "repeated": [first, first, second, third],
    }[damage]
    page = replace(feed.page(0), entries=tuple(entries))
    assert caught(START, page).evidence.kind is Contradiction.PROOF


def test_a_head_that_was_shown_on_the_way_must_be_passed_through() -> None:
    """A feed that forks while it is being read: every page is consistent with its own head."""
    feed = feed_of(10)
    state = advance(feed, limit=4).state
    fork = feed_of(6).revoke(*(f"other-{number}" for number in range(9)))
    state = READER.read(state, fork.page(4, NOW + 1, limit=3).to_json(), NOW + 1).state
    assert [each.checkpoint.size for each in state.between] == [10]
    assert caught(state, fork.page(7, NOW + 2)).evidence.kind is Contradiction.FORK


def test_only_so_many_heads_are_kept_on_the_way() -> None:
    feed = feed_of(200)
    state = advance(feed, limit=1).state
    for number in range(100):
        state = advance(feed.revoke(f"more-{number}"), state, NOW + number, limit=1).state
    assert len(state.between) <= 64
    assert state.newest is not None
    assert state.newest.checkpoint.size == 300
    assert read_all(feed, state, NOW + 100).read.size == 300


def test_evidence_says_what_was_held_and_what_was_shown() -> None:
    state = read_all(feed_of(5))
    page = feed_of(4).revoke("other").page(5)
    members = caught(state, page, NOW + 9).evidence.to_members()
    assert members["schema"] == EVIDENCE_SCHEMA
    assert (members["kind"], members["kernelId"], members["at"]) == ("fork", KERNEL, NOW + 9)
    assert members["treeSize"] == 5
    assert members["presented"] == page.checkpoint
    json.dumps(members)
    for note in (members["held"], members["presented"]):
        signed = parse_checkpoint(str(note))
        assert signed.checkpoint.size == 5


def test_errors_do_not_repeat_what_the_other_side_sent() -> None:
    page = resigned(feed_of(3).page(0), OTHER_KEY)
    with pytest.raises(ForeignSigner) as error:
        READER.read(START, page.to_json(), NOW)
    assert page.checkpoint.split("\n")[2] not in str(error.value)


# What is kept


def test_a_state_is_rebuilt_from_what_was_kept() -> None:
    feed = feed_of(7)
    for state in (read_all(feed), advance(feed, limit=3).state):
        assert state.newest is not None
        kept = restore_state(
            state.read.size, state.read.hashes, state.newest.note, state.published_at, state.received_at
        )
        assert (kept.read, kept.is_complete) == (state.read, state.is_complete)
        assert kept.fresh_until(60) == state.fresh_until(60)
        assert read_all(feed.copy().revoke("x"), kept, NOW + 5).read.size == 8
        assert caught(kept, feed_of(6).page(kept.read.size)).evidence.kind is Contradiction.ROLLBACK


@pytest.mark.parametrize("kept", ["too few hashes", "another tree", "beyond the head", "no head"])
def test_what_is_no_state_is_refused(kept: str) -> None:
    state = read_all(feed_of(7))
    assert state.newest is not None
    size, hashes, note = state.read.size, state.read.hashes, state.newest.note
    if kept == "too few hashes":
        hashes = hashes[1:]
    elif kept == "another tree":
        hashes = read_all(feed_of(7, "other")).read.hashes
    elif kept == "beyond the head":
        size, hashes = 8, (bytes(32),)
    else:
        note = ""
    with pytest.raises(MalformedDocument):
        restore_state(size, hashes, note, NOW, NOW)


# Properties


@given(st.integers(1, 12), st.integers(0, 12), st.data())
def test_any_changed_byte_of_a_page_is_refused_or_changes_nothing(
    count: int, limit: int, data: st.DataObject
) -> None:
    page = feed_of(count).page(0, limit=max(1, limit))
    raw = page.to_json()
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:place] + bytes([data.draw(st.integers(0, 255))]) + raw[place + 1 :]
    try:
        step = READER.read(START, changed, NOW)
    except ProtocolError:
        return
    assert step == READER.read(START, raw, NOW)


class Dishonest(RuleBasedStateMachine):
    """A partner that grows, signs anew, rolls back and forks at will; what was revoked stays revoked."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed()
        self.past = [self.feed.copy()]
        self.state = START
        self.known = RevocationSet()
        self.revoked: set[str] = set()
        self.now = NOW
        self.made = 0

    @rule(count=st.integers(1, 5))
    def revoke(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            self.feed.revoke(f"cap-{self.made}")
        self.past.append(self.feed.copy())

    @rule(index=st.integers(0, 100), forked=st.booleans())
    def change_history(self, index: int, forked: bool) -> None:
        self.feed = self.past[index % len(self.past)].copy()
        if forked:
            self.made += 1
            self.feed.revoke(f"fork-{self.made}")

    @rule(limit=st.integers(1, 4), seconds=st.integers(0, 100))
    def poll(self, limit: int, seconds: int) -> None:
        self.now += seconds
        before = self.state
        page = self.feed.page(before.read.size, self.now, limit)
        try:
            step = READER.read(before, page.to_json(), self.now)
        except Equivocation:
            assert self.state is before
            return
        self.state = step.state
        ids = [each.capability_id for each in step.entries]
        self.known.merge(KERNEL, ids)
        self.known.merge(KERNEL, ids)
        self.revoked |= set(ids)
        assert self.state.read.size == before.read.size + len(ids)

    @rule()
    def restart(self) -> None:
        state = self.state
        if state.newest is not None:
            self.state = restore_state(
                state.read.size, state.read.hashes, state.newest.note, state.published_at, state.received_at
            )

    @invariant()
    def nothing_is_taken_back(self) -> None:
        assert all(self.known.is_revoked(KERNEL, each) for each in self.revoked)
        assert self.known.count(KERNEL) == len(self.revoked)
        if self.state.newest is not None:
            assert self.state.read.size <= self.state.newest.checkpoint.size


TestDishonestPartner = Dishonest.TestCase
TestDishonestPartner.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_head_is_believed_for_its_signature_only() -> None:
    """The largest head that anybody can make up is refused before anything of it counts."""
    note = sign_checkpoint(Checkpoint(KERNEL, 2**40, bytes(32), NOW), OTHER_KEY)
    with pytest.raises(ForeignSigner):
        READER.read(START, FeedPage(note, 0, (), ()).to_json(), NOW)
