"""Errors of ``bilateral.pki``, each one a reason that a caller reacts to.

::

    PkiError                     reason
    ├── InvalidName              InvalidSpec             a subject that cannot be written into a certificate
    ├── InvalidHost              InvalidSpec             neither a DNS name nor an IP address
    ├── InvalidService           InvalidSpec             an alias or URL that a service cannot have
    ├── InvalidFingerprint       InvalidSpec             not a fingerprint in the one spelling that exists
    ├── InvalidTokenHash         InvalidSpec             not a token hash, or a token that cannot be hashed
    ├── InvalidAuthority         AuthorityInvalid        a CA that must not sign
    │   └── AuthorityExpired     AuthorityExpired        a CA whose time is over
    ├── InvalidCertificate       CertificateInvalid      a certificate that must not be presented
    ├── SubjectRefused           SubjectRefused          a certificate or request that we do not sign
    ├── InvalidIntroduction      IntroductionInvalid     an introduction that must not be installed
    │   ├── IntroductionExpired  IntroductionExpired     one whose time is over
    │   ├── AuthorityNotPinned   AuthorityNotPinned      one by an authority that nobody here pinned
    │   └── ForeignIdentity      IdentityKeyMismatch     one for another key than the identity's
    ├── InvalidRevocationList    RevocationListInvalid   a revocation list that does not count
    ├── InvalidDirectory         DirectoryInvalid        a certified directory that is unsafe to read
    ├── NoChain                  NoChain                 no authority that a service accepts has signed us
    └── VerifierRefused          its own                 no way to verify a service that may be taken

``cause`` is a short, stable word in kebab-case for tests and tables; the sentence says what was found
and what was expected. No error carries key material or a whole certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bilateral.protocol.reasons import Reason


class PkiError(Exception):
    """Base of the tree; ``cause`` is a stable word, ``str(error)`` the sentence."""

    reason: Reason = Reason.CERTIFICATE_INVALID

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


class InvalidService(PkiError):
    """An alias that is not a DNS name, or a URL that is not https, host and port."""

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
    """A certificate, chain or key that must not be presented."""

    reason = Reason.CERTIFICATE_INVALID


class SubjectRefused(PkiError):
    """A certificate or signing request that our authority does not sign."""

    reason = Reason.SUBJECT_REFUSED


class InvalidIntroduction(PkiError):
    """An introduction that must not be installed."""

    reason = Reason.INTRODUCTION_INVALID


class IntroductionExpired(InvalidIntroduction):
    """An introduction whose certificate, or whose authority, ended at ``not_after`` (UTC)."""

    reason = Reason.INTRODUCTION_EXPIRED

    def __init__(self, cause: str, what: str, not_after: datetime) -> None:
        super().__init__(cause, f"{what} of the introduction expired at {_stamp(not_after)}")
        self.not_after = not_after


class AuthorityNotPinned(InvalidIntroduction):
    """An introduction by an authority that nobody here pinned; ``fingerprint`` is what it has."""

    reason = Reason.AUTHORITY_NOT_PINNED

    def __init__(self, fingerprint: str) -> None:
        super().__init__(
            "authority-not-pinned", f"the authority {fingerprint} is not among those pinned here"
        )
        self.fingerprint = fingerprint


class ForeignIdentity(InvalidIntroduction):
    """An introduction that certifies another key than the identity's."""

    reason = Reason.IDENTITY_KEY_MISMATCH

    def __init__(self) -> None:
        super().__init__("key-mismatch", "the introduction is for another key than the identity's")


class InvalidRevocationList(PkiError):
    """A revocation list that cannot be read, or that the authority did not sign."""

    reason = Reason.REVOCATION_LIST_INVALID


class InvalidDirectory(PkiError):
    """A certified directory, or a file in one, that must not be used."""

    reason = Reason.DIRECTORY_INVALID


class NoChain(PkiError):
    """None of the authorities that a service accepts has signed this identity."""

    reason = Reason.NO_CHAIN


class VerifierRefused(PkiError):
    """The verifier table's refusal: ``reason`` is the row's own word."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(reason.kebab, sentence)
        self.reason = reason


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
