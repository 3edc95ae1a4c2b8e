"""What a TrustedService's status says of how it was resolved, and that it stands still."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import Verifier
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.sentences import SENTENCES
from bilateral.reconcile.service_status import (
    PASSING,
    Audience,
    ServiceOutcome,
    presentable_slugs,
    reconcile_service,
    wanted_conditions,
)
from bilateral.reconcile.services import OWN, Presentable, ResolvedService, ServiceRefused, ServiceView, Token
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.trustedservice import ResolvedVerifier, TrustedService

from .conftest import NOW
from .service_objects import (
    LEAF,
    NEW,
    NEW_AUTHORITY,
    OLD,
    OLD_AUTHORITY,
    RAW,
    STRANGER,
    partner,
    pem,
    service,
)

BOTH = (NEW_AUTHORITY, OLD_AUTHORITY)
PEER: dict[str, Any] = {"peer": "org-b"}
SEEN = Audience(seeing=3)


def look(
    view: ServiceView, audience: Audience = SEEN, *, now: int = NOW, status: Any = None, **spec: Any
) -> ServiceOutcome:
    return reconcile_service(service(status=status, **spec), view, audience, now)


def told(outcome: ServiceOutcome) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status.value, each.reason) for each in outcome.status.conditions}


FINE = ServiceView(partner=partner(authorities=BOTH))


def test_a_resolved_service_says_by_what_and_until_when() -> None:
    outcome = look(FINE, **PEER)
    assert told(outcome) == {
        "Ready": ("True", "Ready"),
        "VerifierResolved": ("True", "VerifierResolved"),
        "ChainAvailable": ("True", "ChainAvailable"),
        "Reconciling": ("False", "Settled"),
        "Stalled": ("False", "Settled"),
    }
    assert outcome.status.verifier == "PeerCA"
    assert len(outcome.status.pinned) == 2
    assert outcome.status.bound_secrets == 3
    assert outcome.next_at == NOW + 43_200
    assert isinstance(outcome.resolved, ResolvedService)


@pytest.mark.parametrize(
    ("view", "spec", "verifier", "pinned"),
    [
        (ServiceView(), {}, "WebPKI", 0),
        (ServiceView(), {"verifier": {"webPKI": {"caBundle": pem(STRANGER)}}}, "WebPKI", 1),
        (ServiceView(), {"verifier": {"certificateAuthority": {"pem": pem(STRANGER)}}}, "ConfiguredCA", 1),
        (ServiceView(partner(LEAF)), PEER, "PinnedFingerprint", 1),
        (ServiceView(partner(RAW)), {**PEER, "transport": "RawKey"}, "PinnedRawKey", 1),
    ],
)
def test_where_nobody_is_asked_for_no_chain_is_needed(
    view: ServiceView, spec: dict[str, Any], verifier: str, pinned: int
) -> None:
    outcome = look(view, **spec)
    assert told(outcome)["ChainAvailable"] == ("True", "ChainNotNeeded")
    assert told(outcome)["Ready"] == ("True", "Ready")
    assert outcome.status.verifier == verifier
    assert len(outcome.status.pinned) == pinned


def test_the_status_knows_every_verifier() -> None:
    assert {each.kind for each in get_args(Verifier)} == {each.value for each in ResolvedVerifier}


@pytest.mark.parametrize(
    ("audience", "ready", "chain"),
    [
        (Audience(0, 0), ("True", "Ready"), ("Unknown", "NotBound")),
        (Audience(3, 0), ("True", "Ready"), ("True", "ChainAvailable")),
        (Audience(3, 1), ("True", "Ready"), ("False", "NoChain")),
        (Audience(3, 3), ("False", "NoChain"), ("False", "NoChain")),
    ],
)
def test_who_lacks_a_chain(audience: Audience, ready: Any, chain: Any) -> None:
    outcome = look(FINE, audience, **PEER)
    assert told(outcome)["Ready"] == ready
    assert told(outcome)["ChainAvailable"] == chain
    # Only an introduction helps, and that comes from elsewhere: nobody needs to touch the service.
    assert told(outcome)["Stalled"][0] == "False"
    if audience.lacking:
        text = next(each.message for each in outcome.status.conditions if each.type == "ChainAvailable")
        assert f"{audience.lacking} of {audience.seeing}" in text


@pytest.mark.parametrize(
    ("reason", "ready", "stalled"),
    [
        (Reason.PEER_STALE, "False", "False"),
        (Reason.CLOCK_REGRESSED, "False", "False"),
        (Reason.PEER_NOT_PINNED, "Unknown", "False"),
        (Reason.TRUST_DOMAIN_NOT_READY, "Unknown", "False"),
        (Reason.SUSPENDED, "False", "True"),
        (Reason.PIN_TAMPERED, "False", "False"),
        (Reason.CREDENTIAL_CONFLICT, "False", "True"),
    ],
)
def test_a_withheld_peer_takes_everything_away(reason: Reason, ready: str, stalled: str) -> None:
    outcome = look(ServiceView(partner(LEAF, withheld=reason)), **PEER)
    conditions = told(outcome)
    assert conditions["Ready"] == (ready, reason.value)
    assert conditions["VerifierResolved"] == (ready, reason.value)
    assert conditions["ChainAvailable"] == ("Unknown", "NotObserved")
    assert conditions["Stalled"][0] == stalled
    assert conditions["Reconciling"][0] == ("False" if stalled == "True" else "True")
    assert outcome.status.verifier is None
    assert outcome.status.pinned == ()
    assert outcome.status.bound_secrets == 0
    assert outcome.next_at is None


def test_a_missing_token_and_an_unknown_authority_leave_the_verifier_resolved() -> None:
    token: dict[str, Any] = {"bearerTokenSecretRef": {"name": "t", "key": "token"}}
    for view, spec, reason, chain in (
        (ServiceView(partner(LEAF)), token, "SecretNotFound", ("Unknown", "NotObserved")),
        (
            ServiceView(partner(LEAF), token=Token(None, Reason.TOKEN_INVALID)),
            token,
            "TokenInvalid",
            ("Unknown", "NotObserved"),
        ),
        (
            ServiceView(partner(LEAF)),
            {"authorities": ["org-c"]},
            "AuthorityUnknown",
            ("False", "AuthorityUnknown"),
        ),
    ):
        conditions = told(look(view, **PEER, **spec))
        assert conditions["Ready"] == ("False", reason)
        assert conditions["VerifierResolved"] == ("True", "VerifierResolved")
        assert conditions["ChainAvailable"] == chain


def test_a_token_is_in_no_status() -> None:
    token: dict[str, Any] = {"bearerTokenSecretRef": {"name": "t", "key": "token"}}
    outcome = look(ServiceView(partner(LEAF), token=Token("secret-token-1")), **PEER, **token)
    assert told(outcome)["Ready"] == ("True", "Ready")
    assert "secret-token-1" not in str(outcome.status.to_wire())
    assert "secret-token-1" not in repr(outcome)


def test_the_second_look_writes_nothing() -> None:
    for view in (FINE, ServiceView(partner(withheld=Reason.PEER_STALE)), ServiceView()):
        first = look(view, **PEER).status.to_wire()
        assert look(view, **PEER, status=first, now=NOW + 60).status.to_wire() == first


def test_a_flip_moves_the_time_and_keeps_it() -> None:
    first = look(FINE, **PEER).status.to_wire()
    stale = ServiceView(partner(withheld=Reason.PEER_STALE))
    second = look(stale, **PEER, status=first, now=NOW + 60).status
    since = {each.type: each.last_transition_time for each in second.conditions}
    assert since["Ready"] == NOW + 60
    assert since["Stalled"] == NOW


def resolved(*presents: Presentable) -> ResolvedService:
    found = look(FINE, **PEER).resolved
    assert isinstance(found, ResolvedService)
    return ResolvedService(found.alias, found.url, found.verifier, presents)


def test_which_slugs_an_identity_must_have_one_of() -> None:
    assert presentable_slugs(resolved(Presentable(NEW), Presentable(OLD))) == frozenset(
        (build_slug(NEW), build_slug(OLD))
    )
    assert presentable_slugs(resolved()) is None
    assert presentable_slugs(resolved(Presentable(NEW), OWN)) is None, "every identity has our own"


REFUSALS = [
    Reason.ALIAS_CONFLICT, Reason.ALIAS_SHADOWS_SERVICE, Reason.PEER_NOT_FOUND, Reason.PEER_STALE,
    Reason.SUSPENDED, Reason.PIN_TAMPERED, Reason.PIN_NOT_ANCHORED, Reason.PEER_NOT_PINNED,
    Reason.CREDENTIAL_CONFLICT, Reason.KERNEL_ID_CONFLICT, Reason.KERNEL_ID_MISMATCH, Reason.OWN_KEY_AS_ANCHOR,
    Reason.CLOCK_REGRESSED, Reason.TRUST_DOMAIN_NOT_FOUND, Reason.TRUST_DOMAIN_NOT_READY,
    Reason.UNKNOWN_RAW_KEY_PEER, Reason.NOTHING_PINNED, Reason.VERIFIER_CONTRADICTS_PEER, Reason.INVALID_SPEC,
    Reason.AUTHORITY_EXPIRED, Reason.AUTHORITY_UNKNOWN, Reason.SECRET_NOT_FOUND, Reason.TOKEN_INVALID,
    Reason.TOKEN_NOT_FOR_HOST,
]  # fmt: skip


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_reason_is_one_that_the_condition_may_have(reason: Reason) -> None:
    allowed = {each.name: each.reasons for each in TrustedService.CONDITIONS}
    conditions = wanted_conditions(ServiceRefused("org2-api", reason), SEEN)
    assert set(conditions) == set(allowed)
    assert conditions["Ready"].status is not ConditionStatus.TRUE
    for name, wanted in conditions.items():
        assert wanted.reason in allowed[name], (name, wanted.reason)
        assert wanted.reason in SENTENCES


@pytest.mark.parametrize("audience", [Audience(), Audience(2), Audience(2, 1), Audience(2, 2)])
@pytest.mark.parametrize("presents", [(), (Presentable(NEW),)])
def test_every_good_word_is_one_that_the_condition_may_have(audience: Audience, presents: Any) -> None:
    allowed = {each.name: each.reasons for each in TrustedService.CONDITIONS}
    for name, wanted in wanted_conditions(resolved(*presents), audience).items():
        assert wanted.reason in allowed[name], (name, wanted.reason)


def test_what_passes_by_itself_needs_no_hand() -> None:
    for reason in PASSING & set(REFUSALS):
        assert wanted_conditions(ServiceRefused("a", reason), SEEN)["Stalled"].status is ConditionStatus.FALSE
