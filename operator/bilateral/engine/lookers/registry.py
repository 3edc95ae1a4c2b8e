"""Which looker looks at which kind of key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bilateral.engine.cache import Key, Kind
from bilateral.engine.handshakes import Initiator
from bilateral.engine.lists import LISTS, PeerLists
from bilateral.engine.lookers.authorities import AuthoritiesLooker
from bilateral.engine.lookers.domains import TrustDomainLooker
from bilateral.engine.lookers.identities import WorkloadIdentityLooker
from bilateral.engine.lookers.peers import FederationPeerLooker
from bilateral.engine.lookers.tools import Looker, Tools
from bilateral.engine.terms import AUTHORITIES


class Lookers:
    """All lookers of a replica; ``peers`` also plans what was accepted at the endpoint."""

    def __init__(
        self, tools: Tools, lists: PeerLists, initiator: Initiator, on_domain: Callable[[Key], None]
    ) -> None:
        self.peers = FederationPeerLooker(tools, lists, initiator)
        self.by_kind: Mapping[str, Looker] = {
            LISTS: lists,
            AUTHORITIES: AuthoritiesLooker(tools),
            Kind.TRUST_DOMAIN.value: TrustDomainLooker(tools, on_domain),
            Kind.FEDERATION_PEER.value: self.peers,
            Kind.WORKLOAD_IDENTITY.value: WorkloadIdentityLooker(tools),
        }
