"""The cache: newest wins, relations are kept as objects come and go, a full list is the truth (R-B2)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bilateral.engine.cache import Cache, Index, Key, Kind

from .conftest import build_peer

PEER = Kind.FEDERATION_PEER


def key(name: str) -> Key:
    return Key(PEER, "trust", name)


def test_an_object_is_held_without_what_nobody_reads() -> None:
    cache = Cache()
    obj = build_peer("org-b")
    obj["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    assert cache.put(PEER, obj)
    held = cache.raw(key("org-b"))
    assert held is not None
    assert "managedFields" not in held["metadata"]
    assert held["metadata"]["annotations"] == {"mine": "1"}
    assert held["spec"] == obj["spec"]


def test_the_same_or_an_older_version_is_no_news() -> None:
    cache = Cache()
    assert cache.put(PEER, build_peer("org-b", 9))
    assert not cache.put(PEER, build_peer("org-b", 9))
    assert not cache.put(PEER, build_peer("org-b", 8)), "9 is before 10 as a number, not as a text"
    assert cache.put(PEER, build_peer("org-b", 10))


def test_another_incarnation_is_news_whatever_its_version() -> None:
    cache = Cache()
    cache.put(PEER, build_peer("org-b", 9))
    assert cache.put(PEER, build_peer("org-b", 3, uid="another"))
    assert not cache.remove(key("org-b"), "uid-org-b"), "the end of the former is not the end of this one"
    assert cache.remove(key("org-b"), "another")


def test_relations_follow_the_object() -> None:
    cache = Cache()
    cache.put(PEER, build_peer("org-b", 1, fingerprints=["SHA256:aa"], pin={}))
    cache.put(PEER, build_peer("org-c", 2, fingerprints=["SHA256:aa"], pin={"seal": "x"}))
    assert cache.find(Index.PEERS_OF_DOMAIN, "trust", "org-a") == {key("org-b"), key("org-c")}
    assert cache.find(Index.PEER_BY_FINGERPRINT, "trust", "org-a", "SHA256:aa") == {
        key("org-b"),
        key("org-c"),
    }
    assert cache.find(Index.PINNED_IN_DOMAIN, "trust", "org-a") == {key("org-c")}
    cache.put(PEER, build_peer("org-b", 3, fingerprints=["SHA256:bb"]))
    assert cache.find(Index.PEER_BY_FINGERPRINT, "trust", "org-a", "SHA256:aa") == {key("org-c")}
    cache.remove(key("org-c"))
    assert cache.find(Index.PEER_BY_FINGERPRINT, "trust", "org-a", "SHA256:aa") == set()


def test_a_secret_is_found_by_who_refers_to_it() -> None:
    cache = Cache()
    cache.put(PEER, build_peer("org-b", endpoint={"bearerTokenSecretRef": {"name": "token"}}))
    assert cache.find(Index.REFERS_TO_SECRET, "trust", "token") == {key("org-b")}


def test_the_older_object_is_first_and_the_uid_decides_between_equals() -> None:
    cache = Cache()
    cache.put(PEER, build_peer("new", created="2026-11-21T00:00:02Z"))
    cache.put(PEER, build_peer("old", created="2026-11-21T00:00:01Z"))
    cache.put(PEER, build_peer("twin", created="2026-11-21T00:00:01Z", uid="a-smaller-uid"))
    rivals = frozenset({key("new"), key("old"), key("twin")})
    assert [name for name in ("new", "old", "twin") if cache.is_first(key(name), rivals)] == ["twin"]


def test_a_full_list_tells_what_is_gone() -> None:
    cache = Cache()
    for name in ("org-b", "org-c"):
        cache.put(PEER, build_peer(name))
    other = build_peer("org-d")
    other["metadata"]["namespace"] = "elsewhere"
    cache.put(PEER, other)
    assert cache.missing_from(PEER, "trust", {"uid-org-b"}, "5") == [key("org-c")]
    assert len(cache.missing_from(PEER, None, {"uid-org-b"}, "5")) == 2


def test_what_was_written_after_a_list_is_not_gone() -> None:
    cache = Cache()
    cache.put(PEER, build_peer("org-b", 6))
    assert cache.missing_from(PEER, "trust", set(), "5") == []
    assert cache.missing_from(PEER, "trust", set(), "6") == [key("org-b")]


EVENTS = st.permutations(
    [("put", "b", 1), ("put", "b", 2), ("put", "b", 3), ("put", "c", 4), ("put", "c", 5)]
)


@given(EVENTS)
def test_any_order_of_events_ends_in_the_same_state(events: list[tuple[str, str, int]]) -> None:
    cache = Cache()
    for _, name, version in events:
        cache.put(PEER, build_peer(name, version, displayName=str(version)))
    shown: dict[str, Any] = {each.name: cache.raw(each) for each in cache.keys(PEER)}
    assert {name: obj["spec"]["displayName"] for name, obj in shown.items()} == {"b": "3", "c": "5"}
    assert cache.find(Index.PEERS_OF_DOMAIN, "trust", "org-a") == {key("b"), key("c")}
