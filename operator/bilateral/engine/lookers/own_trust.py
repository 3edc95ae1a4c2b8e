"""What a trust domain vouches for: its authority while it may sign, and every generation that counts as ours."""

from __future__ import annotations

from bilateral.engine.cache import Key, Kind
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.views import Domain
from bilateral.pki.directory import TrustedAuthority
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.authorities import Generation, read_generations
from bilateral.reconcile.identity_view import OwnTrust


class OwnTrusts:
    """Reads a trust domain once for all that it signs, until something about it changes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._known: dict[Key, tuple[Domain, str | None, OwnTrust]] = {}

    def find(self, namespace: str, name: str) -> OwnTrust | None:
        """What the TrustDomain of that name vouches for now; None: there is none."""
        domain = self._tools.views.domain(namespace, name)
        if domain is None:
            return None
        secret = Key(Kind.SECRET, namespace, domain.view.trust_domain.statement_secret_name)
        version = self._tools.cache.resource_version(secret)
        known = self._known.get(secret)
        if known is None or known[0] is not domain or known[1] != version:
            known = self._known[secret] = (domain, version, self._read(domain, secret))
        return known[2]

    def _read(self, domain: Domain, secret: Key) -> OwnTrust:
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
