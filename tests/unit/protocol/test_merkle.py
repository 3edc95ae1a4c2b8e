"""Merkle trees: RFC 6962's own values, a recursive oracle for every size, and no second proof of anything."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.merkle import (
    EMPTY_ROOT,
    CompactRange,
    InvalidProof,
    Tree,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The eight inputs of the reference implementations of Certificate Transparency, and their roots by size.
INPUTS = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PROOFS_OF_INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
PROOFS_OF_CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % number) for number in range(count)]


def oracle_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + oracle_root(hashes[:k]) + oracle_root(hashes[k:])).digest()


def oracle_consistency(old: int, hashes: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2, word for word."""
    if old == len(hashes):
        return [] if whole else [oracle_root(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if old <= k:
        return [*oracle_consistency(old, hashes[:k], whole), oracle_root(hashes[k:])]
    return [*oracle_consistency(old - k, hashes[k:], whole=False), oracle_root(hashes[:k])]


def oracle_inclusion(index: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if index < k:
        return [*oracle_inclusion(index, hashes[:k]), oracle_root(hashes[k:])]
    return [*oracle_inclusion(index - k, hashes[k:]), oracle_root(hashes[:k])]


def holds(verify: object, *arguments: object) -> bool:
    try:
        verify(*arguments)  # type: ignore[operator]
    except InvalidProof:
        return False
    return True


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    hashes = [leaf_hash(each) for each in INPUTS[:size]]
    assert CompactRange().extend(hashes).root.hex() == ROOTS[size]
    assert Tree([leaf_hash(each) for each in INPUTS]).root(size).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "proof"), PROOFS_OF_INCLUSION)
def test_proofs_of_inclusion_are_the_published_ones(index: int, size: int, proof: list[str]) -> None:
    tree = Tree([leaf_hash(each) for each in INPUTS])
    made = tree.inclusion_proof(index, size)
    assert [each.hex() for each in made] == proof
    verify_inclusion(leaf_hash(INPUTS[index]), index, size, made, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "proof"), PROOFS_OF_CONSISTENCY)
def test_proofs_of_consistency_are_the_published_ones(old: int, new: int, proof: list[str]) -> None:
    made = Tree([leaf_hash(each) for each in INPUTS]).consistency_proof(old, new)
    assert [each.hex() for each in made] == proof
    verify_consistency(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), made)


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaves(2)
    assert node_hash(left, right) != leaf_hash(left + right)
    assert leaf_hash(b"") != EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 34))
def test_every_proof_is_the_recursive_definition(size: int) -> None:
    hashes = leaves(size)
    tree, root = Tree(hashes), oracle_root(hashes)
    assert tree.root() == root == tree.compact_range().root
    for index in range(size):
        proof = tree.inclusion_proof(index)
        assert proof == oracle_inclusion(index, hashes)
        verify_inclusion(hashes[index], index, size, proof, root)
    for old in range(1, size + 1):
        proof = tree.consistency_proof(old)
        assert proof == oracle_consistency(old, hashes)
        verify_consistency(old, oracle_root(hashes[:old]), size, root, proof)


@given(st.integers(0, 300), st.lists(st.integers(0, 40), max_size=8))
def test_a_range_grows_in_any_portions(start: int, portions: list[int]) -> None:
    hashes = leaves(start + sum(portions))
    found = CompactRange().extend(hashes[:start])
    at = start
    for portion in portions:
        found = found.extend(hashes[at : at + portion])
        at += portion
        assert found == Tree(hashes[:at]).compact_range()
        assert found.root == oracle_root(hashes[:at])


@given(st.integers(1, 80), st.data())
def test_any_change_breaks_a_proof_of_inclusion(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    tree = Tree(hashes)
    proof, root, leaf = tree.inclusion_proof(index), tree.root(), hashes[index]
    other = hashlib.sha256(b"other").digest()
    assert not holds(verify_inclusion, other, index, size, proof, root)
    assert not holds(verify_inclusion, leaf, index, size, proof, other)
    assert not holds(verify_inclusion, leaf, index, size, [*proof, other], root)
    assert not holds(verify_inclusion, leaf, size, size, proof, root)
    assert not holds(verify_inclusion, leaf, -1, size, proof, root)
    for place in range(len(proof)):
        changed = [*proof[:place], other, *proof[place + 1 :]]
        assert not holds(verify_inclusion, leaf, index, size, changed, root)
        assert not holds(verify_inclusion, leaf, index, size, proof[:place] + proof[place + 1 :], root)
    for wrong in range(size):
        if wrong != index:
            assert not holds(verify_inclusion, leaf, wrong, size, proof, root)


@given(st.integers(1, 80), st.data())
def test_any_change_breaks_a_proof_of_consistency(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    tree = Tree(leaves(size))
    proof, old_root, root = tree.consistency_proof(old), tree.root(old), tree.root()
    other = hashlib.sha256(b"other").digest()
    assert not holds(verify_consistency, old, other, size, root, proof)
    assert not holds(verify_consistency, old, old_root, size, other, proof)
    assert not holds(verify_consistency, old, old_root, size, root, [*proof, other])
    assert not holds(verify_consistency, size + 1, old_root, size, root, proof)
    for place in range(len(proof)):
        changed = [*proof[:place], other, *proof[place + 1 :]]
        assert not holds(verify_consistency, old, old_root, size, root, changed)
        assert not holds(verify_consistency, old, old_root, size, root, proof[:place] + proof[place + 1 :])
    if old < size:
        assert not holds(verify_consistency, old, old_root, 4 * size, root, proof)
        assert not holds(verify_consistency, size, root, old, old_root, proof)


def test_an_empty_tree_begins_every_tree_and_is_shown_by_nothing() -> None:
    root = Tree(leaves(3)).root()
    verify_consistency(0, EMPTY_ROOT, 3, root, [])
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not holds(verify_consistency, 0, EMPTY_ROOT, 3, root, [root])
    assert not holds(verify_consistency, 0, root, 3, root, [])
    assert not holds(verify_consistency, 0, EMPTY_ROOT, 0, root, [])


@given(
    st.integers(-1, 2**70),
    st.integers(-1, 2**70),
    st.lists(st.binary(min_size=0, max_size=33), max_size=70),
)
def test_a_verifier_answers_whatever_it_is_given(first: int, second: int, proof: list[bytes]) -> None:
    verdicts = [
        holds(verify_inclusion, EMPTY_ROOT, first, second, proof, leaf_hash(b"")),
        holds(verify_consistency, first, EMPTY_ROOT, second, leaf_hash(b""), proof),
    ]
    assert verdicts == [False, first == 0 and second > 0 and not proof]


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, ()), (0, (EMPTY_ROOT,)), (3, (EMPTY_ROOT,)), (1, (b"",)), (-1, ())]
)
def test_a_range_has_as_many_hashes_as_its_size_demands(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="hash"):
        CompactRange(size, hashes)


def test_what_a_tree_does_not_have_is_refused() -> None:
    tree = Tree(leaves(4))
    for ask in (
        lambda: tree.root(5),
        lambda: tree.inclusion_proof(4),
        lambda: tree.inclusion_proof(2, 2),
        lambda: tree.consistency_proof(5),
        lambda: tree.extend([b"short"]),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - which of them is the table's business
            ask()
    assert tree.size == 4
