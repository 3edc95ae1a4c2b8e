"""How a service is reached: its verifier, whose chain it is shown, and what pods are told of it.

Rules (resources.md, TrustedService; security.md R-T1, R-T6):

- The verifier is the table's (:func:`~bilateral.pki.verifiers.select_verifier`), and only that. A peer
  that is named and not there is refused, never "no peer": WebPKI must not follow from a deletion.
- A service is either resolved or refused with one reason; there is nothing between, and a refused one
  is in no pod. The alias is judged first, then the peer and the verifier, the authorities, the token.
- Of two objects with one alias the older keeps it, even while it is refused itself: the other never
  takes over by the first one's misfortune. An alias of one label that is a Service of the cluster in the
  same namespace is refused: pods would mean the other.
- A service is shown exactly one chain: by the first authority that the identity has one of, in the order
  of the object and newest generation first; where it has none, the newest is asked for.
- A bearer token counts only from a Secret with the label ``bilateral.dev/secret: referenced``, and only for the
  hosts that the Secret names, where it names any.
- Authorities past their end are not handed to pods; when none is left the service is refused.

A service that an introduction carries is resolved by the same table: :func:`resolve_introduced`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509

from bilateral.pki.entries import ServiceEntry
from bilateral.pki.errors import InvalidDirectory, PkiError, VerifierRefused
from bilateral.pki.fingerprints import FingerprintKind, parse_fingerprint
from bilateral.pki.leaves import is_ca
from bilateral.pki.names import rfc4514_name
from bilateral.pki.pem import parse_certificates
from bilateral.pki.revocations import RevocationList
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import (
    ConfiguredCA,
    Override,
    PeerCA,
    Pinned,
    Situation,
    Transport,
    Verifier,
    WebPKI,
    select_verifier,
)
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.partners import Partner
from bilateral.resources.trustedservice import TrustedService, VerifierSpec
from bilateral.resources.workloadidentity import OWN_AUTHORITY

_KIND_OF = {Transport.X509: FingerprintKind.CERTIFICATE, Transport.RAW_KEY: FingerprintKind.RAW_KEY}


@dataclass(frozen=True, slots=True)
class Token:
    """What the Secret of a bearer token holds: the token, or why there is none."""

    text: str | None = field(repr=False)
    problem: Reason | None = None


NO_TOKEN = Token(None)
"""No bearer token is asked for."""

HOSTS_KEY = "hosts"
_TOKEN = re.compile(rb"[!-~]{1,4096}")


def read_token(secret: SecretView | None, key: str, url: str) -> Token:
    """Read the bearer token for a service's URL from a Secret.

    One line break at its end is an editor's, and does not count. Where the Secret has a key ``hosts``, the
    token is for those only: a host, or host and port, a line, as URLs have them. So whoever may change a
    TrustedService and no Secrets cannot send the token elsewhere.
    """
    if secret is None or not secret.referenced or key not in secret.data:
        return Token(None, Reason.SECRET_NOT_FOUND)
    if HOSTS_KEY in secret.data and urlsplit(url).netloc.encode() not in secret.data[HOSTS_KEY].split():
        return Token(None, Reason.TOKEN_NOT_FOR_HOST)
    value = secret.data[key].removesuffix(b"\n").removesuffix(b"\r")
    if _TOKEN.fullmatch(value) is None:
        return Token(None, Reason.TOKEN_INVALID)
    return Token(value.decode("ascii"))


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What a TrustedService depends on.

    ``partner`` is the named peer, None when it is not named **or not there**; ``signers`` are the peers of
    ``spec.authorities`` that are there, by name.
    """

    partner: Partner | None = None
    signers: Mapping[str, Partner] = field(default_factory=dict)
    alias_taken: bool = False
    shadows_service: bool = False
    token: Token = NO_TOKEN


@dataclass(frozen=True, slots=True)
class Presentable:
    """An authority whose signature the service accepts; None is the one of the identity's own trust domain."""

    authority: x509.Certificate | None


OWN = Presentable(None)


@dataclass(frozen=True, slots=True)
class ResolvedService:
    """A service that pods may call.

    ``presents`` is in the order of preference, and empty where the service asks for nobody's chain.
    ``peer`` is the name of the FederationPeer that runs it; ``deadline_of`` the kernel id whose deadline is the
    service's too. ``until`` (Unix seconds) is when this may end by itself, or None.
    """

    alias: str
    url: str
    verifier: Verifier
    presents: tuple[Presentable, ...] = ()
    peer: str | None = None
    deadline_of: str | None = None
    bearer_token: str | None = field(default=None, repr=False)
    until: int | None = None
    lists: tuple[tuple[str, RevocationList], ...] = ()
    """What the partner's authorities have withdrawn, by slug: the service's server may be among it."""


