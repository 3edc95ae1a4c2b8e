"""What a decision about a WorkloadIdentity looks at, put together from the cache."""

from __future__ import annotations

from collections.abc import Mapping

from bilateral.engine.cache import Index, Key, Kind
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.secrets import view_of
from bilateral.engine.views import Domain
from bilateral.pki.directory import TrustedAuthority
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.authorities import Generation, read_generations
from bilateral.reconcile.identity_view import IdentityView, OwnTrust
from bilateral.reconcile.outcome import SecretView
from bilateral.resources.workloadidentity import RolloutTarget, WorkloadIdentity


class IdentityViews:
    """Builds the views of WorkloadIdentities."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._known: dict[Key, tuple[Domain, str | None, OwnTrust]] = {}

    def build(
        self, identity: WorkloadIdentity, rolled: Mapping[RolloutTarget, Reason | None]
    ) -> IdentityView:
        """The view of an identity, with what came of its rollouts in this look."""
        tools, namespace = self._tools, identity.metadata.namespace
        return IdentityView(
            own=self.own(namespace, identity.spec.trust_domain),
            secrets=self._secrets(identity),
            foreign_secrets=tools.secrets.foreign(namespace),
            rolled=dict(rolled),
            clock_regressed=tools.guard.regressed,
            latest_time=int(tools.guard.latest),
        )

    def own(self, namespace: str, name: str) -> OwnTrust | None:
        """What the trust domain vouches for: read once for all its identities, until something changes."""
        domain = self._tools.views.domain(namespace, name)
        if domain is None:
            return None
        secret = Key(Kind.SECRET, namespace, domain.view.trust_domain.statement_secret_name)
        version = self._tools.cache.resource_version(secret)
        known = self._known.get(secret)
        if known is None or known[0] is not domain or known[1] != version:
            known = self._known[secret] = (domain, version, self._read_own(domain, secret))
        return known[2]

    def _read_own(self, domain: Domain, secret: Key) -> OwnTrust:
        held = self._tools.views.secret(secret.namespace, secret.name)
        ours = held is not None and held.owner_uid == domain.view.trust_domain.metadata.uid
        generations = read_generations(held.data) if held is not None and ours else ()
        authority, problem = domain.authority, _problem(domain)
        if authority is None or problem is not None:
            return OwnTrust(problem, None, tuple(map(_trusted, generations)))
        current = [each for each in generations if each.fingerprint == authority.fingerprint]
        earlier = [each for each in generations if each.fingerprint != authority.fingerprint]
        newest = TrustedAuthority(authority.certificate, current[0].revocations if current else None)
        return OwnTrust(None, authority, (newest, *map(_trusted, earlier)))

    def _secrets(self, identity: WorkloadIdentity) -> dict[str, SecretView]:
        """Those that it owns, those that have the names of its own, and the one that it refers to."""
        cache, namespace = self._tools.cache, identity.metadata.namespace
        names = {
            identity.identity_secret_name,
            identity.chains_secret_name,
            identity.servers_secret_name,
            identity.clients_secret_name,
            identity.spec.key.secret_name,
        }
        owned = cache.find(Index.OWNED, namespace, Kind.WORKLOAD_IDENTITY, identity.metadata.name)
        keys = {Key(Kind.SECRET, namespace, name) for name in names if name is not None} | owned
        found = ((key.name, cache.raw(key)) for key in keys)
        return {name: view_of(raw) for name, raw in found if raw is not None}


def _problem(domain: Domain) -> Reason | None:
    """Why the trust domain's authority may not sign, or None: status first, signature after."""
    if domain.authority is None:
        return Reason.TRUST_DOMAIN_NOT_READY
    published = domain.view.trust_domain.status.certificate_authority
    if published is None or published.fingerprint != domain.authority.fingerprint:
        return Reason.AUTHORITY_PENDING
    return None


def _trusted(generation: Generation) -> TrustedAuthority:
    return TrustedAuthority(generation.certificate, generation.revocations)
