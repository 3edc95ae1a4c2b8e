"""How an outbound connection is verified: three ways, and no way around them.

Rules (R-T1, R-T3, R-T4): the way is part of the target and there is no default; web PKI and a
configured authority ask OpenSSL for chain and name (subject alternative names only); a fingerprint
asks neither, but the leaf's SHA-256 *and* its dates, before the first byte of a request leaves.
No way falls back to another. Contexts are built once and kept in a bounded cache; none keeps
sessions, so every connection is verified anew.

It opens no connection.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from bilateral.exchange.errors import OutboundError
from bilateral.pki.errors import InvalidCertificate
from bilateral.protocol.reasons import Reason
from bilateral.tls.pins import verify_pinned

_MAX_CONTEXTS = 512


@dataclass(frozen=True, slots=True)
class WebPKI:
    """The system's roots, or instead of them the given bundle (PEM)."""

    ca_pem: bytes | None = None


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """Only the authorities of this bundle (PEM), strictly as RFC 5280 has them."""

    pem: bytes


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One of these leaves: ``SHA256:`` and 64 lower-case hex digits of the DER certificate.

    Values of other kinds (a peer lists them together) are passed over.
    """

    values: tuple[str, ...]


Verifier = WebPKI | CertificateAuthority | Fingerprint


class Contexts:
    """The TLS contexts in use, built once for each verifier."""

    def __init__(self, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, size: int = _MAX_CONTEXTS) -> None:
        self._minimum = minimum
        self._size = size
        self._kept: OrderedDict[Verifier, ssl.SSLContext] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def build(self, verifier: Verifier) -> ssl.SSLContext:
        """Return the context for a verifier; raises OutboundError(InvalidSpec) for a bundle without one."""
        # Fingerprints are compared after the handshake: all of them share one context.
        key = Fingerprint(()) if isinstance(verifier, Fingerprint) else verifier
        context = self._kept.get(key)
        if context is None:
            context = self._kept[key] = _build_context(key, self._minimum)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return context


def _build_context(verifier: Verifier, minimum: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = minimum
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    match verifier:
        case Fingerprint():
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        case WebPKI(None):
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        case WebPKI(bytes(pem)):
            _load_bundle(context, pem)
        case CertificateAuthority(pem):
            _load_bundle(context, pem)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    return context


def _load_bundle(context: ssl.SSLContext, pem: bytes) -> None:
    try:
        # As text: bytes would be taken for DER.
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise OutboundError(Reason.INVALID_SPEC) from None
    if not context.cert_store_stats()["x509_ca"]:
        raise OutboundError(Reason.INVALID_SPEC)


def verify_presented(verifier: Verifier, der: bytes | None, now: float) -> None:
    """Check what OpenSSL did not: for a fingerprint, the leaf itself and its dates.

    ``now`` is POSIX seconds. Raises OutboundError(TLSVerificationFailed).
    """
    if not isinstance(verifier, Fingerprint):
        return
    try:
        verify_pinned(der, verifier.values, datetime.fromtimestamp(now, UTC))
    except InvalidCertificate:
        raise OutboundError(Reason.TLS_VERIFICATION_FAILED) from None
