"""TLS towards a service: one way to know it, one chain to show it, and words for what went wrong.

Rules (R-T1, R-T3, R-T4):

* An authority: only the given ones, and no system root beside them; the host is in the certificate's
  subjectAltName; strictly as RFC 5280 has it. A fingerprint: the leaf is one of those, whole, and in
  date; its name and issuer are not asked. Public authorities: the system's roots, or the bundle.
* Where a revocation list of an authority is there, it counts: it must be current, and the leaf must be
  the authority's own and not on it. (Of several authorities, one without a list lets its own leaves pass.)
* Nothing falls back to anything, and an empty list of authorities is an error.

What a server sent is never repeated: sentences hold our own file's facts and OpenSSL's code.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.client.chains import Credentials
from bilateral.client.errors import ClientError, LayoutInvalid, PeerNotVerified
from bilateral.client.handshakes import PreparedContext
from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.leaves import is_signed_by
from bilateral.pki.pem import parse_der_certificate
from bilateral.pki.revocations import RevocationList, is_fresh, is_revoked
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey, Verifier, WebPKI
from bilateral.tls.chains import load_chain
from bilateral.tls.pins import verify_pinned

_OTHER: Final = "other-authority"
_MAX_KNOWN: Final = 1024
_CODES: Final = {
    9: "not-yet-valid",
    10: "expired",
    18: _OTHER,
    19: _OTHER,
    20: _OTHER,
    21: _OTHER,
    24: "not-strict",
    26: "wrong-purpose",
    62: "other-host",
    64: "other-host",
    66: "weak-key",
    67: "weak-key",
    68: "weak-key",
    **dict.fromkeys(range(79, 95), "not-strict"),
}
"""X509_V_ERR_… of OpenSSL's x509_vfy.h, in our words."""
_SENTENCES: Final = {
    "not-yet-valid": "a certificate of the server has not begun. Check the clocks of both sides",
    "expired": "a certificate of the server, or the pinned authority, has expired. Theirs: renew it",
    _OTHER: "the server's certificate is not of the authority that is pinned for it. Theirs: serve the right "
    "one; ours, if they changed it: their new authority",
    "wrong-purpose": "the server's certificate is not for servers. Theirs: one with serverAuth",
    "other-host": "the server's certificate does not name the host that we connect to. Theirs: one with the "
    "name in subjectAltName; ours, if it moved: the service's url",
    "weak-key": "the server's certificate has a key that is too weak. Theirs: a stronger one",
    "not-strict": "the server's certificates break the rules of RFC 5280. Theirs: certificates that keep them",
    "refused": "the server's certificate does not verify",
}


@dataclass(frozen=True, slots=True)
class Anchor:
    """An authority that is trusted, and the revocation list that it signed, if there is one."""

    name: str
    """Its slug, or the stem of the file that it was read from."""
    certificate: x509.Certificate
    revocations: RevocationList | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """All that a connection to a service depends on; equal ones can share a context."""

    alias: str
    verifier: Verifier
    credentials: Credentials | None
    anchors: tuple[Anchor, ...] = ()
    """The verifier's authorities again, where at least one has a revocation list."""


def build_client_context(expected: Expected, now: Callable[[], float]) -> PreparedContext:
    """Build the context for connections to a service; ``now`` (POSIX) is asked at each of them.

    Raises LayoutInvalid (verifier) when the verifier cannot be used here.
    """
    context = PreparedContext(server_side=False)
    file = f"known-servers/{expected.alias}.yaml"
    match expected.verifier:
        case PinnedFingerprint():
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        case WebPKI(bundle=None):
            # Roots of the public are not ours to hold to the strict rules.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        case WebPKI(bundle=tuple(authorities)):
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            load_authorities(context, authorities, file)
        case ConfiguredCA(authorities=authorities) | PeerCA(authorities=authorities):
            load_authorities(context, authorities, file)
        case PinnedRawKey():
            raise LayoutInvalid(
                "raw-key",
                file,
                "the server is known by a raw key, which TLS in Python cannot verify: use a client that can",
            )
    if expected.credentials is not None:
        load_chain(context, expected.credentials.chain_pem, expected.credentials.key_pem)
    context.judge = _ServerJudge(expected, now)
    context.explain = _Explainer(expected.alias)
    return context


