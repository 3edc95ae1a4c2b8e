"""Who calls: a server's side of the mounted trust.

Rules:

* A caller is who its certificate says, **under the authority that signed it**: the same subject under
  two authorities is two callers. The authority is the one whose key signed the leaf itself, not the one
  that has the right name; a chain over an intermediate is refused.
* A certificate is always required. Authorities are those of the known-clients directory (CA:TRUE), at
  least one; what is there now counts for every new connection.
* An authority's revocation list counts where there is one, and must be current. An authority whose file or
  list cannot be read is not trusted; the others are.
* ``<slug>.yaml`` beside an authority may name the partners (``peers``: kernel ids) whose authority it is.
  Where deadlines are mounted, too, its callers are refused unless one of those partners is fresh.
* An open connection outlives its trust in TLS, so :func:`peer_identity` judges again when it is asked:
  asked at each request, it ends what was withdrawn at the next one.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bilateral.client.chains import read_identity
from bilateral.client.deadlines import MountedDeadlines
from bilateral.client.errors import ClientError, LayoutInvalid, PartnerStale, PeerNotVerified
from bilateral.client.handshakes import LiveContext, PreparedContext, build_refusing
from bilateral.client.known import KNOWN_SUFFIXES, read_anchors, read_own_certificate, read_peers
from bilateral.client.places import Places
from bilateral.client.verification import Issuers, find_revocation, load_authorities
from bilateral.client.volumes import Reading, read_settled, read_volume
from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.leaves import verify_dates
from bilateral.pki.names import rfc4514_name
from bilateral.pki.profiles import serial_text
from bilateral.tls.chains import load_chain

_CALLER = "caller"
_log = logging.getLogger("bilateral.client")


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who a verified caller is.

    ``authority`` is the slug of the authority that signed it, the name of its file in known-clients
    (``self``: our own); ``subject`` the RFC 4514 name under that authority, spelled as certified does;
    ``serial`` 40 lower-case hex digits; ``fingerprint`` ``SHA256:`` and 64. ``(authority, subject)`` is
    the caller; serial and fingerprint change with each renewal. ``peers`` are the kernel ids of the
    partners whose authority it is, where known-clients says so.
    """

    authority: str
    subject: str
    peers: tuple[str, ...]
    serial: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Accepting:
    """Whom a server accepts, of one moment."""

    context: PreparedContext
    made_of: object = field(repr=False)
    issuers: Issuers
    peers: Mapping[str, tuple[str, ...]]
    own: tuple[bytes, bytes] = field(repr=False)
    """The chain and the key that are presented."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What stays with a connection: who it is, and who can say so again."""

    presented: bytes
    callers: Callers


