"""A server that is known by the fingerprint of its certificate.

Rules (R-T3): the leaf as a whole is one of those that were given, compared in constant time, and in date;
its name and its issuer are not asked. A certificate that cannot be read is refused even where its
fingerprint matches, since nobody could say when it ends.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.fingerprints import FingerprintKind
from bilateral.pki.leaves import verify_dates
from bilateral.pki.pem import parse_der_certificate


def verify_pinned(presented: bytes | None, pins: Iterable[str], moment: datetime) -> None:
    """Check a presented leaf (DER) against fingerprints; those of raw keys match nothing.

    Raises InvalidCertificate with ``cause``: no-certificate, pin-mismatch, malformed-certificate,
    unsupported-key, expired, not-yet-valid.
    """
    if not presented:
        raise InvalidCertificate("no-certificate", "no certificate was presented")
    found = f"{FingerprintKind.CERTIFICATE.value}:{hashlib.sha256(presented).hexdigest()}".encode("ascii")
    if not any(hmac.compare_digest(found, pin.encode("utf-8")) for pin in pins):
        raise InvalidCertificate("pin-mismatch", "the certificate is none of those that are pinned")
    leaf = parse_der_certificate(presented, InvalidCertificate)
    verify_dates(leaf, moment, InvalidCertificate, what="the pinned certificate")
