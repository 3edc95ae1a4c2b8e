"""What we say of our own certificate authorities: their generations, their lists, the signed statement.

It lives in Secret ``<trustDomain>-authority``: ``statement.json`` for partners, ``self.crl`` of the
newest authority, ``<slug>.crl`` of each earlier one, ``generations.json`` with their certificates.
Rules:

- The newest generation is the TrustDomain's authority. An earlier one stays, with a list that its
  own key signs, until nothing valid in the issued record chains to it, or until its own end.
- A list is signed again when something was withdrawn or half of its life is over, a statement when a
  list or a certificate changed, when another key speaks, or at half its life. Otherwise the result
  is byte for byte what was there.
- The sequence is the time of signing, or one more than the last: it grows even if the Secret was lost.
- An earlier generation whose key is gone keeps its last list until that ends, and is then no longer
  told to partners: without a list nobody could know what was withdrawn.
- While the clock is behind what was seen nothing is signed; what is there stays.

What was withdrawn is in the issued record (:mod:`~bilateral.reconcile.issued`), which comes first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Authority, load_authority, load_authority_certificate
from bilateral.pki.directory import OWN
from bilateral.pki.errors import InvalidRevocationList, PkiError
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.revocations import (
    Revocation,
    RevocationList,
    is_fresh,
    parse_revocation_list,
    renew_revocation_list,
)
from bilateral.pki.slugs import build_slug
from bilateral.protocol.authority_statement import (
    MAX_AUTHORITIES,
    AuthorityStatement,
    open_statement,
    sign_statement,
)
from bilateral.protocol.canonical import DOCUMENT_LIMITS, JSON, parse_json
from bilateral.protocol.errors import DocumentTooLarge, MalformedDocument, ProtocolError
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.reconcile.issued import IssuedEntry, authorities_in_use, revocations_of
from bilateral.reconcile.outcome import SecretView, WrittenSecret, next_after
from bilateral.reconcile.trustdomain import TLS_CERTIFICATE, TLS_KEY
from bilateral.resources.trustdomain import TrustDomain

STATEMENT_KEY: Final = "statement.json"
GENERATIONS_KEY: Final = "generations.json"
LIST_SUFFIX: Final = ".crl"
LIFETIME_SECONDS: Final = 2 * 86_400
"""Of lists and statements: they are renewed daily, so the operator may be away for a day."""
_AHEAD_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Generation:
    """One authority of ours: its certificate, where its key is, and its list once there is one."""

    secret_name: str
    certificate: x509.Certificate
    revocations: RevocationList | None = None

    @property
    def slug(self) -> str:
        """The name of its files: the same for all certificates of one name and key."""
        return build_slug(self.certificate)

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` + hex over its certificate."""
        return certificate_fingerprint(self.certificate)

    @property
    def not_after(self) -> int:
        """The last second of its certificate (Unix seconds)."""
        return int(self.certificate.not_valid_after_utc.timestamp())


@dataclass(frozen=True, slots=True)
class AuthoritiesView:
    """What a look at a TrustDomain's authorities depends on.

    ``authority`` and ``signing_key`` are there while they may sign. ``held`` is the content of the
    Secret as it is; ``secrets`` are those that its generations name, and those of the TrustDomain.
    """

    trust_domain: TrustDomain
    authority: Authority | None
    signing_key: SigningKey | None
    clock_regressed: bool = False
    held: Mapping[str, bytes] = field(default_factory=dict)
    secrets: Mapping[str, SecretView] = field(default_factory=dict)
    entries: Sequence[IssuedEntry] = ()


@dataclass(frozen=True, slots=True)
class AuthoritiesOutcome:
    """What should be in the Secret; ``generations`` are newest first.

    ``listless`` are slugs of authorities that can sign no list any more; ``too_large`` says that
    what was withdrawn does not fit a statement.
    """

    output: WrittenSecret | None
    generations: tuple[Generation, ...] = ()
    listless: tuple[str, ...] = ()
    too_large: bool = False
    next_at: int | None = None


def read_generations(held: Mapping[str, bytes]) -> tuple[Generation, ...]:
    """Our authorities as the Secret has them, newest first; what cannot be read is left out."""
    found: list[Generation] = []
    for secret_name, pem in _read_names(held.get(GENERATIONS_KEY, b"")):
        try:
            certificate = load_authority_certificate(pem)
        except PkiError:
            continue
        same = found[0].slug == build_slug(certificate) if found else True
        name = f"{OWN if same else build_slug(certificate)}{LIST_SUFFIX}"
        found.append(Generation(secret_name, certificate, _read_list(held.get(name), certificate)))
    return tuple(found)


