"""The issued record: no entry is lost, what is nobody's is withdrawn, what is over leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.names import Subject
from bilateral.pki.slugs import build_slug
from bilateral.reconcile.issued import (
    MAX_SHARD_BYTES,
    IssuedEntry,
    Owner,
    Shard,
    append,
    authorities_in_use,
    entry_for,
    expire,
    is_worth_writing,
    parse_shard,
    revocations_of,
    withdraw,
)
from unit.pki.material import NOW as MOMENT
from unit.pki.material import P256_AUTHORITY

NOW = int(MOMENT.timestamp())
OWNER = Owner("Introduction", "uid-1", "client1")
ENTRY = IssuedEntry(0x1234, "CN=client1", NOW + 1000, "org-a-ca-0", OWNER)

TEXT = st.text(max_size=30)
ENTRIES = st.builds(
    IssuedEntry,
    serial=st.integers(1, 2**159 - 1),
    subject=TEXT,
    not_after=st.integers(0, 2**33),
    authority=TEXT,
    owner=st.builds(Owner, TEXT, TEXT, TEXT),
    withdrawn_at=st.none() | st.integers(0, 2**33),
)


@given(st.lists(ENTRIES, max_size=5))
def test_what_is_written_is_read_again(entries: list[IssuedEntry]) -> None:
    assert parse_shard(Shard(tuple(entries)).to_bytes()).lines == tuple(entries)


@given(st.binary(max_size=200))
def test_a_line_that_cannot_be_read_hides_no_other(noise: bytes) -> None:
    data = noise.replace(b"\n", b"") + b"\n" + Shard((ENTRY,)).to_bytes()
    shard = parse_shard(data)
    assert ENTRY in shard.entries
    assert parse_shard(shard.to_bytes()) == shard


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "7",
        '"x"',
        "null",
        ENTRY.to_line().replace("1234", "xyz"),
        ENTRY.to_line().replace("Z", ""),
    ],
)
def test_unreadable_lines_stay(line: str) -> None:
    shard = parse_shard(line.encode() + b"\n" + Shard((ENTRY,)).to_bytes())
    assert shard.lines == (line, ENTRY)
    assert withdraw(shard, lambda owner: True, NOW) == shard
    assert expire(shard, {}, NOW + 2000).lines == (line,)


def test_an_entry_tells_what_was_signed() -> None:
    key = generate_identity_key("ECDSAP256").public_key()
    client = Subject(common_name="client1")
    certificate = issue_identity(P256_AUTHORITY, client, key, validity_seconds=3600, now=MOMENT).certificate
    entry = entry_for(certificate, P256_AUTHORITY.certificate, OWNER)
    assert entry.serial == certificate.serial_number
    assert entry.authority == build_slug(P256_AUTHORITY.certificate)
    assert entry.not_after == int(certificate.not_valid_after_utc.timestamp())
    assert entry.owner == OWNER


def numbered(count: int, start: int = 1) -> list[IssuedEntry]:
    return [replace(ENTRY, serial=number) for number in range(start, start + count)]


def test_entries_go_behind_those_that_are_there() -> None:
    assert append([], [], []) == {}
    first = append([], [], numbered(2))
    assert first == {0: Shard(tuple(numbered(2)))}
    again = append([first[0]], [len(first[0].to_bytes())], numbered(1, 3))
    assert again == {0: Shard(tuple(numbered(3)))}


def test_a_full_shard_is_left_as_it_is_and_the_next_begins() -> None:
    full = Shard(tuple(numbered(10)))
    changed = append([full], [MAX_SHARD_BYTES], numbered(1, 11))
    assert changed == {1: Shard(tuple(numbered(1, 11)))}
    many = append([], [], numbered(5000))
    assert len(many) > 2
    assert all(len(shard.to_bytes()) <= MAX_SHARD_BYTES for shard in many.values())
    assert [entry for _, shard in sorted(many.items()) for entry in shard.entries] == numbered(5000)


def test_shards_that_emptied_are_filled_before_new_ones_begin() -> None:
    empty, few = Shard(), Shard(tuple(numbered(2, 100)))
    shards = [empty, Shard(tuple(numbered(3, 200))), few, Shard(tuple(numbered(4, 300)))]
    sizes = [0, MAX_SHARD_BYTES - 10, len(few.to_bytes()), MAX_SHARD_BYTES - 10]
    each = MAX_SHARD_BYTES // len(numbered(1, 1000)[0].to_line() + " ")
    changed = append(shards, sizes, numbered(each * 2, 1000))
    assert sorted(changed) == [0, 2, 4]
    assert changed[2].lines[:2] == few.lines
    assert all(len(shard.to_bytes()) <= MAX_SHARD_BYTES for shard in changed.values())
    added = [
        entry.serial for number in (0, 2, 4) for entry in changed[number].entries if entry.serial >= 1000
    ]
    assert added == list(range(1000, 1000 + each * 2))


def test_a_shard_larger_than_any_is_left_as_it_is() -> None:
    assert list(append([Shard((ENTRY,))], [MAX_SHARD_BYTES * 8], numbered(1, 2))) == [1]


def test_what_is_nobodys_is_withdrawn_once() -> None:
    shard = Shard((ENTRY, replace(ENTRY, serial=2, owner=Owner("WorkloadIdentity", "uid-2", "server1"))))
    marked = withdraw(shard, lambda owner: owner == OWNER, NOW)
    assert [entry.withdrawn_at for entry in marked.entries] == [None, NOW]
    assert withdraw(marked, lambda owner: owner == OWNER, NOW + 50) == marked
    # Nor does it come back when an object of that name does.
    assert withdraw(marked, lambda owner: True, NOW + 50) == marked


def test_what_is_over_needs_no_withdrawal() -> None:
    shard = Shard((replace(ENTRY, not_after=NOW - 1),))
    assert withdraw(shard, lambda owner: False, NOW) == shard


def test_an_entry_leaves_after_its_end_and_a_withdrawn_one_after_the_lists_forgot_it() -> None:
    slug = ENTRY.authority
    gone = replace(ENTRY, serial=2, withdrawn_at=NOW)
    shard = Shard((ENTRY, gone))
    assert expire(shard, {}, NOW + 1000) == shard
    assert expire(shard, {slug: {2}}, NOW + 1001).entries == (gone,)
    assert expire(shard, {slug: set()}, NOW + 1001).entries == ()


def test_a_shard_is_written_anew_only_when_much_has_left() -> None:
    before = Shard(tuple(numbered(8)))
    assert not is_worth_writing(before, before)
    assert not is_worth_writing(before, Shard(before.lines[1:]))
    assert is_worth_writing(before, Shard(before.lines[2:]))
    assert is_worth_writing(Shard((ENTRY,)), Shard())


def test_what_lists_must_name() -> None:
    found = revocations_of([ENTRY, replace(ENTRY, serial=2, withdrawn_at=NOW)])
    assert list(found) == [ENTRY.authority]
    (revocation,) = found[ENTRY.authority]
    assert revocation.serial == 2
    assert revocation.revoked_at == datetime.fromtimestamp(NOW, UTC)
    assert revocation.not_after == datetime.fromtimestamp(ENTRY.not_after, UTC)


def test_which_authorities_are_still_in_use() -> None:
    assert authorities_in_use([ENTRY], ENTRY.not_after) == {ENTRY.authority}
    assert authorities_in_use([ENTRY], ENTRY.not_after + 1) == frozenset()
    assert authorities_in_use([replace(ENTRY, withdrawn_at=NOW)], NOW) == frozenset()
