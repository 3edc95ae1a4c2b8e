"""A partner's certificate authorities: what of theirs counts, what is in ``<peer>-ca``, when to ask again.

Mode ``Announced`` takes them from the statement that the partner's pinned key signed, mode ``Pinned``
from the spec alone. Rules:

- What is held in the Secret is judged anew at every look, signature included: a Secret is a place to
  keep it, nothing to believe. The last good statement counts until its own end, whatever came later.
- A statement names the partner's kernel id, was signed by the pinned key, is in date, and its sequence
  is not below the last one that counted. The sequence stays when all else is withdrawn.
- An authority counts until its end, and while its revocation list is in date. A statement that has
  no list for one of its authorities is none.
- What may not be derived from the partner now is withdrawn: ``ca.crt`` then holds an authority that
  nobody can use, so that a mounted file is never empty. The statement itself goes, too, but where the
  trouble is ours: then it counts again when that is over.
- Partners that announce nothing cost nothing: no Secret, and no question until the next handshake.

It performs nothing. Whether a partner counts is decided before (:func:`~bilateral.reconcile.partners.withheld_reason`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import verify_authority_certificate
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.errors import InvalidAuthority, InvalidRevocationList, PkiError
from bilateral.pki.pem import parse_der_certificate
from bilateral.pki.revocations import RevocationList, is_fresh, parse_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.protocol.authority_statement import AuthorityStatement, open_statement
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.reasons import Reason

CA_KEY: Final = "ca.crt"
LISTS_KEY: Final = "ca.crl"
STATEMENT_KEY: Final = "statement.json"
SEQUENCE_KEY: Final = "sequence"

_NO_LISTS: Mapping[str, RevocationList] = {}


@dataclass(frozen=True, slots=True)
class Announced:
    """A statement that counts, and what of it is in date.

    ``refreshed_by`` is half of its life, ``changes_at`` the first second at which less of it is in
    date; Unix seconds.
    """

    document: bytes = field(repr=False)
    sequence: int
    authorities: tuple[x509.Certificate, ...]
    revocations: Mapping[str, RevocationList]
    refreshed_by: int
    changes_at: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """How a question for a partner's statement ended: a document, still to be judged, or why there is none."""

    document: bytes | None = field(default=None, repr=False)
    reason: Reason | None = None
    retry_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class AuthoritiesFound:
    """What a look found out about a partner's authorities.

    ``reason`` is that of the condition AuthoritiesKnown. ``authorities`` are newest first, with their
    lists by slug: those that count now. ``data`` is the wanted content of the Secret, None where
    there should be none (or where it is to stay as it is). ``ask_at`` is when to ask for a statement
    by itself, ``changes_at`` when this changes without a question; Unix seconds, None: not at all.
    """

    reason: Reason = Reason.NOT_OBSERVED
    authorities: tuple[x509.Certificate, ...] = ()
    revocations: Mapping[str, RevocationList] = field(default_factory=dict)
    data: Mapping[str, bytes] | None = None
    ask_at: int | None = None
    changes_at: int | None = None


def accept_statement(
    document: bytes, *, signer: PublicKey, kernel_id: str, last_sequence: int, max_skew_seconds: int, now: int
) -> Announced | Reason:
    """Judge a statement at ``now`` (Unix seconds): what of it counts, or why nothing does."""
    read = _read(document, signer, kernel_id)
    if read is None:
        return Reason.STATEMENT_INVALID
    statement, certificates, lists = read
    if statement.sequence < last_sequence:
        return Reason.STATEMENT_REGRESSED
    if not statement.issued_at - max_skew_seconds <= now < statement.expires_at:
        return Reason.STATEMENT_EXPIRED
    moment = datetime.fromtimestamp(now, UTC)
    counting = tuple(
        each for each in not_ended(certificates, now) if is_fresh(lists[build_slug(each)], moment)
    )
    if not counting:
        return Reason.STATEMENT_EXPIRED
    named = {build_slug(each): lists[build_slug(each)] for each in counting}
    ends = [int(each.not_valid_after_utc.timestamp()) + 1 for each in counting]
    ends += [int(each.next_update.timestamp()) for each in named.values()]
    return Announced(
        document=document,
        sequence=statement.sequence,
        authorities=counting,
        revocations=named,
        refreshed_by=(statement.issued_at + statement.expires_at) // 2,
        changes_at=min(statement.expires_at, *ends),
    )