def listed_serials(generations: Iterable[Generation]) -> dict[str, frozenset[int]]:
    """The serial numbers that the lists name, by slug."""
    return {
        each.slug: frozenset(each.revocations.entries) for each in generations if each.revocations is not None
    }


def reconcile_authorities(view: AuthoritiesView, now: int) -> AuthoritiesOutcome:
    """Judge the authorities of a TrustDomain at ``now`` (Unix seconds)."""
    before = read_generations(view.held)
    wanted = _generations(view, before, now)
    if not wanted:
        return AuthoritiesOutcome(None)
    lists = _lists(view, before, wanted, now)
    generations = tuple(
        Generation(each.secret_name, each.certificate, lists.get(each.slug)) for each in wanted
    )
    data = {GENERATIONS_KEY: _write_names(generations)}
    for slug, revocations in lists.items():
        name = OWN if slug == generations[0].slug else slug
        data[f"{name}{LIST_SUFFIX}"] = revocations.pem
    too_large = False
    statement = view.held.get(STATEMENT_KEY)
    try:
        statement = _statement(view, generations, now) or statement
    except DocumentTooLarge:
        # Partners who hear of no withdrawals trust nothing any more, once the last statement has ended.
        statement, too_large = None, True
    if statement is not None:
        data[STATEMENT_KEY] = statement
    return AuthoritiesOutcome(
        WrittenSecret(view.trust_domain.statement_secret_name, data),
        generations,
        tuple(each.slug for each in generations if not _has_list(each, now)),
        too_large,
        _next_look(view, generations, statement, now),
    )


def _generations(view: AuthoritiesView, before: Sequence[Generation], now: int) -> list[Generation]:
    """The newest authority, and the earlier ones that something valid still chains to."""
    newest: list[Generation] = []
    if view.authority is not None:
        newest = [Generation(view.trust_domain.authority_secret_name, view.authority.certificate)]
    elif before:
        newest = [before[0]]  # it may not sign for now; it is still ours
    in_use = authorities_in_use(view.entries, now)
    earlier = [
        each
        for each in (*before, *_forgotten(view, in_use - {each.slug for each in (*newest, *before)}))
        if each.slug in in_use
        and each.not_after >= now
        and all(each.fingerprint != other.fingerprint for other in newest)
    ]
    return [*newest, *earlier][:MAX_AUTHORITIES]


def _forgotten(view: AuthoritiesView, slugs: frozenset[str]) -> list[Generation]:
    """Earlier authorities that something chains to and that the Secret does not name: it was lost, not their keys."""
    found: list[Generation] = []
    for secret in view.secrets.values() if slugs else ():
        try:
            certificate = load_authority_certificate(secret.data.get(TLS_CERTIFICATE, b""))
        except PkiError:
            continue
        if build_slug(certificate) in slugs and secret.owner_uid == view.trust_domain.metadata.uid:
            found.append(Generation(secret.name, certificate))
    return sorted(found, key=lambda each: each.certificate.not_valid_before_utc, reverse=True)


def _lists(
    view: AuthoritiesView, before: Sequence[Generation], wanted: Sequence[Generation], now: int
) -> dict[str, RevocationList]:
    """The list of each authority by slug: signed anew where that is due and its key is there."""
    held = {each.slug: each.revocations for each in before if each.revocations is not None}
    withdrawn = revocations_of(view.entries)
    lists: dict[str, RevocationList] = {}
    for each in wanted:
        if each.slug in lists:
            continue
        revocations = _renewed(view, each, withdrawn.get(each.slug, ()), held.get(each.slug), now)
        if revocations is not None:
            lists[each.slug] = revocations
    return lists


def _renewed(
    view: AuthoritiesView,
    generation: Generation,
    withdrawn: Iterable[Revocation],
    previous: RevocationList | None,
    now: int,
) -> RevocationList | None:
    authority = _authority_of(view, generation)
    if authority is None or view.clock_regressed:
        return previous
    moment = _moment(now)
    if previous is not None and previous.this_update > moment:
        # From when the clock was ahead: nobody takes it yet. It counts as one that has just ended.
        previous = replace(previous, this_update=moment - timedelta(seconds=1), next_update=moment)
    try:
        return renew_revocation_list(
            authority, withdrawn, previous, lifetime_seconds=LIFETIME_SECONDS, now=moment
        )
    except PkiError:
        return previous  # past its end: so is all that it signed


def _authority_of(view: AuthoritiesView, generation: Generation) -> Authority | None:
    """The authority with its key, as its Secret has it; None when that is gone or another one's."""
    if view.authority is not None and certificate_fingerprint(view.authority.certificate) == (
        generation.fingerprint
    ):
        return view.authority
    secret = view.secrets.get(generation.secret_name)
    if secret is None or not (secret.referenced or secret.owner_uid == view.trust_domain.metadata.uid):
        return None
    try:
        authority = load_authority(secret.data.get(TLS_CERTIFICATE, b""), secret.data.get(TLS_KEY, b""))
    except PkiError:
        return None
    return authority if build_slug(authority.certificate) == generation.slug else None