def load_authorities(context: ssl.SSLContext, authorities: Sequence[x509.Certificate], file: str) -> None:
    """Trust exactly these CA certificates. Raises LayoutInvalid (no-authority) when one is none."""
    der = b"".join(authority.public_bytes(Encoding.DER) for authority in authorities)
    try:
        context.load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        der = b""
    if not der or context.cert_store_stats()["x509_ca"] < len(set(authorities)):
        raise LayoutInvalid("no-authority", file, "expected certificates of authorities (CA:TRUE)")


class _Explainer:
    def __init__(self, alias: str) -> None:
        self._alias = alias

    def __call__(self, code: int) -> ClientError:
        cause = _CODES.get(code, "refused")
        return PeerNotVerified(cause, self._alias, _SENTENCES[cause])


class _ServerJudge:
    """What OpenSSL was not asked: the pin, and the revocation lists."""

    def __init__(self, expected: Expected, now: Callable[[], float]) -> None:
        self._expected = expected
        self._now = now
        self._issuers = Issuers(expected.anchors)

    def __call__(self, presented: bytes | None) -> None:
        verifier = self._expected.verifier
        if not isinstance(verifier, PinnedFingerprint) and not self._expected.anchors:
            return
        moment = datetime.fromtimestamp(self._now(), UTC)
        if isinstance(verifier, PinnedFingerprint):
            self._verify_pinned(verifier, presented, moment)
            return
        signed = self._issuers.find(presented or b"")
        if signed is None:
            raise self._refusal("malformed-certificate", "the server's certificate cannot be read")
        self._verify_not_revoked(signed, moment)

    def _verify_pinned(self, verifier: PinnedFingerprint, presented: bytes | None, moment: datetime) -> None:
        try:
            verify_pinned(presented, map(str, verifier.fingerprints), moment)
        except InvalidCertificate as error:
            if error.cause == "pin-mismatch":
                sentence = (
                    f"the server's certificate is none of the {len(verifier.fingerprints)} that are pinned. "
                    "Ours: ask the partner over another channel whether they replaced it, and pin the new one"
                )
            else:
                sentence = f"the server: {error}. Theirs: a new one; ours: its pin"
            raise self._refusal(error.cause, sentence) from None

    def _verify_not_revoked(self, signed: Signed, moment: datetime) -> None:
        cause = find_revocation(signed, moment)
        if cause is None and signed.issuer is None:
            cause = "not-direct"
        if cause is not None:
            raise self._refusal(cause, f"the server's certificate {REVOCATION_SENTENCES[cause]}")

    def _refusal(self, cause: str, sentence: str) -> PeerNotVerified:
        return PeerNotVerified(cause, self._expected.alias, sentence)


REVOCATION_SENTENCES: Final = {
    "revoked": "was withdrawn by its authority. Theirs: another one",
    "revocation-list-expired": "cannot be judged: the revocation list of its authority has expired. Check "
    "the clocks, and whether the operator runs",
    "not-direct": "was not signed by the authority itself, so its revocation list does not speak of it",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A leaf, and the authority whose key signed it itself, if it is one of ours."""

    leaf: x509.Certificate
    issuer: Anchor | None
    is_withdrawn: bool
    """Whether its issuer's list, where there is one, has it."""


class Issuers:
    """Who signed which leaf, and withdrew it: found once for each, since the same are shown again and again."""

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        """Look among these authorities."""
        self._anchors = tuple(anchors)
        self._known: dict[bytes, Signed] = {}

    def find(self, der: bytes) -> Signed | None:
        """Parse what was presented and find its issuer; of two with one name, the right one.

        None when it cannot be read: OpenSSL may have read more into it than we do.
        """
        known = self._known.get(der)
        if known is not None:
            return known
        try:
            leaf = parse_der_certificate(der, InvalidCertificate)
        except InvalidCertificate:
            return None
        issuer = next((anchor for anchor in self._anchors if is_signed_by(leaf, anchor.certificate)), None)
        if len(self._known) >= _MAX_KNOWN:
            self._known = {}
        listed = None if issuer is None else issuer.revocations
        found = self._known[der] = Signed(leaf, issuer, listed is not None and is_revoked(listed, leaf))
        return found


def find_revocation(signed: Signed, moment: datetime) -> str | None:
    """Say why its issuer's list does not let a leaf pass (revoked, revocation-list-expired), or None."""
    listed = None if signed.issuer is None else signed.issuer.revocations
    if listed is None:
        return None
    if not is_fresh(listed, moment):
        return "revocation-list-expired"
    return "revoked" if signed.is_withdrawn else None
