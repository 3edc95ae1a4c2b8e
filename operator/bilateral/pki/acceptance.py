"""Accepting an introduction for an identity of ours: everything that upstream leaves unchecked.

``certified add-intro`` checks that the signature fits and no more: it takes any authority, a CA that is
none, an expired certificate, another's key, and writes files wherever an alias points. Here, in this order:

1. The authority is one that a person, or a partner's signed statement, pinned: by its whole certificate.
2. It is a self-signed CA that may sign, and in date.
3. It signed the certificate, under its own name.
4. The certificate is a party's, for clients, without critical extensions that nobody here knows.
5. It certifies the identity's key, byte for byte; upstream finds out at the first connection.
6. It is in date, and no revocation list of the authority names it.

Aliases and URLs were checked when the document was parsed. The name in the certificate is the signer's
business: it need not be the one that we use at home.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import verify_authority_certificate
from bilateral.pki.errors import (
    AuthorityNotPinned,
    ForeignIdentity,
    IntroductionExpired,
    InvalidAuthority,
    InvalidIntroduction,
)
from bilateral.pki.introductions import Introduction
from bilateral.pki.leaves import is_ca, is_signed_by, verify_dates, verify_known_extensions, verify_usage
from bilateral.pki.pem import PublicKey, verify_key_strength
from bilateral.pki.profiles import spki_der
from bilateral.pki.revocations import RevocationList, is_revoked


def accept_introduction(
    introduction: Introduction,
    public_key: PublicKey,
    pinned: Collection[str],
    now: datetime,
    *,
    revocations: RevocationList | None = None,
) -> Introduction:
    """Return ``introduction``, verified for the identity that holds ``public_key``.

    ``pinned`` are the ``SHA256:`` fingerprints of authorities that may introduce this identity;
    ``revocations`` a list that the same authority signed. Raises AuthorityNotPinned, IntroductionExpired
    (expired, authority-expired), ForeignIdentity, InvalidIntroduction with ``cause``: not-a-ca and the
    others of :func:`~bilateral.pki.authority.load_authority`, authority-not-yet-valid, foreign-signature,
    ca, not-for-clients, unknown-critical-extension, malformed-certificate, weak-key, unsupported-key,
    not-yet-valid, revoked.
    """
    _verify_authority(introduction, pinned, now)
    certificate = introduction.certificate
    if not is_signed_by(certificate, introduction.authority):
        raise InvalidIntroduction("foreign-signature", "signed_cert was not signed by ca_cert")
    verify_known_extensions(certificate, InvalidIntroduction)
    if is_ca(certificate, InvalidIntroduction):
        raise InvalidIntroduction("ca", "expected a party's certificate, found an authority's")
    verify_usage(certificate, ExtendedKeyUsageOID.CLIENT_AUTH, InvalidIntroduction)
    key = verify_key_strength(certificate.public_key(), InvalidIntroduction)
    if spki_der(key) != spki_der(public_key):
        raise ForeignIdentity
    if now > introduction.not_after:
        raise IntroductionExpired("expired", "the certificate", introduction.not_after)
    verify_dates(certificate, now, InvalidIntroduction, what="the certificate of the introduction")
    if revocations is not None and is_revoked(revocations, certificate):
        raise InvalidIntroduction("revoked", "the authority withdrew this introduction")
    return introduction


def _verify_authority(introduction: Introduction, pinned: Collection[str], now: datetime) -> None:
    if introduction.authority_fingerprint not in pinned:
        raise AuthorityNotPinned(introduction.authority_fingerprint)
    authority = introduction.authority
    try:
        verify_authority_certificate(authority)
    except InvalidAuthority as error:
        raise InvalidIntroduction(error.cause, f"ca_cert: {error}") from None
    if now > authority.not_valid_after_utc:
        raise IntroductionExpired("authority-expired", "the authority", authority.not_valid_after_utc)
    if now < authority.not_valid_before_utc:
        raise InvalidIntroduction("authority-not-yet-valid", "the authority is not valid yet")
