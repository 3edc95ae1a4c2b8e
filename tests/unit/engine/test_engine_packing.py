"""What the cache holds is small, and comes out as it went in."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bilateral.engine.packing import MAX_SAMPLE_BYTES, Packing
from bilateral.engine.relations import Relations

from .conftest import build_peer


def text(number: int) -> bytes:
    return json.dumps(build_peer(f"partner-{number}")).encode()


@given(st.lists(st.binary(max_size=6000), max_size=8), st.booleans())
def test_every_text_comes_out_as_it_went_in_whatever_came_after(texts: list[bytes], alike: bool) -> None:
    packing = Packing(alike=alike)
    packed = [packing.pack(each) for each in texts]
    assert [each.unpack() for each in packed] == texts


def test_what_is_like_the_others_takes_a_fraction() -> None:
    packing = Packing(alike=True)
    packing.pack(text(1))
    assert len(packing.pack(text(2)).data) < len(text(2)) / 5


def test_a_much_longer_text_is_the_new_sample_and_its_size_is_bounded() -> None:
    packing = Packing(alike=True)
    first = packing.pack(b"a" * 100)
    assert packing.pack(b"b" * 110).sample is first.sample
    longer = packing.pack(b"c" * 10_000)
    assert longer.sample == b"c" * MAX_SAMPLE_BYTES
    assert first.unpack() == b"a" * 100


def test_secrets_leave_no_sample() -> None:
    assert Packing(alike=False).pack(b"key" * 100).sample is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_relations_are_a_set_of_pairs(steps: list[tuple[bool, int, int]]) -> None:
    relations: Relations[tuple[int], int] = Relations()
    pairs: set[tuple[int, int]] = set()
    for adds, term, key in steps:
        if adds:
            assert relations.add((term,), key) == (term,)
            pairs.add((term, key))
        else:
            relations.discard((term,), key)
            pairs.discard((term, key))
        for each in range(3):
            assert relations.find((each,)) == {key for held, key in pairs if held == each}


def test_keys_that_share_a_term_share_the_object() -> None:
    relations: Relations[tuple[str, ...], int] = Relations()
    terms = [relations.add(("org", *"a"), key) for key in range(3)]
    assert terms[1] is terms[2]
