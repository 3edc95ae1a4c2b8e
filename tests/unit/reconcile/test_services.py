"""How a TrustedService is resolved: every row of the table, its negations, and what stands before it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bilateral.pki.revocations import renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey, WebPKI
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import (
    ResolvedService,
    ServiceRefused,
    ServiceView,
    resolve_service,
)
from bilateral.resources.trustedservice import VerifierSpec
from unit.pki.material import certificate

from .conftest import NOW
from .service_objects import (
    BOTH,
    CA,
    EXPIRED,
    FOREIGN_LEAF,
    LEAF,
    MOMENT,
    NEW,
    NEW_AUTHORITY,
    OLD,
    OLD_AUTHORITY,
    OTHER_LEAF,
    RAW,
    STRANGER,
    authority,
    partner,
    pem,
    pins,
    resolved,
    service,
)

CONTRADICTION = Reason.VERIFIER_CONTRADICTS_PEER
WEB: dict[str, Any] = {"webPKI": {}}
WEB_BUNDLE = {"webPKI": {"caBundle": pem(STRANGER)}}
CA_NEW = {"certificateAuthority": {"pem": pem(NEW_AUTHORITY)}}
ANY_FINGERPRINT: dict[str, Any] = {"fingerprint": {}}


def chosen(*values: str) -> dict[str, Any]:
    return {"fingerprint": {"values": list(values)}}


def answer(
    peer: Partner | None = None,
    *,
    verifier: dict[str, Any] | None = None,
    raw: bool = False,
    named: str | None = None,
    **view: Any,
) -> object:
    """The verifier, or the reason of the refusal."""
    name = named or (None if peer is None else peer.name)
    wanted = service(peer=name, verifier=verifier, transport="RawKey" if raw else None)
    found = resolve_service(wanted, ServiceView(partner=peer, **view), NOW)
    return found.reason if isinstance(found, ServiceRefused) else found.verifier


@pytest.mark.parametrize(
    ("peer", "raw", "verifier", "expected"),
    [
        pytest.param(None, False, None, WebPKI(), id="no peer: WebPKI"),
        pytest.param(None, False, WEB, WebPKI(), id="no peer, webPKI: the system's roots"),
        pytest.param(
            None, False, WEB_BUNDLE, WebPKI((STRANGER.certificate,)), id="no peer, webPKI with a bundle"
        ),
        pytest.param(None, False, CA, ConfiguredCA((STRANGER.certificate,)), id="no peer, an authority"),
        pytest.param(None, False, ANY_FINGERPRINT, CONTRADICTION, id="no peer, fingerprint"),
        pytest.param(None, False, chosen(LEAF), CONTRADICTION, id="no peer, a certain fingerprint"),
        pytest.param(
            partner(LEAF), False, None, PinnedFingerprint(pins(LEAF)), id="peer lists a certificate"
        ),
        pytest.param(
            partner(LEAF, authorities=BOTH),
            False,
            None,
            PinnedFingerprint(pins(LEAF)),
            id="a fingerprint goes before an authority",
        ),
        pytest.param(
            partner(RAW, LEAF, OTHER_LEAF),
            False,
            None,
            PinnedFingerprint(pins(LEAF, OTHER_LEAF)),
            id="of mixed fingerprints those of certificates",
        ),
        pytest.param(partner(authorities=BOTH), False, None, PeerCA((NEW, OLD)), id="peer has authorities"),
        pytest.param(
            partner(RAW, authorities=BOTH),
            False,
            None,
            PeerCA((NEW, OLD)),
            id="a raw key is no fingerprint of a certificate",
        ),
        pytest.param(partner(), False, None, Reason.NOTHING_PINNED, id="peer has neither: never WebPKI"),
        pytest.param(
            partner(RAW), False, None, Reason.NOTHING_PINNED, id="only a raw key, for a certificate"
        ),
        pytest.param(partner(RAW), True, None, PinnedRawKey(pins(RAW)), id="raw key"),
        pytest.param(
            partner(LEAF, RAW, authorities=BOTH), True, None, PinnedRawKey(pins(RAW)), id="raw key of many"
        ),
        pytest.param(
            partner(LEAF, authorities=BOTH), True, None, Reason.NOTHING_PINNED, id="raw key, none listed"
        ),
        pytest.param(
            partner(withheld=Reason.PEER_STALE), False, None, Reason.PEER_STALE, id="peer is withheld"
        ),
        pytest.param(
            partner(withheld=Reason.SUSPENDED), True, None, Reason.SUSPENDED, id="peer is withheld, raw key"
        ),
        # What a person writes narrows, and never changes the kind.
        pytest.param(partner(LEAF), False, WEB, CONTRADICTION, id="webPKI beside a pin"),
        pytest.param(partner(authorities=BOTH), False, WEB, CONTRADICTION, id="webPKI beside authorities"),
        pytest.param(
            partner(authorities=BOTH), False, WEB_BUNDLE, CONTRADICTION, id="a bundle beside authorities"
        ),
        pytest.param(partner(), False, WEB, Reason.NOTHING_PINNED, id="webPKI beside nothing"),
        pytest.param(partner(), False, CA, Reason.NOTHING_PINNED, id="an authority beside nothing"),
        pytest.param(
            partner(withheld=Reason.PEER_STALE),
            False,
            WEB,
            Reason.PEER_STALE,
            id="webPKI beside a stale peer",
        ),
        pytest.param(
            partner(authorities=BOTH), False, CA_NEW, PeerCA((NEW,)), id="one of the peer's authorities"
        ),
        pytest.param(
            partner(authorities=BOTH), False, CA, CONTRADICTION, id="an authority that is not the peer's"
        ),
        pytest.param(partner(LEAF), False, CA_NEW, CONTRADICTION, id="an authority beside a pin"),
        pytest.param(
            partner(LEAF, OTHER_LEAF),
            False,
            chosen(OTHER_LEAF),
            PinnedFingerprint(pins(OTHER_LEAF)),
            id="one of the peer's fingerprints",
        ),
        pytest.param(
            partner(LEAF, OTHER_LEAF),
            False,
            ANY_FINGERPRINT,
            PinnedFingerprint(pins(LEAF, OTHER_LEAF)),
            id="fingerprint: all of the peer's",
        ),
        pytest.param(
            partner(LEAF),
            False,
            chosen(FOREIGN_LEAF),
            CONTRADICTION,
            id="a fingerprint that is not the peer's",
        ),
        pytest.param(
            partner(LEAF),
            False,
            chosen(LEAF, FOREIGN_LEAF),
            CONTRADICTION,
            id="one is, one is not the peer's",
        ),
        pytest.param(
            partner(authorities=BOTH), False, ANY_FINGERPRINT, CONTRADICTION, id="fingerprint, none listed"
        ),
        pytest.param(partner(LEAF, RAW), False, chosen(RAW), CONTRADICTION, id="a raw key for a certificate"),
        pytest.param(
            partner(RAW), True, ANY_FINGERPRINT, PinnedRawKey(pins(RAW)), id="fingerprint, of a raw key"
        ),
        pytest.param(partner(RAW, LEAF), True, chosen(LEAF), CONTRADICTION, id="a certificate for a raw key"),
        pytest.param(partner(RAW), True, WEB, CONTRADICTION, id="webPKI for a raw key"),
        pytest.param(partner(RAW), True, CA, CONTRADICTION, id="an authority for a raw key"),
    ],
)
def test_the_table(
    peer: Partner | None, raw: bool, verifier: dict[str, Any] | None, expected: object
) -> None:
    assert answer(peer, raw=raw, verifier=verifier) == expected


@pytest.mark.parametrize("verifier", [None, WEB, CA])
def test_a_raw_key_without_a_peer_is_refused_even_where_admission_let_it_pass(verifier: Any) -> None:
    admitted = service(peer="org-b", verifier=verifier, transport="RawKey")
    without = admitted.model_copy(update={"spec": admitted.spec.model_copy(update={"peer": None})})
    assert resolve_service(without, ServiceView(), NOW) == ServiceRefused(
        "org2-api", Reason.UNKNOWN_RAW_KEY_PEER
    )


@pytest.mark.parametrize("peer", [None, partner(LEAF), partner(authorities=BOTH)])
def test_a_verifier_without_a_member_is_no_verifier_at_all(peer: Partner | None) -> None:
    """Its kind's own rule refuses it; should that fail, it must not count as absent."""
    admitted = service(peer=None if peer is None else peer.name, verifier=WEB)
    verifier = VerifierSpec.model_construct(web_pki=None, certificate_authority=None, fingerprint=None)
    without = admitted.model_copy(update={"spec": admitted.spec.model_copy(update={"verifier": verifier})})
    assert resolve_service(without, ServiceView(peer), NOW) == ServiceRefused("org2-api", CONTRADICTION)


