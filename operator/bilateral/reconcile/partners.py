"""A partner, as everything that is derived from one sees it: whether it counts now, and with what.

Services, identities and introductions ask for a :class:`Partner` and for nothing else of a
FederationPeer. Rules:

- Whether a partner counts is judged from its pin, the pin's seal and ``now``, by
  :mod:`~bilateral.reconcile.peer`; what a condition says is never believed.
- A partner that does not count has nothing that could be used by mistake: no key, no fingerprint, no
  authority. ``withheld`` says why.
- ``onStale: Retain`` keeps a stale partner's fingerprints and authorities, as a person decided;
  it is not ``fresh``, so nothing new is signed for it.

Where a partner's authorities come from, and that they are what its pinned key signed, is decided
before: here they are only given or withheld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography import x509

from bilateral.pki.errors import InvalidAuthority
from bilateral.pki.fingerprints import Fingerprint, parse_fingerprint
from bilateral.pki.leaves import is_ca
from bilateral.pki.pem import parse_certificates
from bilateral.pki.revocations import RevocationList
from bilateral.pki.verifiers import KnownPeer
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.peer_status import Findings, Standing
from bilateral.resources.federationpeer import FederationPeer, OnStale, PeerEndpoint

_WITHHELD = {
    Standing.NONE: Reason.PEER_NOT_PINNED,
    Standing.TAMPERED: Reason.PIN_TAMPERED,
    Standing.UNANCHORED: Reason.PIN_NOT_ANCHORED,
    Standing.FUTURE: Reason.CLOCK_REGRESSED,
    Standing.STALE: Reason.PEER_STALE,
    Standing.UNCHECKED: Reason.TRUST_DOMAIN_NOT_READY,
}


@dataclass(frozen=True, slots=True)
class Partner:
    """A FederationPeer that was judged at one moment.

    ``withheld`` is why nothing may be derived from it, or None. ``fresh`` is whether something new may
    be signed for it; ``retained`` whether a person keeps what was derived past the deadline.
    ``public_key`` is the pinned key of a fresh one. ``rotation_due`` (Unix seconds)
    is when this judgement ends by itself, or None. ``authorities`` are newest first; ``revocations``
    are their lists by slug.
    """

    name: str
    uid: str
    kernel_id: str
    trust_domain: str
    withheld: Reason | None
    fresh: bool = False
    retained: bool = False
    public_key: PublicKey | None = None
    rotation_due: int | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()
    revocations: Mapping[str, RevocationList] = field(default_factory=dict)
    endpoint: PeerEndpoint | None = None

    @property
    def known(self) -> KnownPeer:
        """What the verifier table asks."""
        return KnownPeer(self.withheld, self.fingerprints, self.authorities)


def withheld_reason(peer: FederationPeer, found: Findings) -> Reason | None:
    """Why nothing may be derived from a peer with these findings; None while it may."""
    if found.blocked is not None:
        return found.blocked
    if found.standing is Standing.FRESH and found.pin is not None:
        return None
    if found.standing is Standing.STALE and peer.spec.on_stale is OnStale.RETAIN:
        return None
    return _WITHHELD.get(found.standing, Reason.PEER_NOT_PINNED)


def read_pinned_authorities(peer: FederationPeer) -> tuple[x509.Certificate, ...]:
    """Read the authorities that a person installed for the peer; one that cannot be read, or is none, is left out."""
    found: dict[x509.Certificate, None] = {}
    for pem in peer.spec.certificate_authorities.pems:
        try:
            certificates = parse_certificates(pem.encode(), InvalidAuthority)
            found |= {each: None for each in certificates if is_ca(each, InvalidAuthority)}
        except InvalidAuthority:
            continue
    return tuple(sorted(found, key=lambda each: each.not_valid_before_utc, reverse=True))


def build_unreadable_partner(name: str, uid: str, reason: Reason) -> Partner:
    """Build the partner of an object whose spec breaks a rule: it is there, and nobody."""
    return Partner(name=name, uid=uid, kernel_id="", trust_domain="", withheld=reason)


def build_partner(
    peer: FederationPeer,
    found: Findings,
    authorities: Sequence[x509.Certificate] = (),
    revocations: Mapping[str, RevocationList] | None = None,
) -> Partner:
    """Build what may be derived from a peer.

    ``found`` are the findings of :func:`~bilateral.reconcile.peer.reconcile_peer` on the cached object at
    this moment; ``authorities`` (newest first) and ``revocations`` were verified by the caller.
    """
    withheld = withheld_reason(peer, found)
    partner = Partner(
        name=peer.metadata.name,
        uid=peer.metadata.uid,
        kernel_id=peer.spec.kernel_id,
        trust_domain=peer.spec.trust_domain,
        withheld=withheld,
        endpoint=peer.spec.endpoint,
    )
    if withheld is not None:
        return partner
    pin = found.pin if found.standing is Standing.FRESH else None
    return replace(
        partner,
        fresh=pin is not None,
        retained=peer.spec.on_stale is OnStale.RETAIN,
        public_key=None if pin is None else pin.public_key,
        rotation_due=None if pin is None else pin.rotation_due,
        fingerprints=tuple(parse_fingerprint(text) for text in peer.spec.fingerprints),
        authorities=tuple(authorities),
        revocations=dict(revocations or {}),
    )
