"""Decisions become links of one chain, and every way to break it is found."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from bilateral.ledger.chain import GENESIS, parse_stored
from bilateral.ledger.errors import LedgerConflict, LedgerDamaged
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link
from bilateral.protocol.canonical import canonical_bytes, sha256_hex
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.reasons import Reason
from unit.ledger.records import decision, look, receipt, tamper


async def fill(ledger: Ledger, count: int = 5) -> list[Link]:
    return [
        await ledger.record_decision(decision(each), receipt(f"r-{each}") if each % 2 else None)
        for each in range(1, count + 1)
    ]


async def test_each_hash_covers_the_number_the_hash_before_and_the_body(ledger: Ledger) -> None:
    links = await fill(ledger, 3)
    previous = GENESIS
    for number, (link, stored) in enumerate(zip(links, await ledger.read_decisions(), strict=True), start=1):
        assert stored.seq == link.seq == number
        assert stored.previous == previous
        form = canonical_bytes({"seq": number, "previous": previous, "body": dict(stored.body)})
        assert hashlib.sha256(form).hexdigest() == link.hash == stored.hash
        previous = link.hash
    assert await ledger.read_head() == links[-1]


async def test_the_body_names_its_receipt_and_the_receipt_is_kept(ledger: Ledger) -> None:
    await fill(ledger, 2)
    first, second = await ledger.read_decisions()
    assert first.body == {
        **decision(1),
        "receipt": {"id": "r-1", "hash": sha256_hex(canonical_bytes(receipt("r-1")))},
    }
    assert second.body == {**decision(2), "receipt": None}
    assert await ledger.find_receipt("r-1") == receipt("r-1")
    assert await ledger.find_receipt("r-2") is None


async def test_decisions_of_one_moment_are_all_recorded_each_once(ledger: Ledger) -> None:
    links = await asyncio.gather(*(ledger.record_decision(decision(each)) for each in range(700)))
    assert sorted(link.seq for link in links) == list(range(1, 701))
    assert (await ledger.verify()).intact


async def test_what_is_recorded_again_with_its_receipt_is_found(ledger: Ledger) -> None:
    first = await ledger.record_decision(decision(1), receipt("r"))
    await ledger.record_decision(decision(2))
    assert await ledger.record_decision(decision(1), receipt("r")) == first
    twice = await asyncio.gather(
        *(ledger.record_decision(decision(3), receipt("again")) for _ in range(2)), return_exceptions=True
    )
    assert twice[0] == twice[1]
    assert (await ledger.read_head()).seq == 3


@pytest.mark.parametrize(
    "other", [(decision(2), receipt("r")), (decision(1), receipt("r", 2))], ids=["decision", "receipt"]
)
async def test_a_receipt_id_with_another_content_is_an_alarm_for_it_alone(
    ledger: Ledger, other: tuple[dict[str, object], dict[str, object]]
) -> None:
    await ledger.record_decision(decision(1), receipt("r"))
    outcomes = await asyncio.gather(
        ledger.record_decision(decision(8)),
        ledger.record_decision(*other),  # type: ignore[arg-type]
        ledger.record_decision(decision(9)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], LedgerConflict)
    assert outcomes[1].reason is Reason.LEDGER_CONFLICT
    assert [each.seq for each in outcomes if isinstance(each, Link)] == [2, 3]


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({"receipt": None}, None),
        ({"amount": 1.5}, None),
        ({"amount": 2**53}, None),
        ({"text": "\x85"}, None),
        ({"text": "\ud800"}, None),
        ({"text": "x" * 1024 * 1024}, None),
        ({}, {"timestamp": 1}),
        ({}, {"id": ""}),
        ({}, {"id": 5}),
    ],
    ids=[
        "a receipt of its own", "a double", "beyond exact", "a control", "a lone surrogate", "too large",
        "a receipt without id", "an empty id", "an id that is no text",
    ],
)  # fmt: skip
async def test_what_cannot_be_hashed_alike_everywhere_is_not_recorded(
    ledger: Ledger, body: dict[str, object], given: dict[str, object] | None
) -> None:
    with pytest.raises(MalformedDocument):
        await ledger.record_decision(body, given)  # type: ignore[arg-type]
    assert (await ledger.read_head()).seq == 0


@pytest.mark.parametrize("stored", ['{"a": 1}', '{"b":1,"a":2}', '{"a":1,"a":1}', "[]", "", '{"a":1.0}'])
def test_only_the_canonical_text_of_an_object_counts_as_one(stored: str) -> None:
    assert parse_stored(stored) is None
    assert parse_stored('{"a":2,"b":1}') == {"a": 2, "b": 1}


async def test_a_ledger_that_was_left_alone_is_intact(ledger: Ledger) -> None:
    links = await fill(ledger)
    report = await ledger.verify(links[2])
    assert report.intact
    assert (report.head, report.receipts, report.defects) == (links[-1], 3, ())


BODY = "UPDATE ledger_decisions SET body = replace(body, 'TierExceeded', 'TierExceedex') WHERE seq = 3"
TAMPERED = {
    "a body is changed": ([BODY], ("decisions", "3", "hash-differs")),
    "a body is no JSON any more": (
        ["UPDATE ledger_decisions SET body = 'x' WHERE seq = 2"],
        ("decisions", "2", "unreadable"),
    ),
    "a hash is changed": (
        ["UPDATE ledger_decisions SET hash = 'x' WHERE seq = 2"],
        ("decisions", "3", "previous-differs"),
    ),
    "a previous is changed": (
        ["UPDATE ledger_decisions SET previous = 'x' WHERE seq = 2"],
        ("decisions", "2", "previous-differs"),
    ),
    "an entry is gone": (
        ["DELETE FROM ledger_receipts WHERE seq = 3", "DELETE FROM ledger_decisions WHERE seq = 3"],
        ("decisions", "3", "missing"),
    ),
    "the first is gone": (
        ["DELETE FROM ledger_receipts WHERE seq = 1", "DELETE FROM ledger_decisions WHERE seq = 1"],
        ("decisions", "1", "missing"),
    ),
    "the last is gone": (
        ["DELETE FROM ledger_receipts WHERE seq = 5", "DELETE FROM ledger_decisions WHERE seq = 5"],
        ("decisions", "5", "head-differs"),
    ),
    "one more is there": (
        ["INSERT INTO ledger_decisions VALUES (6, 'x', 'y', '{}')"],
        ("decisions", "6", "past-the-head"),
    ),
    "one before the first": (
        ["INSERT INTO ledger_decisions VALUES (0, 'x', 'y', '{}')"],
        ("decisions", "0", "before-the-first"),
    ),
    "the head is changed": (["UPDATE ledger_chain SET hash = 'x'"], ("decisions", "5", "head-differs")),
    "a receipt is gone": (["DELETE FROM ledger_receipts WHERE seq = 3"], ("receipts", "3", "missing")),
    "a receipt is changed": (
        ["UPDATE ledger_receipts SET document = replace(document, 'deny', 'allow') WHERE seq = 3"],
        ("receipts", "3", "differs"),
    ),
    "a receipt where none was given": (
        ["INSERT INTO ledger_receipts VALUES ('forged', 2, '{}')"],
        ("receipts", "2", "not-named"),
    ),
    "a receipt for no decision": (
        ["INSERT INTO ledger_receipts VALUES ('forged', 77, '{}')"],
        ("receipts", "77", "without-decision"),
    ),
    "two change places": (
        [
            "UPDATE ledger_decisions SET seq = 99 WHERE seq = 2",
            "UPDATE ledger_decisions SET seq = 2 WHERE seq = 4",
            "UPDATE ledger_decisions SET seq = 4 WHERE seq = 99",
        ],
        ("decisions", "2", "hash-differs"),
    ),
}


@pytest.mark.parametrize(("statements", "expected"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_what_was_tampered_with_is_found_where_it_is(
    ledger: Ledger, url: str, statements: list[str], expected: tuple[str, str, str]
) -> None:
    await fill(ledger)
    tamper(url, *statements)
    report = await ledger.verify()
    assert not report.intact
    assert expected in [(each.part, each.where, each.what) for each in report.defects]


async def test_a_chain_written_anew_is_found_by_a_link_that_was_noted(ledger: Ledger, url: str) -> None:
    links = await fill(ledger)
    tamper(
        url,
        "DELETE FROM ledger_receipts",
        "DELETE FROM ledger_decisions",
        f"UPDATE ledger_chain SET seq = 0, hash = '{GENESIS}'",
    )
    assert (await ledger.verify()).intact, "an empty chain is a chain"
    cut = await ledger.verify(links[1])
    assert [(each.where, each.what) for each in cut.defects] == [("2", "cut-off")]
    for number in range(6):
        await ledger.record_decision(decision(100 + number))
    assert (await ledger.verify()).intact
    other = await ledger.verify(links[1])
    assert [(each.where, each.what) for each in other.defects] == [("2", "not-the-expected")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_chain SET hash = 'x'",
        "UPDATE ledger_chain SET seq = 3",
        "DELETE FROM ledger_chain",
        "DELETE FROM ledger_decisions WHERE seq = 4",
    ],
)
async def test_nothing_is_added_to_a_chain_whose_end_is_broken(
    ledger: Ledger, url: str, statement: str
) -> None:
    await fill(ledger, 4)
    tamper(url, statement)
    before = look(url, "SELECT count(*), max(seq) FROM ledger_decisions")
    with pytest.raises(LedgerDamaged) as caught:
        await ledger.record_decision(decision(9))
    assert caught.value.reason is Reason.LEDGER_DAMAGED
    assert look(url, "SELECT count(*), max(seq) FROM ledger_decisions") == before


async def test_the_chain_goes_on_after_a_restart(url: str) -> None:
    first = await open_ledger(url)
    links = await fill(first, 2)
    await first.close()
    second = await open_ledger(url)
    assert await second.read_head() == links[-1]
    assert (await second.record_decision(decision(3))).seq == 3
    assert (await second.verify(links[0])).intact
    await second.close()


async def test_defects_are_counted_and_the_first_hundred_told(ledger: Ledger, url: str) -> None:
    await asyncio.gather(*(ledger.record_decision(decision(each)) for each in range(1300)))
    tamper(url, "UPDATE ledger_decisions SET previous = 'x'")
    report = await ledger.verify()
    assert len(report.defects) == 100
    assert report.defect_count == 2600