OVERRIDES = (None, WEB, WEB_BUNDLE, CA, ANY_FINGERPRINT, chosen(LEAF))
WITHHELD = (
    Reason.PEER_STALE, Reason.SUSPENDED, Reason.PIN_TAMPERED, Reason.PIN_NOT_ANCHORED, Reason.PEER_NOT_PINNED,
    Reason.CREDENTIAL_CONFLICT, Reason.KERNEL_ID_CONFLICT, Reason.CLOCK_REGRESSED, Reason.TRUST_DOMAIN_NOT_FOUND,
)  # fmt: skip


@pytest.mark.parametrize(("verifier", "raw"), list(product(OVERRIDES, (False, True))))
def test_a_named_peer_that_is_not_there_is_never_no_peer(verifier: Any, raw: bool) -> None:
    assert answer(named="org-b", verifier=verifier, raw=raw) is Reason.PEER_NOT_FOUND


@pytest.mark.parametrize(("reason", "verifier", "raw"), list(product(WITHHELD, OVERRIDES, (False, True))))
def test_a_withheld_peer_is_refused_for_its_own_reason_whatever_is_written(
    reason: Reason, verifier: Any, raw: bool
) -> None:
    assert answer(partner(LEAF, RAW, withheld=reason, authorities=BOTH), verifier=verifier, raw=raw) is reason


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ({"alias_taken": True}, Reason.ALIAS_CONFLICT),
        ({"shadows_service": True}, Reason.ALIAS_SHADOWS_SERVICE),
        ({"alias_taken": True, "shadows_service": True}, Reason.ALIAS_CONFLICT),
    ],
)
@pytest.mark.parametrize("peer", [None, partner(LEAF), partner(withheld=Reason.PEER_STALE)])
def test_an_alias_that_is_not_its_own_is_refused_first(
    peer: Partner | None, view: dict[str, Any], reason: Reason
) -> None:
    assert answer(peer, **view) is reason


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="no certificate"),
        pytest.param(pem(*[STRANGER] * 11), id="eleven"),
        pytest.param(certificate(ca=False)[0].decode(), id="a leaf"),
        pytest.param(pem(STRANGER) + certificate(ca=False)[0].decode(), id="a leaf among authorities"),
    ],
)
@pytest.mark.parametrize("member", ["certificateAuthority", "webPKI"])
@pytest.mark.parametrize("peer", [None, partner(authorities=BOTH)])
def test_what_holds_no_authorities_is_an_invalid_spec(peer: Partner | None, member: str, text: str) -> None:
    verifier = {member: {"pem" if member == "certificateAuthority" else "caBundle": text}}
    assert answer(peer, verifier=verifier) is Reason.INVALID_SPEC


