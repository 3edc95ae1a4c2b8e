"""Merkle trees of RFC 6962: what a signed head commits to, and the proofs about it.

Three things, by what they need to know:

- :class:`CompactRange` is what a *reader* keeps: one hash for each bit that is set in the size, at most
  64. It takes leaves in order and knows the root after each;
- :class:`Tree` is what a *publisher* keeps: every complete subtree's hash (64 bytes a leaf), from which the
  root and the proofs of any earlier size are read in logarithmic time;
- ``verify_*`` need neither: roots, sizes and a proof.

Rules kept here: leaves are hashed with the prefix 0x00 and nodes with 0x01, so that none is taken for the
other; an odd node is carried up, never doubled; a proof of another length than the sizes demand is refused,
so that one statement has one proof.

What a leaf says, and who signs a root, is not known here. The verification follows RFC 9162 (2.1.3.2,
2.1.4.2), which restates that of RFC 6962 without recursion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.reasons import Reason

HASH_BYTES: Final = 32
MAX_PROOF_HASHES: Final = 64
"""A tree of 2^63 leaves needs no more in any proof."""
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


class InvalidProof(ProtocolError):
    """A Merkle proof that does not show what it should."""

    reason = Reason.INVALID_PROOF

    def __init__(self) -> None:
        super().__init__("the Merkle proof does not hold")


def leaf_hash(data: bytes) -> bytes:
    """Hash the data of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The leaves from the first up to ``size``, as the hashes of their complete subtrees, the largest first.

    Building one checks that there are as many hashes as the size demands (``ValueError``).
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.hashes):
            raise ValueError("a compact range has one hash for each bit of its size")
        if any(len(each) != HASH_BYTES for each in self.hashes):
            raise ValueError("a hash has 32 bytes")

    def extend(self, leaves: Iterable[bytes]) -> CompactRange:
        """Return the range with these leaf hashes after those that it has."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            node, rest = leaf, size
            while rest & 1:
                node = node_hash(hashes.pop(), node)
                rest >>= 1
            hashes.append(node)
            size += 1
        return CompactRange(size, tuple(hashes))

    @property
    def root(self) -> bytes:
        """The root of the tree that has exactly these leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


class Tree:
    """All leaves of a log; it only grows. Sizes and indices beyond its own are refused (``ValueError``)."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaves)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_BYTES

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes."""
        for leaf in leaves:
            if len(leaf) != HASH_BYTES:
                raise ValueError("a hash has 32 bytes")
            self._levels[0] += leaf
            node, level = leaf, 0
            # As long as a level has an even number of nodes, its last two are a complete subtree.
            while len(self._levels[level]) % (2 * HASH_BYTES) == 0:
                node = node_hash(bytes(self._levels[level][-2 * HASH_BYTES : -HASH_BYTES]), node)
                level += 1
                if level == len(self._levels):
                    self._levels.append(bytearray())
                self._levels[level] += node

    def compact_range(self, size: int | None = None) -> CompactRange:
        """The compact range of the first ``size`` leaves, or of all."""
        wanted = self._size(size)
        hashes: list[bytes] = []
        start = 0
        for level in reversed(range(wanted.bit_length())):
            if wanted >> level & 1:
                hashes.append(self._node(level, start >> level))
                start += 1 << level
        return CompactRange(wanted, tuple(hashes))

    def root(self, size: int | None = None) -> bytes:
        """The root of the first ``size`` leaves, or of all."""
        return self.compact_range(size).root

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962, section 2.1.1: the leaf's siblings, the lowest first."""
        start, end = 0, self._size(size)
        if not 0 <= index < end:
            raise ValueError("no leaf of that index")
        proof: list[bytes] = []
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._subroot(middle, end))
                end = middle
            else:
                proof.append(self._subroot(start, middle))
                start = middle
        return proof[::-1]

    def consistency_proof(self, old: int, size: int | None = None) -> list[bytes]:
        """PROOF(old, D[size]) of RFC 6962, section 2.1.2; empty for an old tree that is empty or the same."""
        start, end = 0, self._size(size)
        if not 0 <= old <= end:
            raise ValueError("an old tree is not larger than the new one")
        if old in (0, end):
            return []
        proof: list[bytes] = []
        is_old_tree = True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._subroot(middle, end))
                end = middle
            else:
                proof.append(self._subroot(start, middle))
                start, is_old_tree = middle, False
        if not is_old_tree:
            proof.append(self._subroot(start, end))
        return proof[::-1]

    def _size(self, size: int | None) -> int:
        wanted = self.size if size is None else size
        if not 0 <= wanted <= self.size:
            raise ValueError("no tree of that size")
        return wanted

    def _node(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def _subroot(self, start: int, end: int) -> bytes:
        """The hash of the leaves from ``start`` to ``end``; a left child is complete, only a right one is not."""
        hashes: list[bytes] = []
        while end - start > 1 and (end - start).bit_count() > 1:
            middle = start + _split(end - start)
            hashes.append(self._subroot(start, middle))
            start = middle
        width = end - start
        level = width.bit_length() - 1
        root = self._node(level, start >> level)
        for left in reversed(hashes):
            root = node_hash(left, root)
        return root


def _split(width: int) -> int:
    """The largest power of two below ``width``: how many leaves the left child has."""
    return 1 << (width - 1).bit_length() - 1


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that ``leaf`` (a leaf hash) is number ``index`` of the ``size`` leaves under ``root``.

    RFC 9162, section 2.1.3.2. Raises InvalidProof.
    """
    if not 0 <= index < size or not _are_hashes([leaf, root, *proof]):
        raise InvalidProof
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProof
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or found != root:
        raise InvalidProof


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Verify that the old tree's leaves are the first ones of the new tree.

    RFC 9162, section 2.1.4.2; an empty old tree is the beginning of every tree, and is shown by nothing.
    Raises InvalidProof.
    """
    if not 0 <= old_size <= new_size or not _are_hashes([old_root, new_root, *proof]):
        raise InvalidProof
    if old_size in (0, new_size):
        is_same = old_root == (EMPTY_ROOT if old_size == 0 else new_root)
        if proof or not is_same or (new_size == 0 and new_root != EMPTY_ROOT):
            raise InvalidProof
        return
    # A complete old tree is a node of the new one: its root is then left out of the proof.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        raise InvalidProof
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidProof
        if node & 1 or node == last:
            old_found = node_hash(sibling, old_found)
            new_found = node_hash(sibling, new_found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_found = node_hash(new_found, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or old_found != old_root or new_found != new_root:
        raise InvalidProof


def _are_hashes(values: Sequence[bytes]) -> bool:
    # One more than a proof and both roots: whoever is sent more has work to do for nothing.
    return len(values) <= MAX_PROOF_HASHES + 2 and all(len(each) == HASH_BYTES for each in values)
