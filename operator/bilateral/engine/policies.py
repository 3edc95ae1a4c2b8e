"""The policies of partners from the cache: which one counts now, and with whose trust domain.

Rules: a policy counts when it is the only one for its peer and for its partner's name, when that name is the
peer's own, and when its spec can be read. Whoever asks is told why none counts. A peer is judged anew each
time (:mod:`bilateral.engine.partners`), so that a pin is looked at when it is used, not when a policy was made.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.partners import Partners
from bilateral.engine.views import Domain, Views
from bilateral.ledger.records import Relation
from bilateral.protocol.policies.policy import Policy
from bilateral.protocol.policies.questions import PeerStanding
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.policies import standing_of, withheld_policy
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy

NOBODY = PeerStanding(known=False)


@dataclass(frozen=True, slots=True)
class Counting:
    """A policy with everything that it speaks of; ``reason`` is why it does not count, or None.

    ``relation`` names the feed and the revocations of the partner, where its kernel is known.
    """

    policy: FederationPolicy
    meaning: Policy
    reason: Reason | None
    peer: FederationPeer | None
    partner: Partner | None
    relation: Relation | None
    rivals: int

    @property
    def standing(self) -> PeerStanding:
        """What a decision is told of the partner's kernel."""
        return standing_of(self.partner)


class Policies:
    """Finds policies, by the partner's name or by their own."""

    def __init__(self, cache: Cache, views: Views, partners: Partners) -> None:
        self._cache = cache
        self._views = views
        self._partners = partners
        self._read: dict[Key, tuple[str, FederationPolicy, Policy]] = {}
        self._peers: dict[Key, tuple[str, FederationPeer | None]] = {}

    def of_partner(self, namespace: str, partner_id: str) -> Counting | Reason:
        """The one policy for a partner, or why there is none."""
        found = self._only(self._cache.find(Index.POLICY_BY_PARTNER, namespace, partner_id))
        return Reason.NO_POLICY if found is None else found

    def of_peer(self, namespace: str, peer: str) -> Counting | Reason | None:
        """The one policy for a peer, why none can be named, or None where there is none."""
        return self._only(self._cache.find(Index.POLICIES_OF_PEER, namespace, peer))

    def counting(self, key: Key) -> Counting | None:
        """A policy as it counts now; None where it is gone or going. Raises InvalidResource."""
        read = self._parse(key)
        if read is None:
            return None
        policy, meaning = read
        spec = policy.spec
        rivals = self._cache.find(Index.POLICIES_OF_PEER, key.namespace, spec.peer) | self._cache.find(
            Index.POLICY_BY_PARTNER, key.namespace, spec.partner_id
        )
        peer = self._peer(key.namespace, spec.peer)
        partner = None if peer is None else self._partners.find(key.namespace, spec.peer)
        others = len(rivals - {key})
        reason = withheld_policy(policy, None if peer is None else peer.operator_id, others)
        relation = None
        if peer is not None and partner is not None:
            domain = self._views.domain(key.namespace, partner.trust_domain)
            if domain is not None:
                relation = Relation(domain.view.trust_domain.spec.kernel_id, partner.kernel_id)
        return Counting(policy, meaning, reason, peer, partner, relation, others)

    def signer(self, namespace: str, found: Counting | Reason) -> Domain | None:
        """Who signs a decision: the partner's trust domain, else the oldest of the namespace that can."""
        if isinstance(found, Counting) and found.partner is not None:
            domain = self._views.domain(namespace, found.partner.trust_domain)
            if domain is not None and domain.signing_key is not None:
                return domain
        keys = [key for key in self._cache.keys(Kind.TRUST_DOMAIN) if key.namespace == namespace]
        able = {}
        for key in keys:
            domain = self._views.domain(key.namespace, key.name)
            if domain is not None and domain.signing_key is not None:
                able[key] = domain
        return next((domain for key, domain in able.items() if self._cache.is_first(key, able)), None)

    def _only(self, keys: Collection[Key]) -> Counting | Reason | None:
        if len(keys) > 1:
            return Reason.POLICY_CONFLICT
        for key in keys:
            try:
                return self.counting(key)
            except InvalidResource as error:
                return error.reason
        return None

    def _parse(self, key: Key) -> tuple[FederationPolicy, Policy] | None:
        version = self._cache.resource_version(key)
        known = self._read.get(key)
        if version is None:
            self._read.pop(key, None)
            return None
        if known is None or known[0] != version:
            raw = self._cache.raw(key)
            if raw is None or "deletionTimestamp" in raw["metadata"]:
                return None
            policy = FederationPolicy.parse(raw)
            known = self._read[key] = (version, policy, policy.to_policy())
        return known[1], known[2]

    def _peer(self, namespace: str, name: str) -> FederationPeer | None:
        key = Key(Kind.FEDERATION_PEER, namespace, name)
        version = self._cache.resource_version(key)
        if version is None:
            self._peers.pop(key, None)
            return None
        known = self._peers.get(key)
        if known is None or known[0] != version:
            raw = self._cache.raw(key)
            try:
                known = (version, None if raw is None else FederationPeer.parse(raw))
            except InvalidResource:
                known = (version, None)
            self._peers[key] = known
        return known[1]
