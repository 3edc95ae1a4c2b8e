"""What kopf's traffic tells: lists that were read to their end, watches that live."""

from __future__ import annotations

from typing import Any

import pytest

from bilateral.engine.cache import Kind
from bilateral.engine.session import Watches, resource_of

from .conftest import FakeClock, build_peer

PEERS = (Kind.FEDERATION_PEER, "trust")
SECRETS = (Kind.SECRET, "trust")


class Heard:
    def __init__(self) -> None:
        self.objects: list[str] = []
        self.lists: list[set[str]] = []

    def on_objects(self, kind: Kind, objects: list[dict[str, Any]]) -> None:
        self.objects += [each["metadata"]["name"] for each in objects]

    def on_listed(self, kind: Kind, namespace: str | None, uids: set[str], version: str) -> None:
        self.lists.append(uids)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watches(clock: FakeClock, heard: Heard) -> Watches:
    return Watches(clock, (PEERS, SECRETS), heard.on_objects, heard.on_listed)


def page(*names: str, more: str = "") -> dict[str, Any]:
    return {
        "items": [build_peer(name) for name in names],
        "metadata": {"continue": more, "resourceVersion": "9"},
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/apis/bilateral.dev/v1alpha1/namespaces/trust/federationpeers", PEERS),
        ("/apis/bilateral.dev/v1alpha1/federationpeers", (Kind.FEDERATION_PEER, None)),
        ("/api/v1/namespaces/trust/secrets", SECRETS),
        ("/api/v1/secrets", (Kind.SECRET, None)),
        ("/api/v1/namespaces/trust/secrets/one", None),
        ("/apis/bilateral.dev/v1alpha1", None),
        ("/api/v1/namespaces/secrets/pods", None),
    ],
)
def test_a_path_names_a_resource(path: str, expected: object) -> None:
    assert resource_of(path) == expected


def test_a_list_in_pages_is_reported_when_it_was_read_to_its_end(watches: Watches, heard: Heard) -> None:
    watches.page(PEERS, page("b", "c", more="token"), first=True)
    assert heard.lists == []
    assert watches.page(PEERS, page("d"), first=False)
    assert heard.lists == [{"uid-b", "uid-c", "uid-d"}]
    assert heard.objects == ["b", "c", "d"]


def test_a_list_that_starts_anew_forgets_the_half_that_was_read(watches: Watches, heard: Heard) -> None:
    watches.page(PEERS, page("b", more="token"), first=True)
    watches.page(PEERS, page("c"), first=True)
    assert heard.lists == [{"uid-c"}]


def test_filled_means_every_resource_was_listed_and_is_watched(watches: Watches) -> None:
    watches.page(PEERS, page(), first=True)
    watches.heard(PEERS)
    assert not watches.filled
    watches.page(SECRETS, page(), first=True)
    assert not watches.filled, "listed, but not watched yet"
    watches.heard(SECRETS)
    assert watches.filled


def test_the_quietest_watch_counts(watches: Watches, clock: FakeClock) -> None:
    for resource in (PEERS, SECRETS):
        watches.page(resource, page(), first=True)
        watches.heard(resource)
    clock.advance(100)
    watches.heard(PEERS)
    assert watches.quiet_seconds == 100


def test_what_is_not_ours_is_passed_over(watches: Watches, heard: Heard) -> None:
    assert not watches.page((Kind.SECRET, "elsewhere"), page("x"), first=True)
    assert heard.objects == []


def test_a_watch_that_opens_tells_that_the_api_server_answers(clock: FakeClock) -> None:
    told: list[None] = []
    watches = Watches(clock, (PEERS,), lambda *_: None, lambda *_: None, lambda: told.append(None))
    watches.page(PEERS, page(), first=True)
    assert (watches.filled, told) == (False, [])
    watches.opened(PEERS)
    assert (watches.filled, told) == (True, [None])
    watches.heard(PEERS)
    assert told == [None]
