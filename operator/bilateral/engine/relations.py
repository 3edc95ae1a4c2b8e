"""Which keys are found by which term: the cache's indexes.

A term is found by one key (a kernel id) or by thousands (a trust domain). Both are kept small: one
key stands for itself, without a set around it, and keys that share a term share the object too.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)
K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Many(Generic[T, K]):
    """What a term finds when it finds several."""

    term: T
    keys: set[K] = field(default_factory=set)


class Relations(Generic[T, K]):
    """Terms and the keys that they find."""

    def __init__(self) -> None:
        self._found: dict[T, K | _Many[T, K]] = {}

    def add(self, term: T, key: K) -> T:
        """Let ``term`` find ``key``; the term to remember, which equals the one given."""
        found = self._found.get(term)
        if found is None:
            self._found[term] = key
            return term
        if not isinstance(found, _Many):
            if found == key:
                return term
            self._found[term] = found = _Many(term, {found})
        found.keys.add(key)
        return found.term

    def discard(self, term: T, key: K) -> None:
        """Let ``term`` not find ``key`` any more."""
        found = self._found.get(term)
        if isinstance(found, _Many):
            found.keys.discard(key)
            if not found.keys:
                del self._found[term]
        elif found == key:
            del self._found[term]

    def find(self, term: T) -> frozenset[K]:
        """Every key that ``term`` finds."""
        found = self._found.get(term)
        if isinstance(found, _Many):
            return frozenset(found.keys)
        return frozenset() if found is None else frozenset((found,))
