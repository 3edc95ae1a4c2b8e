"""Services that come with an introduction: resolved by the same table, after those that a person gave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import (
    Presentable,
    ResolvedService,
    ServiceRefused,
    merge_services,
    resolve_introduced,
)

from .conftest import NOW
from .service_objects import (
    BOTH,
    EXPIRED,
    LEAF,
    NEW,
    NEW_AUTHORITY,
    OLD,
    RAW,
    STRANGER,
    URL,
    partner,
    pins,
    resolved,
)


def introduced(
    peer: Partner | None, *, named: bool = True, by: Any = NEW_AUTHORITY, alias: str = "org2-api"
) -> ResolvedService | ServiceRefused:
    return resolve_introduced(alias, URL, by.certificate, peer, peer_is_named=named, now=NOW)


def test_an_introductions_service_is_resolved_by_the_same_table() -> None:
    for peer, expected in (
        (partner(authorities=BOTH), PeerCA((NEW, OLD))),
        (partner(LEAF, authorities=BOTH), PinnedFingerprint(pins(LEAF))),
    ):
        found = introduced(peer)
        assert isinstance(found, ResolvedService)
        assert found.verifier == expected
        assert found.presents == (Presentable(NEW), Presentable(OLD))
        assert (found.peer, found.deadline_of, found.until) == ("org-b", "org-b-kernel", NOW + 43_200)


def test_an_introduction_by_a_given_fingerprint_is_verified_by_its_own_authority() -> None:
    found = introduced(None, named=False)
    assert isinstance(found, ResolvedService)
    assert found.verifier == ConfiguredCA((NEW,))
    assert found.presents == (Presentable(NEW),)
    assert found.deadline_of is None


def test_an_introductions_own_authority_is_shown_where_the_peer_announces_none() -> None:
    found = introduced(partner(LEAF), by=STRANGER)
    assert isinstance(found, ResolvedService)
    assert found.presents == (Presentable(STRANGER.certificate),)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (None, Reason.PEER_NOT_FOUND),
        (partner(), Reason.NOTHING_PINNED),
        (partner(RAW), Reason.NOTHING_PINNED),
        (partner(withheld=Reason.PEER_STALE), Reason.PEER_STALE),
        (partner(authorities=(EXPIRED,)), Reason.AUTHORITY_EXPIRED),
    ],
)
def test_an_introductions_service_is_refused_with_its_peer(peer: Partner | None, reason: Reason) -> None:
    assert introduced(peer) == ServiceRefused("org2-api", reason)


def test_an_expired_authority_of_a_given_fingerprint_verifies_nobody() -> None:
    assert introduced(None, named=False, by=EXPIRED) == ServiceRefused("org2-api", Reason.AUTHORITY_EXPIRED)


def test_a_persons_alias_goes_before_an_introductions() -> None:
    ours = replace(resolved(), url="https://ours.example")
    theirs = introduced(partner(authorities=BOTH))
    assert merge_services([ours], [theirs]) == (ours,)
    assert merge_services([ServiceRefused("org2-api", Reason.PEER_STALE)], [theirs]) == ()
    assert merge_services([], [theirs], given=["org2-api"]) == (), "although this identity may not see it"
    assert merge_services([], [theirs], given=["another"]) == (theirs,)


def test_of_two_introductions_the_older_keeps_an_alias_also_while_it_is_refused() -> None:
    older, newer = introduced(partner(authorities=BOTH)), introduced(None, named=False, by=STRANGER)
    assert merge_services([], [older, newer]) == (older,)
    assert merge_services([], [newer, older]) == (newer,)
    assert merge_services([], [ServiceRefused("org2-api", Reason.PEER_STALE), newer]) == ()


def test_services_are_sorted_by_alias() -> None:
    peer = partner(authorities=BOTH)
    found = merge_services(
        [replace(resolved(), alias="m")], [introduced(peer, alias="z"), introduced(peer, alias="a")]
    )
    assert [each.alias for each in found] == ["a", "m", "z"]