class Callers:
    """The callers that a server accepts now; ``now`` is the clock, in POSIX seconds."""

    def __init__(
        self, config: str | os.PathLike[str] | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        """Look where the files are. Raises LayoutInvalid."""
        self._places = Places.locate(config)
        self._now = now
        self._deadlines = MountedDeadlines(self._places.peers)
        self._accepting: _Accepting | None = None
        self._said: str | None = None

    def accepting(self) -> _Accepting:
        """Return whom the server accepts now. Raises LayoutInvalid."""
        held = self._accepting
        if held is not None and all(reading.is_current() for reading in held.readings):
            return held
        # Gone until it is read: what cannot be read accepts nobody.
        self._accepting = None
        found = self._accepting = read_settled(self._places.known_clients, lambda: self._read(held))
        return found

    def choose(self) -> tuple[PreparedContext, None]:
        """Return the context for a connection that begins now; one that refuses, where nothing can be read."""
        try:
            context = self.accepting().context
        except ClientError as error:
            # To the caller this is a handshake that failed; the reason is for the log of this side, once.
            if self._said != str(error):
                self._said = str(error)
                _log.error("no caller is accepted: %s: %s", error.reason.value, error)
            return build_refusing(error, server_side=True), None
        self._said = None
        return context, None

    def identify(self, presented: bytes | None) -> PeerIdentity:
        """Judge a leaf whose key TLS has proven. Raises PeerNotVerified, LayoutInvalid."""
        accepting, now = self.accepting(), self._now()
        moment = datetime.fromtimestamp(now, UTC)
        signed = accepting.issuers.find(presented or b"")
        if signed is None:
            raise PeerNotVerified(
                "malformed-certificate", _CALLER, "presented no certificate that can be read"
            )
        leaf, anchor = signed.leaf, signed.issuer
        if anchor is None:
            raise PeerNotVerified(
                "other-authority",
                _CALLER,
                "its certificate was not signed by an authority of known-clients itself. Ours: name the peer in "
                "the WorkloadIdentity's clients; theirs: a certificate of an authority that we know",
            )
        try:
            verify_dates(leaf, moment, InvalidCertificate, what="its certificate")
        except InvalidCertificate as error:
            raise PeerNotVerified(error.cause, _CALLER, f"{error}. Theirs: a new one") from None
        cause = find_revocation(signed, moment)
        if cause is not None:
            raise PeerNotVerified(cause, _CALLER, _REVOCATIONS[cause])
        peers = accepting.peers.get(anchor.name, ())
        self._verify_fresh(peers, now)
        return PeerIdentity(
            authority=anchor.name,
            subject=rfc4514_name(leaf.subject),
            peers=peers,
            serial=serial_text(leaf.serial_number),
            fingerprint=certificate_fingerprint(leaf),
        )

    def _verify_fresh(self, peers: tuple[str, ...], now: float) -> None:
        for position, kernel_id in enumerate(peers, 1):
            try:
                self._deadlines.verify_fresh(kernel_id, now)
            except PartnerStale:
                if position == len(peers):
                    raise
            else:
                return

    def _judge(self, presented: bytes | None) -> _Verdict:
        self.identify(presented)
        return _Verdict(presented or b"", self)

    def _read(self, before: _Accepting | None) -> _Accepting:
        known = read_volume(self._places.known_clients, lambda file: file.endswith(KNOWN_SUFFIXES))
        identity, key = read_identity(self._places)
        made_of, readings = (known.files, identity.files, key.files), (known, identity, key)
        if before is not None and before.made_of == made_of:
            return replace(before, readings=readings)
        anchors = read_anchors(known)
        context = PreparedContext(server_side=True)
        load_authorities(context, [anchor.certificate for anchor in anchors], known.path.name)
        own = _read_own(identity, key, before)
        load_chain(context, *own)
        context.judge = self._judge
        context.explain = _explain
        return _Accepting(context, made_of, Issuers(anchors), read_peers(known), own, readings)


def _read_own(identity: Reading, key: Reading, before: _Accepting | None) -> tuple[bytes, bytes]:
    try:
        return read_own_certificate(identity, key)
    except LayoutInvalid as error:
        # Two Secrets, updated one after the other: until they fit, what did is served on.
        if error.cause == "key-mismatch" and key is not identity and before is not None:
            return before.own
        raise


_REVOCATIONS = {
    "revoked": "its certificate was withdrawn by its authority. Theirs: another introduction",
    "revocation-list-expired": "the revocation list of its authority has expired, so nobody of that authority "
    "can be judged. Check the clocks, and whether the operator runs",
}


def server_ssl_context(
    config: str | os.PathLike[str] | None = None, *, now: Callable[[], float] = time.time
) -> ssl.SSLContext:
    """Return a context to listen with, good for as long as the program runs.

    It presents the identity's certificate and requires one of each caller, of an authority in
    known-clients at the moment of the connection. Raises ClientError when it cannot serve now.
    """
    callers = Callers(config, now=now)
    callers.accepting()
    return LiveContext(callers.choose, server_side=True)


def peer_identity(connection: object) -> PeerIdentity:
    """Return who is at the other end of a connection that a context of ours accepted, judged anew.

    ``connection`` is the ``ssl.SSLSocket`` or ``ssl.SSLObject``: in asyncio
    ``transport.get_extra_info("ssl_object")``. Raises PeerNotVerified (withdrawn meanwhile, or not a
    connection of :func:`server_ssl_context`), LayoutInvalid.
    """
    verdict = getattr(connection, "verdict", None)
    if not isinstance(verdict, _Verdict):
        raise PeerNotVerified(
            "not-judged", _CALLER, "expected a connection that a context of server_ssl_context accepted"
        )
    return verdict.callers.identify(verdict.presented)


def _explain(code: int) -> ClientError:
    return PeerNotVerified(
        "not-verified", _CALLER, f"OpenSSL does not accept its certificate (verification code {code})"
    )
