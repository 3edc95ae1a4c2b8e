"""Partners: what may be derived from a peer, judged from its pin, its seal and the clock alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import generate_authority
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import (
    Partner,
    build_partner,
    build_unreadable_partner,
    read_pinned_authorities,
    withheld_reason,
)
from bilateral.reconcile.peer import Direction, DomainView, Received, reconcile_peer
from bilateral.reconcile.peer_status import Findings, Standing
from bilateral.resources.federationpeer import FederationPeer
from unit.pki.material import ED25519_AUTHORITY, P256_AUTHORITY, SUBJECT, YEAR, certificate
from unit.pki.material import NOW as MOMENT

from .conftest import NEXT, NOW, OURS, SEAL, THEIRS, WINDOW, World, envelope, trust_domain

FINGERPRINTS = ["SHA256:" + "1" * 64, THEIRS.public_key.canonical]
AUTHORITIES = (P256_AUTHORITY.certificate, ED25519_AUTHORITY.certificate)
DOMAIN = DomainView(trust_domain(), OURS.public_key, SEAL)


def judged(world: World, **view: Any) -> tuple[FederationPeer, Findings]:
    peer = world.peer
    return peer, reconcile_peer(peer, replace(world.view, **view), world.now).findings


def partner_of(world: World, **view: Any) -> Partner:
    peer, found = judged(world, **view)
    return build_partner(peer, found, AUTHORITIES)


@pytest.fixture
def pinned(world: World) -> World:
    world.edit(fingerprints=FINGERPRINTS)
    world.look(Received(envelope(), Direction.INBOUND))
    return world


def test_a_fresh_peer_counts_with_all_that_is_known_of_it(pinned: World) -> None:
    partner = partner_of(pinned)
    assert (partner.name, partner.uid, partner.kernel_id, partner.trust_domain) == (
        "org-b",
        "peer-uid",
        "org-b-kernel",
        "org-a",
    )
    assert partner.withheld is None
    assert partner.fresh
    assert not partner.retained
    assert partner.public_key == THEIRS.public_key
    assert partner.rotation_due == NOW + WINDOW
    assert [str(each) for each in partner.fingerprints] == FINGERPRINTS
    assert partner.authorities == AUTHORITIES
    assert partner.known.withheld is None
    assert partner.known.authorities == AUTHORITIES
    assert partner.known.fingerprints == partner.fingerprints


def suspend(world: World) -> dict[str, Any]:
    world.edit(state="Suspended")
    return {}


def pass_the_deadline(world: World) -> dict[str, Any]:
    world.now = NOW + WINDOW
    return {}


def change_the_anchors(world: World) -> dict[str, Any]:
    world.edit(trustAnchors=[{"publicKey": NEXT.public_key.canonical}])
    return {}


def prolong_by_hand(world: World) -> dict[str, Any]:
    world.status["pin"]["rotationDue"] = "2099-01-01T00:00:00Z"
    return {}


def break_the_seal(world: World) -> dict[str, Any]:
    world.status["pin"]["seal"] = "0" * 64
    return {}


def restore_into_another(world: World) -> dict[str, Any]:
    world.uid = "another-uid"
    return {}


def remove_the_pin(world: World) -> dict[str, Any]:
    del world.status["pin"]
    return {}


def claim_to_be_ready(world: World) -> dict[str, Any]:
    """All conditions say True, and there is no pin."""
    del world.status["pin"]
    for condition in world.status["conditions"]:
        condition |= {"status": "True", "reason": "Fresh"}
    return {}


def go_before_the_pin(world: World) -> dict[str, Any]:
    world.now = NOW - 3600
    return {}


def lose_the_seal_key(_: World) -> dict[str, Any]:
    return {"domain": replace(DOMAIN, seal_key=None)}


def lose_the_trust_domain(_: World) -> dict[str, Any]:
    return {"domain": None}


def share_a_credential(_: World) -> dict[str, Any]:
    return {"shared_fingerprint": True}


def claim_a_kernel_id(_: World) -> dict[str, Any]:
    return {"kernel_id_taken": True}


def lose_the_clock(_: World) -> dict[str, Any]:
    return {"clock_regressed": True}


@pytest.mark.parametrize(
    ("happen", "reason"),
    [
        (suspend, Reason.SUSPENDED),
        (pass_the_deadline, Reason.PEER_STALE),
        (change_the_anchors, Reason.PIN_NOT_ANCHORED),
        (prolong_by_hand, Reason.PIN_TAMPERED),
        (break_the_seal, Reason.PIN_TAMPERED),
        (restore_into_another, Reason.PIN_TAMPERED),
        (remove_the_pin, Reason.PEER_NOT_PINNED),
        (claim_to_be_ready, Reason.PEER_NOT_PINNED),
        (go_before_the_pin, Reason.CLOCK_REGRESSED),
        (lose_the_seal_key, Reason.TRUST_DOMAIN_NOT_READY),
        (lose_the_trust_domain, Reason.TRUST_DOMAIN_NOT_FOUND),
        (share_a_credential, Reason.CREDENTIAL_CONFLICT),
        (claim_a_kernel_id, Reason.KERNEL_ID_CONFLICT),
        (lose_the_clock, Reason.CLOCK_REGRESSED),
    ],
)
def test_a_peer_that_does_not_count_has_nothing_to_be_used_by_mistake(
    pinned: World, happen: Any, reason: Reason
) -> None:
    assert partner_of(pinned).withheld is None
    view = happen(pinned)
    partner = partner_of(pinned, **view)
    assert partner.withheld is reason
    assert not partner.fresh
    assert partner.public_key is None
    assert partner.rotation_due is None
    assert partner.fingerprints == ()
    assert partner.authorities == ()
    assert not partner.revocations
    assert partner.name == "org-b"


def test_one_second_before_the_deadline_it_counts(pinned: World) -> None:
    pinned.now = NOW + WINDOW - 1
    assert partner_of(pinned).withheld is None


def test_a_peer_that_was_never_pinned_does_not_count(world: World) -> None:
    assert partner_of(world).withheld is Reason.PEER_NOT_PINNED


def test_a_partner_of_a_domain_that_may_not_sign_for_now_still_counts(pinned: World) -> None:
    """What a partner proved is not undone by a trouble of ours."""
    assert partner_of(pinned, domain=replace(DOMAIN, public_key=None)).withheld is None


def test_retain_keeps_what_was_derived_and_gives_nothing_new(pinned: World) -> None:
    pinned.edit(onStale="Retain")
    pinned.now = NOW + WINDOW
    partner = partner_of(pinned)
    assert partner.withheld is None
    assert partner.retained
    assert not partner.fresh
    assert partner.public_key is None
    assert partner.rotation_due is None
    assert partner.authorities == AUTHORITIES


@pytest.mark.parametrize("happen", [suspend, change_the_anchors, break_the_seal, remove_the_pin])
def test_retain_keeps_only_what_is_stale(pinned: World, happen: Any) -> None:
    pinned.edit(onStale="Retain")
    happen(pinned)
    pinned.now = NOW + WINDOW
    partner = partner_of(pinned)
    assert partner.withheld is not None
    assert partner.authorities == ()


def test_no_standing_but_fresh_counts(pinned: World) -> None:
    peer, found = judged(pinned)
    counting = {each for each in Standing if withheld_reason(peer, replace(found, standing=each)) is None}
    assert counting == {Standing.FRESH}


def test_fresh_without_a_pin_is_nothing(pinned: World) -> None:
    peer, found = judged(pinned)
    assert withheld_reason(peer, replace(found, pin=None)) is Reason.PEER_NOT_PINNED


def pem(*authorities: Any) -> str:
    return "".join(each.certificate.public_bytes(Encoding.PEM).decode() for each in authorities)


def test_installed_authorities_are_read_newest_first(world: World) -> None:
    older, newer = (
        generate_authority(SUBJECT, algorithm="Ed25519", validity_seconds=YEAR, now=moment)
        for moment in (MOMENT, MOMENT + timedelta(days=1))
    )
    leaf = certificate(ca=False)[0].decode()
    rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    world.edit(
        certificateAuthorities={"mode": "Pinned", "pems": [pem(older), rubbish, pem(newer, older), leaf]}
    )
    assert read_pinned_authorities(world.peer) == (newer.certificate, older.certificate)


def test_an_object_that_breaks_a_rule_is_there_and_nobody() -> None:
    partner = build_unreadable_partner("org-b", "uid-1", Reason.WEAK_KEY)
    assert (partner.name, partner.withheld, partner.fresh) == ("org-b", Reason.WEAK_KEY, False)
    assert partner.known.fingerprints == ()
    assert partner.known.authorities == ()
