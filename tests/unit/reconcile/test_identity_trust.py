"""Whom an identity's Secrets trust, and what they present to whom: as long as it counts and no longer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.names import rfc4514_name
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.services import Service
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.services import Presentable, ServiceRefused

from .conftest import NOW
from .identity_world import (
    DAY,
    OURS,
    SERVICE,
    THEIR_NEXT,
    THEIRS,
    YEAR,
    World,
    authority,
    moment,
    partner,
    settled_world,
)


@pytest.fixture
def settled() -> World:
    return settled_world()


# Who may connect


def test_known_clients_are_our_own_and_the_fresh_peers_that_are_named(settled: World) -> None:
    slug = build_slug(THEIRS.certificate)
    assert settled.files("known-clients") == {
        "self.crt": OURS.certificate_pem,
        f"{slug}.crt": THEIRS.certificate_pem,
        f"{slug}.yaml": b'peers:\n- "org-b-kernel"\n',
    }


@pytest.mark.parametrize("reason", [Reason.PEER_STALE, Reason.SUSPENDED, Reason.PIN_TAMPERED])
def test_a_peer_that_does_not_count_leaves_known_clients(settled: World, reason: Reason) -> None:
    settled.view = replace(settled.view, clients=(partner(withheld=reason, authorities=()),))
    settled.settle()
    assert set(settled.files("known-clients")) == {"self.crt"}
    assert settled.written == ["client1-known-clients"]


def test_known_clients_are_never_empty_of_certificates(settled: World) -> None:
    settled.spec["clients"] = []
    settled.view = replace(settled.view, clients=())
    settled.settle()
    assert settled.files("known-clients") == {"nobody.crt": NOBODY_PEM}


def test_both_generations_of_a_partner_count_and_a_list_comes_along(settled: World) -> None:
    listed = renew_revocation_list(THEIRS, [], None, lifetime_seconds=DAY, now=moment())
    slug = build_slug(THEIRS.certificate)
    settled.view = replace(settled.view, clients=(partner(THEIR_NEXT, THEIRS, revocations={slug: listed}),))
    settled.settle()
    files = settled.files("known-clients")
    assert files[f"{slug}.crl"] == listed.pem
    assert files[f"{build_slug(THEIR_NEXT.certificate)}.crt"] == THEIR_NEXT.certificate_pem


def test_a_retained_partner_is_bound_to_no_deadline(settled: World) -> None:
    settled.view = replace(settled.view, clients=(partner(THEIRS, fresh=False, retained=True),))
    settled.settle()
    assert f"{build_slug(THEIRS.certificate)}.yaml" not in settled.files("known-clients")


def test_the_next_look_is_when_a_partner_ends(settled: World) -> None:
    settled.view = replace(settled.view, clients=(partner(THEIRS, rotation_due=NOW + 77),))
    assert settled.settle() == NOW + 77


def test_an_authority_past_its_end_admits_nobody(settled: World) -> None:
    short = authority("Short CA", validity=100)
    settled.view = replace(settled.view, clients=(partner(short),))
    settled.settle()
    settled.now = int(short.not_after.timestamp()) + 1
    settled.settle()
    assert set(settled.files("known-clients")) == {"self.crt"}


# Chains and services


def test_an_accepted_introduction_is_a_chain_until_its_last_second(settled: World) -> None:
    settled.view = replace(settled.view, offers=(settled.offer(validity=3600),))
    next_at = settled.settle()
    slug = build_slug(THEIRS.certificate)
    assert set(settled.files("id-chains")) == {f"{slug}.crt"}
    assert settled.status["chains"][1]["introduction"] == "from-b"
    end = NOW + 3600 + 1
    assert next_at == end
    settled.now = end - 1
    settled.settle()
    assert set(settled.files("id-chains")) == {f"{slug}.crt"}
    settled.now = end
    settled.settle()
    assert settled.files("id-chains") == {}
    assert len(settled.status["chains"]) == 1


def test_a_chain_is_looked_at_when_the_partners_deadline_comes(settled: World) -> None:
    due = partner(THEIRS, rotation_due=NOW + 99)
    settled.view = replace(settled.view, clients=(), offers=(settled.offer(partner=due),))
    assert settled.settle() == NOW + 99


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"pinned": frozenset()}, id="authority not pinned"),
        pytest.param({"document": "{}"}, id="no introduction"),
    ],
)
def test_what_is_not_accepted_opens_nothing(settled: World, how: dict[str, Any]) -> None:
    services = (Service("org2-api", "https://api.org-b.example"),)
    offer = replace(settled.offer(services=services), **how)
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    assert settled.written == []
    assert settled.status["boundServices"] == 0


def test_a_withdrawn_introduction_leaves(settled: World) -> None:
    offer = settled.offer()
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    chain = x509.load_pem_x509_certificate(next(iter(settled.files("id-chains").values())))
    listed = renew_revocation_list(
        THEIRS, [Revocation(chain.serial_number, moment())], None, lifetime_seconds=DAY, now=moment()
    )
    lists = {build_slug(THEIRS.certificate): listed}
    settled.view = replace(settled.view, offers=(replace(offer, revocations=lists),))
    settled.settle()
    assert settled.files("id-chains") == {}


def test_of_two_introductions_by_one_authority_the_longer_is_shown(settled: World) -> None:
    longer, shorter = settled.offer(validity=2 * DAY, name="a"), settled.offer(validity=DAY, name="b")
    for offers in ((longer, shorter), (shorter, longer)):
        settled.view = replace(settled.view, offers=offers)
        settled.settle()
        assert settled.status["chains"][1]["introduction"] == "a"
    assert settled.written == ["client1-id-chains"]


def test_an_introduction_outlives_a_renewal(settled: World) -> None:
    settled.view = replace(settled.view, offers=(settled.offer(validity=YEAR),))
    settled.settle()
    before = settled.files("id-chains")
    settled.now = int(settled.held.identity.renewal_due.timestamp())
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("id-chains") == before


def test_a_service_is_bound_with_the_one_chain_that_it_accepts(settled: World) -> None:
    settled.view = replace(settled.view, services=(SERVICE,), offers=(settled.offer(),))
    settled.settle()
    slug = build_slug(THEIRS.certificate)
    entry = settled.yaml("known-servers", "org2-api.yaml")
    assert entry["auths"] == [rfc4514_name(THEIRS.certificate.subject), slug]
    assert entry["peer"] == "org-b-kernel"
    assert settled.files("known-servers")[f"{slug}.crt"] == THEIRS.certificate_pem
    assert settled.status["boundServices"] == 1


def test_what_a_partner_withdrew_lies_beside_the_authority_of_its_services(settled: World) -> None:
    """A client that is nobody's server needs it, too: the service's server may be among it."""
    slug = build_slug(THEIRS.certificate)
    listed = renew_revocation_list(
        THEIRS, [Revocation(7, moment())], None, lifetime_seconds=DAY, now=moment()
    )
    settled.view = replace(settled.view, services=(replace(SERVICE, lists=((slug, listed),)),))
    settled.settle()
    assert settled.files("known-servers")[f"{slug}.crl"] == listed.pem
    before = settled.status["contentHash"]
    settled.view = replace(settled.view, services=(SERVICE,))
    settled.settle()
    assert f"{slug}.crl" not in settled.files("known-servers")
    # Programs that read their files once read no lists: a new one rolls nothing out.
    assert settled.status["contentHash"] == before


def test_with_two_generations_the_chain_that_is_there_is_named(settled: World) -> None:
    both = replace(SERVICE, presents=(Presentable(THEIR_NEXT.certificate), Presentable(THEIRS.certificate)))
    settled.view = replace(settled.view, services=(both,))
    settled.settle()
    assert settled.yaml("known-servers", "org2-api.yaml")["auths"][1] == build_slug(THEIR_NEXT.certificate)
    settled.view = replace(settled.view, offers=(settled.offer(),))
    settled.settle()
    assert settled.yaml("known-servers", "org2-api.yaml")["auths"][1] == build_slug(THEIRS.certificate)


def test_a_refused_service_is_in_no_file_and_keeps_its_alias(settled: World) -> None:
    offer = settled.offer(services=(Service("org2-api", "https://elsewhere.org-b.example"),))
    settled.view = replace(
        settled.view, services=(ServiceRefused("org2-api", Reason.PEER_STALE),), offers=(offer,)
    )
    settled.settle()
    assert "org2-api.yaml" not in settled.files("known-servers")
    assert settled.status["boundServices"] == 0


def test_an_introductions_services_are_bound_unless_a_person_gave_the_alias(settled: World) -> None:
    url = "https://api.org-b.example:9443"
    offer = settled.offer(services=(Service("org2-api", url),))
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    entry = settled.yaml("known-servers", "org2-api.yaml")
    assert (entry["url"], entry["verifier"]) == (url, "PeerCA")
    settled.view = replace(settled.view, aliases=frozenset({"org2-api"}))
    settled.settle()
    assert "org2-api.yaml" not in settled.files("known-servers"), "it is somebody's TrustedService"


def test_of_two_introductions_the_older_keeps_an_alias(settled: World) -> None:
    older = settled.offer(name="z", services=(Service("api", "https://one.example"),))
    newer = settled.offer(name="a", services=(Service("api", "https://two.example"),))
    settled.view = replace(settled.view, offers=(older, newer))
    settled.settle()
    assert settled.yaml("known-servers", "api.yaml")["url"] == "https://one.example"


def test_a_service_that_ends_plans_the_next_look(settled: World) -> None:
    settled.view = replace(settled.view, services=(replace(SERVICE, until=NOW + 50),))
    assert settled.settle() == NOW + 50