def not_ended(certificates: Sequence[x509.Certificate], now: int) -> tuple[x509.Certificate, ...]:
    """Those of the certificates that have not ended at ``now`` (Unix seconds), in their order.

    One that has not begun is kept: whoever verifies with it looks at its dates.
    """
    moment = datetime.fromtimestamp(now, UTC)
    return tuple(each for each in certificates if moment <= each.not_valid_after_utc)


def bundle_of(certificates: Sequence[x509.Certificate]) -> bytes:
    """``ca.crt``: the authorities as PEM; that of nobody where there are none."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates) or NOBODY_PEM


def content_of(announced: Announced) -> dict[str, bytes]:
    """The Secret's content while a statement counts."""
    return {
        CA_KEY: bundle_of(announced.authorities),
        LISTS_KEY: b"".join(each.pem for each in announced.revocations.values()),
        STATEMENT_KEY: announced.document,
        SEQUENCE_KEY: str(announced.sequence).encode(),
    }


def withdrawn_content(held: Mapping[str, bytes], *, keep_statement: bool = False) -> dict[str, bytes]:
    """The Secret's content while nothing counts: nobody, and the sequence that must not be undercut."""
    content = {CA_KEY: NOBODY_PEM}
    sequence = read_sequence(held)
    if sequence:
        content[SEQUENCE_KEY] = str(sequence).encode()
    if keep_statement and STATEMENT_KEY in held:
        content[STATEMENT_KEY] = held[STATEMENT_KEY]
    return content


def read_sequence(held: Mapping[str, bytes]) -> int:
    """The sequence of the last statement that counted; 0 where there was none."""
    text = held.get(SEQUENCE_KEY, b"")
    number = int(text) if text.isdigit() and len(text) <= 16 else 0
    return number if number <= SAFE_INTEGER_MAX else 0


_Read: TypeAlias = tuple[AuthorityStatement, tuple[x509.Certificate, ...], Mapping[str, RevocationList]]


@lru_cache(maxsize=256)  # a partner's services, identities and introductions all ask for it
def _read(document: bytes, signer: PublicKey, kernel_id: str) -> _Read | None:
    """Read and verify a statement, whatever the time is; lists by slug, one for every certificate."""
    try:
        statement = open_statement(document, signer=signer, kernel_id=kernel_id)
        certificates = tuple(_read_authority(der) for der in statement.certificates)
        lists = _read_lists(statement, certificates)
    except (ProtocolError, PkiError):
        return None
    if any(build_slug(each) not in lists for each in certificates):
        return None
    return statement, certificates, lists


def _read_authority(der: bytes) -> x509.Certificate:
    certificate = parse_der_certificate(der, InvalidAuthority)
    verify_authority_certificate(certificate)
    return certificate


def _read_lists(
    statement: AuthorityStatement, certificates: Sequence[x509.Certificate]
) -> dict[str, RevocationList]:
    newest = certificates[0]
    lists = {build_slug(newest): parse_revocation_list(statement.revocation_list, newest)}
    others = [each for each in certificates[1:] if build_slug(each) not in lists]
    for der in statement.previous_lists:
        lists |= _list_of_one(der, others)
    return lists


def _list_of_one(der: bytes, certificates: Sequence[x509.Certificate]) -> dict[str, RevocationList]:
    """A list with the slug of the one that signed it. Raises InvalidRevocationList where nobody did."""
    for each in certificates:
        try:
            return {build_slug(each): parse_revocation_list(der, each)}
        except InvalidRevocationList as error:
            if error.cause != "foreign":
                raise
    raise InvalidRevocationList("foreign", "expected a revocation list of one of the authorities")
