"""What a decision about a WorkloadIdentity looks at, and what it may say to sign.

Values only. Everything here was verified by whoever put it together: partners and services by the
decisions about them, authorities by the trust domain's. Introductions are the exception: they are
offered as they were written, and judged by the identity that they are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bilateral.pki.authority import Authority
from bilateral.pki.directory import TrustedAuthority
from bilateral.pki.pem import PrivateKey, PublicKey
from bilateral.pki.revocations import RevocationList
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import Resolution


@dataclass(frozen=True, slots=True)
class OwnTrust:
    """The trust domain of an identity: who signs it, and whose parties are our own.

    ``problem`` is why nothing may be signed now, or None; ``authority`` is the current one, with its
    key; ``generations`` are the certificates that count as ours, newest first, with their lists.
    """

    problem: Reason | None
    authority: Authority | None
    generations: tuple[TrustedAuthority, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """An Introduction for this identity: the document, and whose authorities may have signed it.

    ``partner`` is None where the peer is not there, and where a person gave the authority's fingerprint
    instead of a peer.
    """

    name: str
    document: str | bytes = field(repr=False)
    pinned: frozenset[str]
    partner: Partner | None = None
    peer_is_named: bool = True
    revocations: Mapping[str, RevocationList] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdentityView:
    """What a look at a WorkloadIdentity depends on.

    ``secrets`` are those that it owns, those of other owners that have the names of its own, and the one
    that it refers to. ``offers`` are oldest first; ``services`` are the TrustedServices that it may see;
    ``aliases`` those of all TrustedServices of the namespace, and any other that an introduction may not take.
    """

    own: OwnTrust | None
    secrets: Mapping[str, SecretView] = field(default_factory=dict)
    foreign_secrets: frozenset[str] = frozenset()
    offers: tuple[Offer, ...] = ()
    services: tuple[Resolution, ...] = ()
    aliases: frozenset[str] = frozenset()
    clients: tuple[Partner, ...] = ()
    clock_regressed: bool = False
    latest_time: int = 0  # the latest that was ever seen (Unix seconds)


@dataclass(frozen=True, slots=True)
class Issue:
    """A certificate to be signed by ``authority``; with neither key, a key is made first."""

    authority: Authority
    public_key: PublicKey | None = None  # provided: its private half is its owner's
    private_key: PrivateKey | None = field(default=None, repr=False)