def test_authorities_past_their_end_are_left_out() -> None:
    assert answer(partner(authorities=(NEW_AUTHORITY, EXPIRED))) == PeerCA((NEW,))
    assert answer(partner(authorities=(EXPIRED,))) is Reason.AUTHORITY_EXPIRED
    assert answer(verifier={"certificateAuthority": {"pem": pem(EXPIRED)}}) is Reason.AUTHORITY_EXPIRED
    assert answer(verifier={"webPKI": {"caBundle": pem(EXPIRED)}}) is Reason.AUTHORITY_EXPIRED


def test_it_ends_when_the_pin_or_an_authority_does() -> None:
    assert resolved().until == NOW + 43_200
    brief = authority("Org B CA", seconds=600)
    ends = int(brief.not_after.timestamp())
    found = resolved(partner=partner(authorities=(NEW_AUTHORITY, brief)))
    assert found.until == ends + 1
    wanted = service(peer="org-b")
    view = ServiceView(partner=partner(authorities=(NEW_AUTHORITY, brief)))
    for moment, left in ((ends, (NEW, brief.certificate)), (ends + 1, (NEW,))):
        again = resolve_service(wanted, view, moment)
        assert isinstance(again, ResolvedService)
        assert again.verifier == PeerCA(left)
    assert resolved(spec={"peer": None}, partner=None).until is None


def test_the_lists_of_the_authorities_that_verify_come_along() -> None:
    lists = {
        build_slug(each.certificate): renew_revocation_list(
            each, [], None, lifetime_seconds=86_400, now=MOMENT
        )
        for each in (OLD_AUTHORITY, NEW_AUTHORITY)
    }
    peer = replace(partner(authorities=(NEW_AUTHORITY, OLD_AUTHORITY)), revocations=lists)
    assert dict(resolved(partner=peer).lists) == lists
    only = {"verifier": {"certificateAuthority": {"pem": pem(NEW_AUTHORITY)}}}
    assert resolved(spec=only, partner=peer).lists == ((build_slug(NEW), lists[build_slug(NEW)]),)
    # A pin is the certificate itself: no authority is asked, and none of their lists.
    pinned = replace(partner(LEAF, authorities=BOTH), revocations=lists)
    assert resolved(partner=pinned).lists == ()


def test_the_partners_deadline_is_the_services_unless_a_person_retains() -> None:
    assert (resolved().peer, resolved().deadline_of) == ("org-b", "org-b-kernel")
    kept = resolved(partner=partner(authorities=BOTH, retained=True))
    assert (kept.peer, kept.deadline_of, kept.until is not None) == ("org-b", None, True)
    alone = resolved(spec={"peer": None}, partner=None)
    assert (alone.peer, alone.deadline_of) == (None, None)
