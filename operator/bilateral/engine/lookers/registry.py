"""Which looker looks at which kind of key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bilateral.engine.cache import Key, Kind
from bilateral.engine.handshakes import Initiator
from bilateral.engine.lists import LISTS, PeerLists
from bilateral.engine.lookers.authorities import AuthoritiesLooker
from bilateral.engine.lookers.domains import TrustDomainLooker
from bilateral.engine.lookers.identities import WorkloadIdentityLooker
from bilateral.engine.lookers.introduction_requests import IntroductionRequests
from bilateral.engine.lookers.introductions import IntroductionLooker
from bilateral.engine.lookers.peers import FederationPeerLooker
from bilateral.engine.lookers.policies import FederationPolicyLooker, Judging
from bilateral.engine.lookers.services import AudienceLooker, TrustedServiceLooker
from bilateral.engine.lookers.tools import Looker, Tools, key_of
from bilateral.engine.partners import Partners
from bilateral.engine.services import Services
from bilateral.engine.terms import AUDIENCES, AUTHORITIES


class Lookers:
    """All lookers of a replica; ``peers`` also plans what was accepted at the endpoint."""

    def __init__(
        self,
        tools: Tools,
        lists: PeerLists,
        initiator: Initiator,
        on_domain: Callable[[Key], None],
        judge: Judging,
    ) -> None:
        partners = Partners(tools.cache, tools.views, tools.guard)
        services = Services(tools.api, tools.cache, partners, tools.guard, tools.clock)
        service_looker = TrustedServiceLooker(tools, services)
        tools.secrets.on_taken = lambda owner: tools.queue.add(key_of(owner))
        self.peers = FederationPeerLooker(tools, lists, initiator)
        self.by_kind: Mapping[str, Looker] = {
            LISTS: lists,
            AUTHORITIES: AuthoritiesLooker(tools),
            Kind.TRUST_DOMAIN.value: TrustDomainLooker(tools, on_domain),
            Kind.FEDERATION_PEER.value: self.peers,
            Kind.TRUSTED_SERVICE.value: service_looker,
            AUDIENCES: AudienceLooker(tools, services, service_looker),
            Kind.WORKLOAD_IDENTITY.value: WorkloadIdentityLooker(tools, partners, services),
            Kind.INTRODUCTION.value: IntroductionLooker(
                tools, partners, judge.policies, IntroductionRequests(tools, partners, initiator)
            ),
            Kind.FEDERATION_POLICY.value: FederationPolicyLooker(tools, judge),
        }