@dataclass(frozen=True, slots=True)
class ServiceRefused:
    """Why no pod may call the service."""

    alias: str
    reason: Reason


Resolution: TypeAlias = ResolvedService | ServiceRefused


@dataclass(frozen=True, slots=True)
class ChainChoice:
    """What the service's file lists in ``auths``, and whether the identity has that chain."""

    auths: tuple[str, ...]
    has_chain: bool


def resolve_service(service: TrustedService, view: ServiceView, now: int) -> Resolution:
    """Decide how a TrustedService is reached at ``now`` (Unix seconds), or why it is not."""
    spec = service.spec
    if view.alias_taken:
        return ServiceRefused(service.alias, Reason.ALIAS_CONFLICT)
    if view.shadows_service:
        return ServiceRefused(service.alias, Reason.ALIAS_SHADOWS_SERVICE)
    if spec.peer is not None and view.partner is None:
        return ServiceRefused(service.alias, Reason.PEER_NOT_FOUND)
    known = None if view.partner is None else view.partner.known
    try:
        override = _override(spec.verifier, spec.transport, view.partner)
        selected = select_verifier(Situation(known, spec.transport, override))
    except PkiError as error:
        return ServiceRefused(service.alias, _reason_of(error))
    verifier, until = _in_date(selected, now)
    if verifier is None:
        return ServiceRefused(service.alias, Reason.AUTHORITY_EXPIRED)
    presents = _presents(service, view)
    if presents is None:
        return ServiceRefused(service.alias, Reason.AUTHORITY_UNKNOWN)
    if spec.bearer_token_secret_ref is not None and view.token.text is None:
        return ServiceRefused(service.alias, view.token.problem or Reason.SECRET_NOT_FOUND)
    return _resolved(
        ResolvedService(
            alias=service.alias,
            url=spec.url,
            verifier=verifier,
            presents=presents,
            bearer_token=view.token.text,
            until=until,
        ),
        view.partner,
    )


def resolve_introduced(
    alias: str,
    url: str,
    authority: x509.Certificate,
    partner: Partner | None,
    *,
    peer_is_named: bool,
    now: int,
) -> Resolution:
    """Decide how a service that an installed introduction carries is reached.

    ``authority`` is the introduction's, whose chain the service is shown. Without a peer (a person gave the
    authority's fingerprint) it verifies the server too; with one the table decides.
    """
    if peer_is_named and partner is None:
        return ServiceRefused(alias, Reason.PEER_NOT_FOUND)
    known = None if partner is None else partner.known
    override = ConfiguredCA((authority,)) if known is None else None
    try:
        selected = select_verifier(Situation(known, Transport.X509, override))
    except VerifierRefused as error:
        return ServiceRefused(alias, error.reason)
    verifier, until = _in_date(selected, now)
    if verifier is None:
        return ServiceRefused(alias, Reason.AUTHORITY_EXPIRED)
    newest = () if partner is None else partner.authorities
    presents = tuple(dict.fromkeys(Presentable(each) for each in (*newest, authority)))
    return _resolved(
        ResolvedService(alias=alias, url=url, verifier=verifier, presents=presents, until=until), partner
    )


def merge_services(
    trusted: Sequence[Resolution], introduced: Sequence[Resolution], given: Collection[str] = ()
) -> tuple[ResolvedService, ...]:
    """Bring together what an identity may call, sorted by alias.

    ``trusted`` are the TrustedServices that it may see, ``given`` the aliases of **all** of the namespace:
    an introduction never decides over an alias that a person has given, to whomever. ``introduced`` are oldest
    first: the oldest keeps an alias, also while it is refused.
    """
    found = {each.alias: each for each in trusted if isinstance(each, ResolvedService)}
    closed = {*given, *(each.alias for each in trusted)}
    for each in introduced:
        if each.alias not in closed and isinstance(each, ResolvedService):
            found[each.alias] = each
        closed.add(each.alias)
    return tuple(each for _, each in sorted(found.items()))


def select_chain(
    resolved: ResolvedService, held: Collection[str], own: x509.Certificate | None
) -> ChainChoice:
    """Choose the one authority whose chain an identity shows a service.

    ``held`` are the slugs of the authorities that have signed the identity; ``own`` is the authority of its
    own trust domain, None while there is none.
    """
    wanted: list[x509.Certificate] = []
    for presentable in resolved.presents:
        authority = presentable.authority or own
        if authority is None:
            continue
        if presentable.authority is None or build_slug(authority) in held:
            return ChainChoice(_auths(authority), has_chain=True)
        wanted.append(authority)
    if not resolved.presents:
        return ChainChoice((), has_chain=True)
    return ChainChoice(_auths(wanted[0]) if wanted else (), has_chain=False)


