"""Looks at what a TrustDomain's authorities signed: withdraws what is nobody's, and tells partners.

The record is compared with the objects that there are, not with what events said: what was deleted
while no operator ran is withdrawn at the first look. Rules:

- What a WorkloadIdentity, an Introduction or a TrustDomain was given is withdrawn when that object is
  gone; an Introduction's also when a person denied it, or its partner is suspended or gone.
- The record is written first, the lists and the statement follow from it.
- What was found out about an Introduction is remembered by version, and looks are half a second
  apart: ten thousand objects are compared at each.
"""

from __future__ import annotations

from dataclasses import dataclass

from bilateral.engine.cache import Index, Key, Kind
from bilateral.engine.log import Log
from bilateral.engine.lookers.tools import Tools
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.authorities import (
    AuthoritiesOutcome,
    AuthoritiesView,
    listed_serials,
    read_generations,
    reconcile_authorities,
)
from bilateral.reconcile.issued import Owner
from bilateral.resources.federationpeer import PeerState
from bilateral.resources.trustdomain import TrustDomain

RETRY_SECONDS = 5.0
PAUSE_SECONDS = 0.5
_DENIED = "Denied"

log = Log("authorities")


@dataclass(frozen=True, slots=True)
class _Introduced:
    """What of an Introduction decides whether its certificate still counts."""

    version: str
    denied: bool
    domain: str
    peer: str | None


class AuthoritiesLooker:
    """Looks at the authorities of TrustDomains."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._introduced: dict[Key, _Introduced] = {}
        self._told: dict[Key, tuple[object, ...]] = {}
        self._looked_at: dict[Key, float] = {}

    async def look(self, key: Key) -> None:
        """Look at the authorities of one TrustDomain."""
        tools = self._tools
        domain = tools.parse(TrustDomain, key.namespace, key.name)
        if domain is None or self._is_too_soon(key):
            return
        now = tools.now()
        listed = listed_serials(read_generations(self._held(domain)))
        partners: dict[str, str | None] = {}
        tidied = tools.guard.regressed or await tools.issued.tidy(
            domain, lambda owner: self._is_owned(key.namespace, owner, partners), listed, now
        )
        outcome = reconcile_authorities(self._view(domain), now)
        self._tell(key, outcome)
        if not tools.holds():
            return
        written = outcome.output is None or await tools.secrets.write(domain, outcome.output)
        await self._ask_whether_free(key, domain)
        if outcome.next_at is not None:
            tools.schedule(key, outcome.next_at)
        if not (tidied and written):
            tools.look_after(key, RETRY_SECONDS)

    async def _ask_whether_free(self, key: Key, domain: TrustDomain) -> None:
        """Foreign Secrets are not watched: that the name of the record is free again is found out by asking."""
        secrets, name = self._tools.secrets, domain.issued_secret_name
        if name in secrets.foreign(key.namespace):
            await secrets.look_again(domain, name)
        if secrets.taken(key.namespace) & {name, domain.statement_secret_name}:
            self._tools.look_after(key, RETRY_SECONDS)

    def _is_too_soon(self, key: Key) -> bool:
        now = self._tools.clock.monotonic()
        pause = self._looked_at.get(key, now - PAUSE_SECONDS) + PAUSE_SECONDS - now
        if pause > 0:
            self._tools.look_after(key, pause)
            return True
        self._looked_at[key] = now
        return False

    def _view(self, domain: TrustDomain) -> AuthoritiesView:
        tools = self._tools
        namespace = domain.metadata.namespace
        held = self._held(domain)
        names = {each.secret_name for each in read_generations(held)}
        owned = tools.cache.find(Index.OWNED, namespace, Kind.TRUST_DOMAIN.value, domain.metadata.name)
        large = (domain.issued_secret_name, domain.peers_secret_name)
        names |= {each.name for each in owned if not each.name.startswith(large)}
        found = {name: tools.views.secret(namespace, name) for name in names}
        speaks = tools.views.domain(namespace, domain.metadata.name)
        return AuthoritiesView(
            trust_domain=domain,
            authority=None if speaks is None else speaks.authority,
            signing_key=None if speaks is None else speaks.signing_key,
            clock_regressed=tools.guard.regressed,
            held=held,
            secrets={name: secret for name, secret in found.items() if secret is not None},
            entries=tools.issued.entries(domain),
        )

    def _held(self, domain: TrustDomain) -> dict[str, bytes]:
        secret = self._tools.views.secret(domain.metadata.namespace, domain.statement_secret_name)
        ours = secret is not None and secret.owner_uid == domain.metadata.uid
        return dict(secret.data) if secret is not None and ours else {}

    def _is_owned(self, namespace: str, owner: Owner, partners: dict[str, str | None]) -> bool:
        """Whether the object for which something was signed is there and entitled to it."""
        kind = _KINDS.get(owner.kind)
        if kind is None:
            return True  # a kind that this version does not know is for another one to judge
        key = Key(kind, namespace, owner.name)
        if self._tools.cache.uid(key) != owner.uid:
            self._introduced.pop(key, None)
            return False
        return kind is not Kind.INTRODUCTION or self._is_entitled(key, partners)

    def _is_entitled(self, key: Key, partners: dict[str, str | None]) -> bool:
        """Whether nobody denied an Introduction, and its partner counts; ``partners``: their domains, by name."""
        cache = self._tools.cache
        version = cache.resource_version(key) or ""
        known = self._introduced.get(key)
        if known is None or known.version != version:
            issue = ((cache.raw(key) or {}).get("spec") or {}).get("issue") or {}
            denied = issue.get("approval") == _DENIED
            known = _Introduced(version, denied, str(issue.get("trustDomain", "")), issue.get("peer"))
            self._introduced[key] = known
        if known.denied:
            return False
        if known.peer is None:
            return True
        if known.peer not in partners:
            spec = (cache.raw(Key(Kind.FEDERATION_PEER, key.namespace, known.peer)) or {}).get("spec") or {}
            active = spec.get("state") != PeerState.SUSPENDED
            partners[known.peer] = spec.get("trustDomain") if active else None
        # Another trust domain's partner of that name is nobody here.
        return partners[known.peer] == known.domain

    def _tell(self, key: Key, outcome: AuthoritiesOutcome) -> None:
        """Log what only a person can change, once."""
        found = (outcome.listless, outcome.too_large)
        if self._told.get(key, ((), False)) == found:
            return
        self._told[key] = found
        for slug in outcome.listless:
            log.warning(
                "an earlier authority can sign no list: its Secret is gone",
                namespace=key.namespace,
                name=key.name,
                authority=slug,
                reason=Reason.SECRET_NOT_FOUND.value,
            )
        if outcome.too_large:
            log.warning(
                "what was withdrawn does not fit a statement: replace the authority",
                namespace=key.namespace,
                name=key.name,
                reason=Reason.DOCUMENT_TOO_LARGE.value,
            )


_KINDS = {
    "TrustDomain": Kind.TRUST_DOMAIN,
    "WorkloadIdentity": Kind.WORKLOAD_IDENTITY,
    "Introduction": Kind.INTRODUCTION,
}
