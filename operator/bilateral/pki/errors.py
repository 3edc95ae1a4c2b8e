"""Errors of ``bilateral.pki``, each one a reason that a caller reacts to.

::

    PkiError                  reason
    ├── InvalidName           InvalidSpec           a subject that cannot be written into a certificate
    ├── InvalidHost           InvalidSpec           neither a DNS name nor an IP address
    ├── InvalidFingerprint    InvalidSpec           not a fingerprint in the one spelling that exists
    ├── InvalidTokenHash      InvalidSpec           not a token hash, or a token that cannot be hashed
    ├── InvalidAuthority      AuthorityInvalid      a CA that must not sign
    │   └── AuthorityExpired  AuthorityExpired      a CA whose time is over
    └── InvalidCertificate    CertificateInvalid    a server certificate that must not be presented

``cause`` is a short, stable word in kebab-case for tests and tables; the sentence says what was found
and what was expected. No error carries key material or a whole certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from bilateral.protocol.reasons import Reason


class PkiError(Exception):
    """Base of the tree; ``cause`` is a stable word, ``str(error)`` the sentence."""

    reason: ClassVar[Reason] = Reason.CERTIFICATE_INVALID

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class InvalidName(PkiError):
    """A subject that cannot be written into a certificate; ``attribute`` is the offending member."""

    reason = Reason.INVALID_SPEC

    def __init__(self, cause: str, attribute: str, sentence: str) -> None:
        super().__init__(cause, f"subject.{attribute}: {sentence}" if attribute else sentence)
        self.attribute = attribute


class InvalidHost(PkiError):
    """A host that is neither a DNS name (lower-case, ASCII) nor an IP address."""

    reason = Reason.INVALID_SPEC


class InvalidFingerprint(PkiError):
    """Text that is not a fingerprint in the one spelling that exists for its kind."""

    reason = Reason.INVALID_SPEC


class InvalidTokenHash(PkiError):
    """Text that is not ``sha256:`` + 64 lower-case hex, or a token outside printable ASCII."""

    reason = Reason.INVALID_SPEC


class InvalidAuthority(PkiError):
    """A certificate and key that must not be used to sign."""

    reason = Reason.AUTHORITY_INVALID


class AuthorityExpired(InvalidAuthority):
    """A CA certificate whose ``not_after`` (UTC) has passed."""

    reason = Reason.AUTHORITY_EXPIRED

    def __init__(self, not_after: datetime) -> None:
        super().__init__("expired", f"the CA certificate expired at {_stamp(not_after)}")
        self.not_after = not_after


class InvalidCertificate(PkiError):
    """A server certificate, chain or key that must not be presented."""

    reason = Reason.CERTIFICATE_INVALID


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
