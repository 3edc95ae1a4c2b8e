"""What a resolved service is shown: the token, the authority whose chain it accepts; and the file of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from cryptography import x509

from bilateral.pki.entries import parse_entry
from bilateral.pki.names import rfc4514_name
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.services import (
    OWN,
    Presentable,
    ResolvedService,
    ServiceRefused,
    ServiceView,
    Token,
    build_entry,
    read_token,
    resolve_service,
    select_chain,
)

from .conftest import NOW
from .service_objects import (
    CA,
    LEAF,
    NEW,
    OLD,
    OUR_AUTHORITY,
    RAW,
    STRANGER,
    URL,
    partner,
    resolved,
    service,
)

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
