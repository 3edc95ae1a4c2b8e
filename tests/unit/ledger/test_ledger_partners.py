"""What a partner revoked stays revoked; heads never go back; nothing of one partner touches another."""

from __future__ import annotations

import asyncio
import random
import secrets

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bilateral.ledger.errors import LedgerConflict, LedgerDamaged
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Relation, Revocation
from bilateral.protocol.errors import MalformedDocument
from unit.ledger.records import OTHER, RELATION, partner_head, revocations, tamper


async def revoked(ledger: Ledger, relation: Relation = RELATION) -> dict[str, int]:
    return {
        each.capability_id: each.revoked_at
        async for part in ledger.load_revocations(relation)
        for each in part
    }


async def test_merging_again_changes_nothing(ledger: Ledger) -> None:
    head = partner_head(2)
    assert await ledger.merge_revocations(RELATION, revocations("a", "b"), head) == 2
    assert await ledger.merge_revocations(RELATION, revocations("b", "a"), head) == 0
    assert await revoked(ledger) == {"a": 7, "b": 7}
    assert await ledger.partner_head(RELATION) == head


async def test_of_two_times_the_later_stays(ledger: Ledger) -> None:
    await ledger.merge_revocations(RELATION, revocations("a", at=7))
    assert await ledger.merge_revocations(RELATION, revocations("a", at=3)) == 0
    assert await revoked(ledger) == {"a": 7}
    assert await ledger.merge_revocations(RELATION, revocations("a", at=9)) == 1
    assert await revoked(ledger) == {"a": 9}


async def test_two_partners_with_one_capability_id_do_not_touch_each_other(ledger: Ledger) -> None:
    await ledger.merge_revocations(RELATION, revocations("a"), partner_head(1))
    assert await revoked(ledger, OTHER) == {}
    assert await ledger.partner_head(OTHER) is None
    await ledger.merge_revocations(OTHER, revocations("a", at=99))
    assert await revoked(ledger) == {"a": 7}


async def test_a_million_would_come_in_parts(ledger: Ledger) -> None:
    names = [f"cap-{each:05}" for each in range(45_000)]
    random.Random(1).shuffle(names)
    assert await ledger.merge_revocations(RELATION, revocations(*names)) == 45_000
    sizes = [len(part) async for part in ledger.load_revocations(RELATION)]
    assert sizes == [20_000, 20_000, 5_000]
    assert len(await revoked(ledger)) == 45_000


REFUSED = {
    "a smaller tree": (partner_head(4, 20), "head-regressed"),
    "an earlier time": (partner_head(6, 9), "head-regressed"),
    "another root": (partner_head(5, 20, root=7), "head-forked"),
}


@pytest.mark.parametrize(("head", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_head_that_contradicts_the_kept_one_brings_nothing_with_it(
    ledger: Ledger, head: object, code: str
) -> None:
    await ledger.save_partner_head(RELATION, partner_head(5))
    with pytest.raises(LedgerConflict) as caught:
        await ledger.merge_revocations(RELATION, revocations("a"), head)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert await ledger.partner_head(RELATION) == partner_head(5)
    assert await revoked(ledger) == {}


async def test_a_head_of_the_same_tree_may_be_newer(ledger: Ledger) -> None:
    await ledger.save_partner_head(RELATION, partner_head(5))
    await ledger.save_partner_head(RELATION, partner_head(5, 30))
    assert await ledger.partner_head(RELATION) == partner_head(5, 30)


async def test_everything_is_there_after_a_restart(url: str) -> None:
    first = await open_ledger(url)
    await first.merge_revocations(RELATION, revocations("a"), partner_head(1))
    kept = await first.keep_evidence(RELATION, {"heads": ["x", "y"]}, 5)
    await first.close()
    second = await open_ledger(url)
    assert await revoked(second) == {"a": 7}
    assert await second.partner_head(RELATION) == partner_head(1)
    assert [each.id for each in await second.load_evidence(RELATION)] == [kept]
    await second.close()


async def test_replicas_that_merge_at_once_come_to_one_set(url: str) -> None:
    ledgers = [await open_ledger(url) for _ in range(3)]
    names = [f"cap-{each}" for each in range(300)]
    for each in range(4):
        parts = [random.Random(each * 7 + which).sample(names, 200) for which in range(3)]
        await asyncio.gather(
            *(
                ledger.merge_revocations(RELATION, revocations(*part, at=each + 1), partner_head(each))
                for ledger, part in zip(ledgers, parts, strict=True)
            )
        )
    states = [await revoked(ledger) for ledger in ledgers]
    assert states[0] == states[1] == states[2]
    assert len(states[0]) > 250
    for ledger in ledgers:
        await ledger.close()


async def test_evidence_is_kept_once_and_the_first_time_stays(ledger: Ledger) -> None:
    document = {"first": "checkpoint 1", "second": "checkpoint 2"}
    kept = await ledger.keep_evidence(RELATION, document, 5)
    assert await ledger.keep_evidence(RELATION, document, 9) == kept
    await ledger.keep_evidence(RELATION, {"first": "z"}, 7)
    found = await ledger.load_evidence(RELATION)
    assert [(each.kept_at, each.document) for each in found] == [(5, document), (7, {"first": "z"})]
    assert await ledger.load_evidence(OTHER) == []


async def test_evidence_that_was_changed_is_no_evidence(ledger: Ledger, url: str) -> None:
    await ledger.keep_evidence(RELATION, {"first": "a"}, 5)
    tamper(url, 'UPDATE ledger_evidence SET document = \'{"first":"b"}\'')
    with pytest.raises(LedgerDamaged):
        await ledger.load_evidence(RELATION)


@pytest.mark.parametrize(
    "relation",
    [Relation("", "b"), Relation("a", "b c"), Relation("a", "x" * 254)],
    ids=["none", "space", "long"],
)
async def test_only_kernels_have_something_kept_of_them(ledger: Ledger, relation: Relation) -> None:
    with pytest.raises(MalformedDocument):
        await ledger.merge_revocations(relation, revocations("a"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    merges=st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=6), max_size=6)
)
async def test_no_sequence_of_merges_makes_anything_valid_again(
    ledger: Ledger, merges: list[list[tuple[str, int]]]
) -> None:
    relation = Relation(f"kernel-{secrets.token_hex(8)}", "partner")  # the examples share the ledger
    model: dict[str, int] = {}
    for merge in merges:
        await ledger.merge_revocations(relation, [Revocation(name, at) for name, at in merge])
        for name, at in merge:
            model[name] = max(at, model.get(name, 0))
        assert await revoked(ledger, relation) == model
