"""An authority's certificate revocation list (RFC 5280 section 5): built, read, asked.

Rules:

* Nothing is ever un-revoked: a new list holds every entry of the one before, with its first date. An entry
  leaves only after a list that began after its certificate's end has carried it.
* The number grows: it is the Unix time of signing, or one more than the last when that is greater. So a
  list that was lost does not start again at one.
* ``thisUpdate`` lies five minutes back, for readers whose clock is behind; half of the time until
  ``nextUpdate`` is for renewal. A list is signed again only when an entry came or half its life is over.
* A list that is read counts only when its authority signed it, it is complete (no delta, no indirect
  list), and no critical extension is unknown. Its age is the reader's to judge: :func:`is_fresh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Authority, verify_authority_dates
from bilateral.pki.errors import InvalidRevocationList
from bilateral.pki.pem import BACKDATE, UNREADABLE, signature_hash, verify_key_strength, whole_second
from bilateral.pki.profiles import authority_key_identifier

MAX_LIST_BYTES = 768 * 1024
"""A Secret ends at 1 MiB, base64 included in the statement that carries the list: about 18 000 entries."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate that its authority withdrew; ``not_after`` is its own end, if it is known."""

    serial: int
    revoked_at: datetime
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list that its authority signed: built here, or verified by :func:`parse_revocation_list`."""

    crl: x509.CertificateRevocationList
    number: int
    this_update: datetime
    next_update: datetime
    entries: Mapping[int, datetime]

    @property
    def pem(self) -> bytes:
        """One PEM block (``X509 CRL``): ``<slug>.crl`` beside ``<slug>.crt``."""
        return self.crl.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """DER, as the authority statement carries it."""
        return self.crl.public_bytes(Encoding.DER)

    @property
    def renewal_due(self) -> datetime:
        """When half of its life is over."""
        return self.this_update + (self.next_update - self.this_update) / 2


def renew_revocation_list(
    authority: Authority,
    revocations: Iterable[Revocation],
    previous: RevocationList | None,
    *,
    lifetime_seconds: int,
    now: datetime,
) -> RevocationList:
    """Return ``previous`` while it says everything and is young; else sign the next list.

    ``nextUpdate`` is ``now`` + ``lifetime_seconds``. Raises AuthorityExpired or InvalidAuthority
    (not-yet-valid), InvalidRevocationList (foreign) when ``previous`` is another authority's, ValueError
    for a lifetime that is not positive.
    """
    if lifetime_seconds <= 0:
        raise ValueError("lifetime_seconds must be positive")
    if previous is not None:
        _verify_issuer(previous.crl, authority.certificate)
    entries = _next_entries(revocations, previous)
    if previous is not None and entries == previous.entries and now < previous.renewal_due:
        return previous
    verify_authority_dates(authority, now)
    start = whole_second(now)
    number = int(start.timestamp())
    if previous is not None:
        number = max(number, previous.number + 1)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(start - BACKDATE)
        .next_update(start + timedelta(seconds=lifetime_seconds))
        .add_extension(authority_key_identifier(authority.certificate), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, revoked_at in sorted(entries.items()):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked_at).build()
        )
    return _verified(builder.sign(authority.key, signature_hash(authority.key)), entries)


def parse_revocation_list(data: bytes, authority: x509.Certificate) -> RevocationList:
    """Parse PEM or DER and check that ``authority`` signed it.

    Raises InvalidRevocationList with ``cause``: too-large, malformed, foreign, unknown-critical-extension,
    no-number, no-next-update.
    """
    if len(data) > MAX_LIST_BYTES:
        raise InvalidRevocationList(
            "too-large", f"expected at most {MAX_LIST_BYTES} bytes, found {len(data)}"
        )
    load = x509.load_pem_x509_crl if data.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_crl
    try:
        crl = load(data)
        _verify_issuer(crl, authority)
        return _verified(crl, {entry.serial_number: entry.revocation_date_utc for entry in crl})
    except UNREADABLE:
        raise InvalidRevocationList(
            "malformed", "expected a revocation list in PEM or DER, found something else"
        ) from None


def is_revoked(revocations: RevocationList, certificate: x509.Certificate) -> bool:
    """Say whether the list names ``certificate``, which must be of the list's authority."""
    return certificate.issuer == revocations.crl.issuer and certificate.serial_number in revocations.entries


def is_fresh(revocations: RevocationList, now: datetime) -> bool:
    """Say whether the list may still be relied on: begun, and before ``nextUpdate``."""
    return revocations.this_update <= now < revocations.next_update


def _next_entries(revocations: Iterable[Revocation], previous: RevocationList | None) -> dict[int, datetime]:
    entries = {} if previous is None else dict(previous.entries)
    for revocation in revocations:
        ended = revocation.not_after
        if previous is not None and ended is not None and previous.this_update > ended:
            entries.pop(revocation.serial, None)
        else:
            moment = whole_second(revocation.revoked_at)
            entries[revocation.serial] = min(moment, entries.get(revocation.serial, moment))
    return entries


def _verify_issuer(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> None:
    key = verify_key_strength(authority.public_key(), InvalidRevocationList)
    try:
        is_signed = crl.issuer == authority.subject and crl.is_signature_valid(key)
    except (TypeError, UnsupportedAlgorithm):
        is_signed = False
    if not is_signed:
        raise InvalidRevocationList("foreign", "expected a revocation list that this authority signed")


def _verified(crl: x509.CertificateRevocationList, entries: Mapping[int, datetime]) -> RevocationList:
    for extension in crl.extensions:
        if extension.critical:
            # Critical ones narrow a list: to some certificates, some reasons, or changes since another one.
            raise InvalidRevocationList(
                "unknown-critical-extension", f"critical extension {extension.oid.dotted_string} is not known"
            )
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        raise InvalidRevocationList("no-number", "expected a revocation list with a number") from None
    if crl.next_update_utc is None:
        raise InvalidRevocationList(
            "no-next-update", "expected a revocation list that says when the next comes"
        )
    return RevocationList(
        crl=crl,
        number=number,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        entries=dict(entries),
    )