def _statement(view: AuthoritiesView, generations: Sequence[Generation], now: int) -> bytes | None:
    """A new statement where one is due; None where the one that is there says it all, or none can be signed."""
    told = [each for each in generations if _has_list(each, now) and each.not_after >= now]
    key = view.signing_key
    if key is None or not told:
        return None
    lists = {each.slug: each.revocations.der for each in told if each.revocations is not None}
    before = _held_statement(view, key)
    wanted = AuthorityStatement(
        kernel_id=view.trust_domain.spec.kernel_id,
        sequence=_next_sequence(view, now),
        issued_at=now,
        expires_at=now + LIFETIME_SECONDS,
        certificates=tuple(each.certificate.public_bytes(Encoding.DER) for each in told),
        revocation_list=lists[told[0].slug],
        previous_lists=tuple(der for slug, der in lists.items() if slug != told[0].slug),
    )
    if before is not None and _says(before) == _says(wanted) and _is_young(before, now):
        return None
    return sign_statement(wanted, key)


def _says(statement: AuthorityStatement) -> tuple[object, ...]:
    return statement.certificates, statement.revocation_list, statement.previous_lists


def _is_young(statement: AuthorityStatement, now: int) -> bool:
    return statement.issued_at - _AHEAD_SECONDS <= now < _renewal_of(statement)


def _renewal_of(statement: AuthorityStatement) -> int:
    return (statement.issued_at + statement.expires_at) // 2


def _held_statement(view: AuthoritiesView, key: SigningKey) -> AuthorityStatement | None:
    return _opened(view.held.get(STATEMENT_KEY), view, key)


def _opened(
    document: bytes | None, view: AuthoritiesView, key: SigningKey | None
) -> AuthorityStatement | None:
    signer = None if key is None else key.public_key
    try:
        if document is None:
            return None
        return open_statement(document, signer=signer, kernel_id=view.trust_domain.spec.kernel_id)
    except ProtocolError:
        return None


def _next_sequence(view: AuthoritiesView, now: int) -> int:
    before = _opened(view.held.get(STATEMENT_KEY), view, None)  # also one that an earlier key signed
    following = now if before is None else max(now, before.sequence + 1)
    return following if following <= SAFE_INTEGER_MAX else now


def _has_list(generation: Generation, now: int) -> bool:
    return generation.revocations is not None and is_fresh(generation.revocations, _moment(now))


def _next_look(
    view: AuthoritiesView, generations: Sequence[Generation], document: bytes | None, now: int
) -> int | None:
    """When something here changes by itself: a renewal is due, or an earlier authority's use ends."""
    moments: list[int] = []
    for each in generations:
        if each.revocations is not None:
            moments += [
                int(each.revocations.renewal_due.timestamp()) + 1,
                int(each.revocations.next_update.timestamp()),
            ]
    statement = None if view.signing_key is None else _opened(document, view, view.signing_key)
    if statement is not None:
        moments.append(_renewal_of(statement))
    for each in generations[1:]:
        ends = [entry.not_after for entry in view.entries if entry.authority == each.slug]
        moments.append(min(max(ends, default=each.not_after), each.not_after) + 1)
    return next_after(now, moments)


def _read_names(data: bytes) -> list[tuple[str, bytes]]:
    """Secret's name and certificate of each generation; nothing where the text is not what we write."""
    try:
        listed = parse_json(data, DOCUMENT_LIMITS)
    except MalformedDocument:
        return []
    found: list[tuple[str, bytes]] = []
    for each in listed if isinstance(listed, list) else ():
        name, pem = (each.get("secretName"), each.get("certificate")) if isinstance(each, dict) else ("", "")
        if isinstance(name, str) and isinstance(pem, str):
            found.append((name, pem.encode("utf-8", "replace")))
    return found


def _write_names(generations: Sequence[Generation]) -> bytes:
    listed: list[JSON] = [
        {
            "secretName": each.secret_name,
            "fingerprint": each.fingerprint,
            "certificate": each.certificate.public_bytes(Encoding.PEM).decode("ascii"),
        }
        for each in generations
    ]
    return (json.dumps(listed, indent=2) + "\n").encode()


def _read_list(data: bytes | None, certificate: x509.Certificate) -> RevocationList | None:
    try:
        return None if data is None else parse_revocation_list(data, certificate)
    except InvalidRevocationList:
        return None


def _moment(now: int) -> datetime:
    return datetime.fromtimestamp(now, UTC)