def build_entry(resolved: ResolvedService, auths: tuple[str, ...]) -> ServiceEntry:
    """Build the service's file of ``known-servers``."""
    return ServiceEntry(
        alias=resolved.alias,
        url=resolved.url,
        verifier=resolved.verifier,
        auths=auths,
        peer=resolved.deadline_of,
        bearer_token=resolved.bearer_token,
    )


def _override(
    verifier: VerifierSpec | None, transport: Transport, partner: Partner | None
) -> Override | None:
    """Read what a person configured. Raises PkiError for what cannot be read, whatever it is."""
    if verifier is None:
        return None
    if verifier.web_pki is not None:
        bundle = verifier.web_pki.ca_bundle
        return WebPKI(None if bundle is None else _certificates(bundle))
    if verifier.certificate_authority is not None:
        return ConfiguredCA(_certificates(verifier.certificate_authority.pem))
    if verifier.fingerprint is None:  # no member at all, which the kind's own rule refuses
        return Pinned(())
    values = tuple(parse_fingerprint(value) for value in verifier.fingerprint.values)
    if values or partner is None:
        return Pinned(values)
    return Pinned(tuple(each for each in partner.fingerprints if each.kind is _KIND_OF[transport]))


def _certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """Read authorities; a leaf among them is somebody's mistake, and no anchor."""
    certificates = tuple(parse_certificates(pem.encode(), InvalidDirectory))
    if not all(is_ca(each, InvalidDirectory) for each in certificates):
        raise InvalidDirectory("not-ca", "expected certificates of authorities (CA:TRUE)")
    return certificates


def _reason_of(error: PkiError) -> Reason:
    """The table's own reason; what stands in a spec and cannot be read is an invalid spec."""
    return error.reason if isinstance(error, VerifierRefused) else Reason.INVALID_SPEC


def _in_date(verifier: Verifier, now: int) -> tuple[Verifier | None, int | None]:
    """Leave out authorities past their end; also say when the next of them ends."""
    match verifier:
        case WebPKI(bundle=(_, *_) as authorities):
            left, until = _left(authorities, now)
            return (WebPKI(left) if left else None), until
        case ConfiguredCA(authorities=authorities):
            left, until = _left(authorities, now)
            return (ConfiguredCA(left) if left else None), until
        case PeerCA(authorities=authorities):
            left, until = _left(authorities, now)
            return (PeerCA(left) if left else None), until
    return verifier, None


def _left(
    authorities: Sequence[x509.Certificate], now: int
) -> tuple[tuple[x509.Certificate, ...], int | None]:
    moment = datetime.fromtimestamp(now, UTC)
    left = tuple(each for each in authorities if moment <= each.not_valid_after_utc)
    ends = [int(each.not_valid_after_utc.timestamp()) + 1 for each in left]
    return left, min(ends, default=None)


def _presents(service: TrustedService, view: ServiceView) -> tuple[Presentable, ...] | None:
    """Whose chains the service accepts; None when it names authorities of which none is known now."""
    named = service.spec.authorities
    if not named:
        authorities = () if view.partner is None else view.partner.authorities
        return tuple(Presentable(each) for each in authorities)
    found: list[Presentable] = []
    for name in named:
        if name == OWN_AUTHORITY:
            found.append(OWN)
        elif name in view.signers:
            found.extend(Presentable(each) for each in view.signers[name].authorities)
    return tuple(dict.fromkeys(found)) or None


def _resolved(resolved: ResolvedService, partner: Partner | None) -> ResolvedService:
    """Add what follows from the partner: whose deadline counts, and when to look again."""
    if partner is None:
        return resolved
    ends = [moment for moment in (resolved.until, partner.rotation_due) if moment is not None]
    return ResolvedService(
        alias=resolved.alias,
        url=resolved.url,
        verifier=resolved.verifier,
        presents=resolved.presents,
        peer=partner.name,
        deadline_of=None if partner.retained else partner.kernel_id,
        bearer_token=resolved.bearer_token,
        until=min(ends, default=None),
        lists=_lists(resolved.verifier, partner),
    )


def _lists(verifier: Verifier, partner: Partner) -> tuple[tuple[str, RevocationList], ...]:
    if not isinstance(verifier, ConfiguredCA | PeerCA):
        return ()
    slugs = dict.fromkeys(build_slug(authority) for authority in verifier.authorities)
    return tuple((slug, partner.revocations[slug]) for slug in slugs if slug in partner.revocations)


def _auths(authority: x509.Certificate) -> tuple[str, ...]:
    return (rfc4514_name(authority.subject), build_slug(authority))
