"""Which way a service's server is verified: one table, one pure and total function.

The table (alknet's ADR-034, section 3, with private authorities as a third, explicit way). "Usable" is a
peer of which nothing stands in the way: pinned, fresh, not suspended, sharing no credential.

====  =========  ==========================  =================================================
peer  transport  what else                   verifier
====  =========  ==========================  =================================================
no    X509       nothing, or ``webPKI``      WebPKI: the system's roots, or the given bundle
no    X509       ``certificateAuthority``    ConfiguredCA
no    X509       ``fingerprint``             refused, VerifierContradictsPeer
no    RawKey     anything                    refused, UnknownRawKeyPeer
yes   any        not usable                  refused, for the reason that the peer is not
yes   X509       lists ``SHA256:``           PinnedFingerprint
yes   X509       none, has authorities       PeerCA
yes   X509       neither                     refused, NothingPinned
yes   RawKey     lists ``ed25519:``          PinnedRawKey
yes   RawKey     none                        refused, NothingPinned
====  =========  ==========================  =================================================

Rules:

* What a person configures beside a known peer may **narrow** the row's verifier (some of its fingerprints,
  some of its authorities) and never change its kind: anything else is VerifierContradictsPeer.
* No path leads from a pin to an authority, from an authority to first use, or from "nothing pinned" to "no
  check". A known peer never falls back to WebPKI.
* There is no verifier that accepts everything, and no value that stands for "do not verify".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from cryptography import x509

from bilateral.pki.errors import VerifierRefused
from bilateral.pki.fingerprints import Fingerprint, FingerprintKind, certificate_fingerprint
from bilateral.protocol.reasons import Reason


class Transport(StrEnum):
    """What the server presents: the value is that of the API."""

    X509 = "X509"
    RAW_KEY = "RawKey"


@dataclass(frozen=True, slots=True)
class WebPKI:
    """Chain, name and dates against ``bundle``, or the system's roots when it is None."""

    kind: ClassVar[str] = "WebPKI"
    bundle: tuple[x509.Certificate, ...] | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredCA:
    """Chain, name and dates against authorities that a person named for a server without a peer."""

    kind: ClassVar[str] = "ConfiguredCA"
    authorities: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class PeerCA:
    """Chain, name and dates against the authorities pinned for the peer, and no others."""

    kind: ClassVar[str] = "PeerCA"
    authorities: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class PinnedFingerprint:
    """The leaf is one of these certificates, and in date; no name and no authority is asked."""

    kind: ClassVar[str] = "PinnedFingerprint"
    fingerprints: tuple[Fingerprint, ...]


@dataclass(frozen=True, slots=True)
class PinnedRawKey:
    """The presented raw Ed25519 key is one of these."""

    kind: ClassVar[str] = "PinnedRawKey"
    fingerprints: tuple[Fingerprint, ...]


Verifier: TypeAlias = WebPKI | ConfiguredCA | PeerCA | PinnedFingerprint | PinnedRawKey


@dataclass(frozen=True, slots=True)
class Pinned:
    """``fingerprint`` of a spec: pin these, which are among the peer's."""

    fingerprints: tuple[Fingerprint, ...]


Override: TypeAlias = WebPKI | ConfiguredCA | Pinned
"""The closed union that a person may write: webPKI, certificateAuthority, fingerprint."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """What is known of the partner that runs the service.

    ``withheld``: why nothing may be derived from the peer now (stale, suspended, another key, a shared
    credential); None while it may.
    """

    withheld: Reason | None
    fingerprints: tuple[Fingerprint, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the decision depends on; ``peer`` None: the server belongs to nobody whom we know."""

    peer: KnownPeer | None = None
    transport: Transport = Transport.X509
    override: Override | None = None


def select_verifier(situation: Situation) -> Verifier:
    """Return the verifier of the table's row; raise VerifierRefused with the row's reason."""
    if situation.peer is None:
        return _unknown(situation.transport, situation.override)
    return _narrowed(_known(situation.peer, situation.transport), situation.override)


def pinned_fingerprints(verifier: Verifier) -> list[str]:
    """List what a verifier pins, for status: fingerprints of certificates, authorities or keys."""
    match verifier:
        case WebPKI(bundle=bundle):
            return [certificate_fingerprint(root) for root in bundle or ()]
        case ConfiguredCA(authorities=authorities) | PeerCA(authorities=authorities):
            return [certificate_fingerprint(authority) for authority in authorities]
        case PinnedFingerprint(fingerprints=fingerprints) | PinnedRawKey(fingerprints=fingerprints):
            return [str(fingerprint) for fingerprint in fingerprints]


def _unknown(transport: Transport, override: Override | None) -> Verifier:
    if transport is Transport.RAW_KEY:
        raise VerifierRefused(
            Reason.UNKNOWN_RAW_KEY_PEER, "a raw key has no authority to ask, and no peer lists this one"
        )
    match override:
        case None:
            return WebPKI()
        case WebPKI(bundle=()) | ConfiguredCA(authorities=()):
            # An empty list must not become "the system's roots", nor "no check".
            raise VerifierRefused(Reason.NOTHING_PINNED, "the configured bundle holds no authority")
        case WebPKI() | ConfiguredCA():
            return override
        case Pinned():
            # A foreign certificate changes with every renewal; ADR-034 pins those of known peers only.
            raise VerifierRefused(
                Reason.VERIFIER_CONTRADICTS_PEER, "a fingerprint is pinned for a known peer only"
            )


def _known(peer: KnownPeer, transport: Transport) -> PeerCA | PinnedFingerprint | PinnedRawKey:
    if peer.withheld is not None:
        raise VerifierRefused(peer.withheld, "nothing of the peer may be relied on now")
    if transport is Transport.RAW_KEY:
        keys = _of_kind(peer.fingerprints, FingerprintKind.RAW_KEY)
        if keys:
            return PinnedRawKey(keys)
        raise VerifierRefused(Reason.NOTHING_PINNED, "the peer lists no ed25519: fingerprint")
    certificates = _of_kind(peer.fingerprints, FingerprintKind.CERTIFICATE)
    if certificates:
        return PinnedFingerprint(certificates)
    if peer.authorities:
        return PeerCA(peer.authorities)
    raise VerifierRefused(
        Reason.NOTHING_PINNED, "the peer lists no SHA256: fingerprint and has no pinned authority"
    )


def _narrowed(
    row: PeerCA | PinnedFingerprint | PinnedRawKey, override: Override | None
) -> PeerCA | PinnedFingerprint | PinnedRawKey:
    match row, override:
        case _, None:
            return row
        case PeerCA(authorities=pinned), ConfiguredCA(authorities=(_, *_) as wanted) if set(wanted) <= set(
            pinned
        ):
            return PeerCA(wanted)
        case PinnedFingerprint(fingerprints=listed), Pinned(fingerprints=(_, *_) as chosen) if set(
            chosen
        ) <= set(listed):
            return PinnedFingerprint(chosen)
        case PinnedRawKey(fingerprints=listed), Pinned(fingerprints=(_, *_) as chosen) if set(chosen) <= set(
            listed
        ):
            return PinnedRawKey(chosen)
    raise VerifierRefused(
        Reason.VERIFIER_CONTRADICTS_PEER,
        f"the configured verifier is not among what the peer's {row.kind} allows",
    )


def _of_kind(fingerprints: tuple[Fingerprint, ...], kind: FingerprintKind) -> tuple[Fingerprint, ...]:
    return tuple(fingerprint for fingerprint in fingerprints if fingerprint.kind is kind)
