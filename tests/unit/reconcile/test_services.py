"""How a TrustedService is resolved: every row of the table, its negations, and what stands before it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import yaml
from cryptography import x509

from bilateral.pki.entries import parse_entry
from bilateral.pki.fingerprints import parse_fingerprint
from bilateral.pki.names import rfc4514_name
from bilateral.pki.revocations import renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey, WebPKI
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import (
    OWN,
    Presentable,
    ResolvedService,
    ServiceRefused,
    ServiceView,
    Token,
    build_entry,
    merge_services,
    read_token,
    resolve_introduced,
    resolve_service,
    select_chain,
)
from bilateral.resources.trustedservice import VerifierSpec
from unit.pki.material import certificate

from .conftest import NOW
from .service_objects import (
    EXPIRED,
    FOREIGN_LEAF,
    LEAF,
    MOMENT,
    NEW,
    NEW_AUTHORITY,
    OLD,
    OLD_AUTHORITY,
    OTHER_LEAF,
    OUR_AUTHORITY,
    RAW,
    STRANGER,
    URL,
    authority,
    partner,
    pem,
    service,
)

CONTRADICTION = Reason.VERIFIER_CONTRADICTS_PEER
WEB: dict[str, Any] = {"webPKI": {}}
WEB_BUNDLE = {"webPKI": {"caBundle": pem(STRANGER)}}
CA = {"certificateAuthority": {"pem": pem(STRANGER)}}
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


def pins(*texts: str) -> Any:
    return tuple(parse_fingerprint(text) for text in texts)


BOTH = (NEW_AUTHORITY, OLD_AUTHORITY)


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


def resolved(**view: Any) -> ResolvedService:
    wanted = service(**{"peer": "org-b", **view.pop("spec", {})})
    found = resolve_service(wanted, ServiceView(**{"partner": partner(authorities=BOTH), **view}), NOW)
    assert isinstance(found, ResolvedService)
    return found


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


# Tokens


TOKEN: dict[str, Any] = {"bearerTokenSecretRef": {"name": "org2-token", "key": "token"}}


def test_a_token_is_part_of_a_resolved_service_only() -> None:
    assert resolved(spec=TOKEN, token=Token("secret-1")).bearer_token == "secret-1"
    assert "secret-1" not in repr(resolved(spec=TOKEN, token=Token("secret-1")))
    assert "secret-1" not in repr(ServiceView(token=Token("secret-1")))
    assert resolved(token=Token(None)).bearer_token is None


@pytest.mark.parametrize("problem", [None, Reason.SECRET_NOT_FOUND, Reason.TOKEN_INVALID])
def test_without_its_token_a_service_is_refused(problem: Reason | None) -> None:
    wanted = service(peer="org-b", **TOKEN)
    view = ServiceView(partner=partner(LEAF), token=Token(None, problem))
    found = resolve_service(wanted, view, NOW)
    assert found == ServiceRefused("org2-api", problem or Reason.SECRET_NOT_FOUND)


def secret(value: bytes, *, referenced: bool = True, key: str = "token") -> SecretView:
    return SecretView("org2-token", "uid", "1", None, referenced, "Opaque", {key: value})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, Token(None, Reason.SECRET_NOT_FOUND)),
        (secret(b"abc", referenced=False), Token(None, Reason.SECRET_NOT_FOUND)),
        (secret(b"abc", key="other"), Token(None, Reason.SECRET_NOT_FOUND)),
        (secret(b"abc"), Token("abc")),
        (secret(b"abc\n"), Token("abc")),
        (secret(b"abc\r\n"), Token("abc")),
        (secret(b"~" * 4096), Token("~" * 4096)),
        *(
            (secret(value), Token(None, Reason.TOKEN_INVALID))
            for value in (
                b"", b"\n", b"a b", b"abc\n\n", b" abc", b"a\r\nX-Header: 1", "café".encode(),
                b"\xff", b"a\x00", b"a" * 4097,
            )
        ),
    ],
)  # fmt: skip
def test_a_token_is_printable_ascii_of_a_secret_that_was_opened_to_us(
    found: SecretView | None, expected: Token
) -> None:
    assert read_token(found, "token", URL) == expected


@pytest.mark.parametrize(
    ("hosts", "url", "is_for"),
    [
        (b"api.org2.example:9443", URL, True),
        (b"other.example\napi.org2.example:9443\n", URL, True),
        (b"api.org2.example", "https://api.org2.example", True),
        (b"api.org2.example", URL, False),
        (b"api.org2.example:9443", "https://evil.example:9443", False),
        (b"api.org2.example:9443", "https://evil-api.org2.example:9443", False),
        (b"api.org2.example:9443", "https://api.org2.example:94430", False),
        (b"*", URL, False),
        (b"", URL, False),
    ],
)
def test_a_token_that_names_its_hosts_goes_to_no_other(hosts: bytes, url: str, is_for: bool) -> None:
    held = replace(secret(b"abc"), data={"token": b"abc", "hosts": hosts})
    expected = Token("abc") if is_for else Token(None, Reason.TOKEN_NOT_FOR_HOST)
    assert read_token(held, "token", url) == expected


def test_no_token_leaves_with_a_refusal() -> None:
    wanted = service(peer="org-b", **TOKEN)
    stale = ServiceView(partner=partner(withheld=Reason.PEER_STALE), token=Token("secret-1"))
    assert resolve_service(wanted, stale, NOW) == ServiceRefused("org2-api", Reason.PEER_STALE)


# Whose chain


def test_by_default_the_peers_authorities_newest_first() -> None:
    assert resolved().presents == (Presentable(NEW), Presentable(OLD))
    assert resolved(partner=partner(LEAF)).presents == ()
    assert resolved(spec={"peer": None}, partner=None).presents == ()


SIGNERS = {
    "org-c": partner(name="org-c", authorities=(STRANGER,)),
    "gone-stale": partner(name="gone-stale", withheld=Reason.PEER_STALE, authorities=(STRANGER,)),
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["self"], (OWN,)),
        (["org-c"], (Presentable(STRANGER.certificate),)),
        (["org-c", "self"], (Presentable(STRANGER.certificate), OWN)),
        (["self", "nobody"], (OWN,)),
        (["gone-stale", "self"], (OWN,)),
    ],
)
def test_named_authorities_in_their_order(names: list[str], expected: tuple[Presentable, ...]) -> None:
    assert resolved(spec={"authorities": names}, signers=SIGNERS).presents == expected


@pytest.mark.parametrize("names", [["nobody"], ["gone-stale"], ["gone-stale", "nobody"]])
def test_authorities_of_which_none_is_known_are_refused(names: list[str]) -> None:
    """An empty list would mean: show whatever there is."""
    wanted = service(peer="org-b", authorities=names)
    found = resolve_service(wanted, ServiceView(partner(LEAF), SIGNERS), NOW)
    assert found == ServiceRefused("org2-api", Reason.AUTHORITY_UNKNOWN)


def names_of(certificate: x509.Certificate) -> tuple[str, str]:
    return rfc4514_name(certificate.subject), build_slug(certificate)


@pytest.mark.parametrize(
    ("held", "expected", "has_chain"),
    [
        pytest.param([NEW, OLD], NEW, True, id="both generations: the newest"),
        pytest.param([OLD], OLD, True, id="only the old one"),
        pytest.param([NEW], NEW, True, id="only the new one"),
        pytest.param([], NEW, False, id="none: the newest is asked for"),
        pytest.param([STRANGER.certificate], NEW, False, id="only another's: the newest is asked for"),
    ],
)
def test_exactly_one_authority_is_named(
    held: list[x509.Certificate], expected: x509.Certificate, has_chain: bool
) -> None:
    choice = select_chain(resolved(), {build_slug(each) for each in held}, OUR_AUTHORITY.certificate)
    assert choice.auths == names_of(expected)
    assert choice.has_chain is has_chain


def test_our_own_authority_needs_no_chain() -> None:
    own = OUR_AUTHORITY.certificate
    both = replace(resolved(), presents=(Presentable(NEW), OWN))
    assert select_chain(both, (), own) == replace(
        select_chain(both, (), own), auths=names_of(own), has_chain=True
    )
    assert select_chain(both, {build_slug(NEW)}, own).auths == names_of(NEW)
    assert select_chain(both, (), None).has_chain is False
    only = replace(resolved(), presents=(OWN,))
    assert select_chain(only, {build_slug(NEW)}, own).auths == names_of(own)
    assert select_chain(only, (), None).auths == ()
    assert select_chain(only, (), None).has_chain is False


def test_a_service_that_asks_for_nobody_is_shown_the_identity_itself() -> None:
    choice = select_chain(resolved(partner=partner(LEAF)), {build_slug(NEW)}, OUR_AUTHORITY.certificate)
    assert (choice.auths, choice.has_chain) == ((), True)


# The file


@pytest.mark.parametrize(
    "found",
    [
        resolved(),
        resolved(partner=partner(LEAF)),
        resolved(partner=partner(RAW), spec={"transport": "RawKey"}),
        resolved(partner=None, spec={"peer": None}),
        resolved(partner=None, spec={"peer": None, "verifier": CA}),
        resolved(spec=TOKEN, token=Token("secret-1")),
    ],
    ids=["PeerCA", "PinnedFingerprint", "PinnedRawKey", "WebPKI", "ConfiguredCA", "with a token"],
)
def test_what_is_written_reads_back(found: ResolvedService) -> None:
    entry = build_entry(found, select_chain(found, (), None).auths)
    assert parse_entry(found.alias, yaml.safe_load(entry.to_yaml())) == entry
    assert (entry.url, entry.verifier, entry.peer) == (URL, found.verifier, found.deadline_of)
    assert entry.bearer_token == found.bearer_token


# Services that come with an introduction


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
