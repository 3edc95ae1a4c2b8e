"""What Kubernetes says, as far as we look: our kinds, and the Secrets that carry our label.

Rules:

- Newest wins: an object older than the one that is held (by resourceVersion) is ignored, so the
  answer to a write and its echo on the watch may come in any order.
- What is held is compact: the members that decisions read, as packed JSON text. At 10,000 peers
  parsed dicts would cost 130 MiB, this costs about 15; reading one again costs 15 µs.
- Relations (peer → trust domain, Secret → who refers to it, kernel id, fingerprint) are found
  through indexes that are kept as objects come and go. Nothing is ever searched.
- A list that the API server gave in full is the truth: what it does not contain is gone, even if
  no event said so (kopf does not report deletions that it slept through).
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bilateral.engine.echoes import Echoes
from bilateral.engine.packing import Packed, Packing
from bilateral.engine.relations import Relations
from bilateral.engine.terms import Index, IndexTerm, Key, Kind, Object, Term, terms_of
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

__all__ = ["Cache", "Index", "Key", "Kind", "Object", "Term"]

_METADATA = (
    "namespace",
    "name",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
)
_BODY = ("spec", "status", "data", "type")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(slots=True)
class _Record:
    uid: str
    resource_version: str
    text: Packed
    terms: tuple[IndexTerm, ...]


class Cache:
    """Objects by key, with indexes."""

    def __init__(self) -> None:
        self._records: dict[Key, _Record] = {}
        self.epochs: dict[str, int] = dict.fromkeys(Kind, 0)  # moves when anything of the kind does
        self._by_kind: defaultdict[str, set[Key]] = defaultdict(set)
        self._relations: Relations[IndexTerm, Key] = Relations()
        self._packing = {kind: Packing(alike=kind is not Kind.SECRET) for kind in Kind}
        self.on_written: Callable[[Kind, Object], object] = self.put
        self.echoes = Echoes()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def put(self, kind: Kind, obj: Object) -> bool:
        """Hold ``obj``; false when it is already held, or is older than what is held."""
        metadata = obj["metadata"]
        key = Key(kind, sys.intern(metadata["namespace"]), metadata["name"])
        held = self._records.get(key)
        version = metadata["resourceVersion"]
        if held is not None and held.uid == metadata["uid"] and not _is_newer(version, held.resource_version):
            return False
        slim = {name: obj[name] for name in _BODY if name in obj}
        slim["metadata"] = {name: metadata[name] for name in _METADATA if name in metadata}
        annotations = slim["metadata"].get("annotations")
        if annotations and LAST_APPLIED in annotations:
            slim["metadata"]["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
        text = self._packing[kind].pack(_ENCODER.encode(slim).encode())
        if held is not None:
            self._unindex(key, held)
        terms = tuple(self._relations.add(term, key) for term in terms_of(kind, key, obj))
        self.epochs[kind] += 1
        self._records[key] = _Record(metadata["uid"], version, text, terms)
        self._by_kind[kind].add(key)
        return True

    def written(self, kind: Kind, obj: Object) -> None:
        """Take in what the API server answered to a write of ours.

        Who depends on it hears of it now, for the echo on the watch is no news then.
        """
        self.on_written(kind, obj)
        self.echoes.expect(obj["metadata"]["resourceVersion"])

    def remove(self, key: Key, uid: str | None = None) -> bool:
        """Forget the object (only that incarnation of it, if ``uid`` is given)."""
        held = self._records.get(key)
        if held is None or (uid is not None and held.uid != uid):
            return False
        self._unindex(key, held)
        del self._records[key]
        self.epochs[key.kind] += 1
        self._by_kind[key.kind].discard(key)
        return True

    def missing_from(self, kind: Kind, namespace: str | None, listed: set[str], version: str) -> list[Key]:
        """The keys held that a complete list of that kind (and namespace) shows to be gone.

        ``listed`` holds the UIDs in the list and ``version`` is the list's resourceVersion: what was
        written after it, such as a Secret that we have just made, is not gone.
        """
        return [
            key
            for key in self._by_kind[kind]
            if (namespace is None or key.namespace == namespace)
            and self._records[key].uid not in listed
            and not _is_newer(self._records[key].resource_version, version)
        ]

    def raw(self, key: Key) -> Object | None:
        """The object as JSON, or None."""
        record = self._records.get(key)
        if record is None:
            return None
        obj: Object = json.loads(record.text.unpack())
        return obj

    def trust_domain(self, key: Key) -> TrustDomain | None:
        """The TrustDomain; raises InvalidResource when its spec breaks a rule."""
        obj = self.raw(key)
        return None if obj is None else TrustDomain.parse(obj)

    def federation_peer(self, key: Key) -> FederationPeer | None:
        """The FederationPeer; raises InvalidResource when its spec breaks a rule."""
        obj = self.raw(key)
        return None if obj is None else FederationPeer.parse(obj)

    def keys(self, kind: Kind) -> Iterator[Key]:
        """Every key of a kind, as it is now."""
        return iter(tuple(self._by_kind[kind]))

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are held."""
        return len(self._by_kind[kind])

    def find(self, index: Index, *term: str) -> frozenset[Key]:
        """The keys that an index lists under a term."""
        return self._relations.find((index, term))

    def terms(self, key: Key, index: Index) -> tuple[Term, ...]:
        """The terms of one index by which an object is found."""
        record = self._records.get(key)
        return () if record is None else tuple(term for of, term in record.terms if of is index)

    def sharers(self, key: Key, indexes: Iterable[Index]) -> frozenset[Key]:
        """Every key that is found by a term by which ``key`` is found, itself included."""
        record = self._records.get(key)
        wanted = frozenset(indexes)
        found: set[Key] = set()
        for term in () if record is None else record.terms:
            if term[0] in wanted:
                found |= self._relations.find(term)
        return frozenset(found)

    def uid(self, key: Key) -> str | None:
        """The UID of the object held, or None."""
        record = self._records.get(key)
        return None if record is None else record.uid

    def resource_version(self, key: Key) -> str | None:
        """The resourceVersion of the object held, or None."""
        record = self._records.get(key)
        return None if record is None else record.resource_version

    def is_first(self, key: Key, rivals: Iterable[Key]) -> bool:
        """Whether ``key`` is the oldest among the rivals: the older keeps what both claim."""
        others = [rival for rival in rivals if rival != key]
        own = self._age(key) if others else ("", "")
        return all(own <= self._age(rival) for rival in others)

    def _age(self, key: Key) -> tuple[str, str]:
        record = self._records[key]
        metadata = json.loads(record.text.unpack())["metadata"]
        return metadata.get("creationTimestamp", ""), record.uid

    def _unindex(self, key: Key, record: _Record) -> None:
        for term in record.terms:
            self._relations.discard(term, key)


def _is_newer(version: str, held: str) -> bool:
    # Kubernetes: resource versions of one resource are decimal numbers that may be compared.
    if version.isdigit() and held.isdigit():
        return int(version) > int(held)
    return version != held
