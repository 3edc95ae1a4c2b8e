"""Requests of partners for introductions, answered at the federation endpoint of every replica.

Rules:

- Heard is a fresh partner of the trust domain that is addressed: its pinned key signed the request, in
  date, and its bearer token is right where one is demanded. What anybody else hears is what a handshake
  would tell them.
- A request creates one Introduction and nothing else: with approval Pending, or Approved where the policy for
  the peer says so. A copy of it, here or at another replica, finds the same one.
- Who asked for what a policy approved is answered as soon as it is signed, if that is within seconds.
- At most 64 requests of a partner wait for a decision.
- Nothing that a partner wrote is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from bilateral.engine.api import AlreadyExists, APIError, Forbidden, Invalid, KubernetesAPI, Object, path_of
from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.clock import ClockGuard
from bilateral.engine.introduction_terms import find_terms
from bilateral.engine.log import Log
from bilateral.engine.policies import Policies
from bilateral.engine.turns import Turns
from bilateral.engine.views import Domain, Views
from bilateral.exchange.bearer import verify_token
from bilateral.exchange.errors import Refusal
from bilateral.pki.errors import SubjectRefused
from bilateral.pki.services import Service
from bilateral.protocol.errors import AddressMismatch, MissingTrustAnchor
from bilateral.protocol.introduction_request import (
    Answered,
    Claims,
    Granted,
    IntroductionRequest,
    StatusRequest,
    verify_caller,
)
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_terms import decide_request
from bilateral.reconcile.peer import reconcile_peer
from bilateral.reconcile.peer_status import Standing
from bilateral.reconcile.requested_introductions import (
    MAX_PENDING,
    Asked,
    answer_request,
    build_requested,
    read_request,
)
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.labels import API_VERSION, FIELD_MANAGER, GROUP, VERSION
from bilateral.resources.meta import Resource
from bilateral.resources.trustedservice import TrustedService

_R = TypeVar("_R", bound=Resource)

RETRY_AFTER_SECONDS = 5
RETRY_WHEN_FULL_SECONDS = 300
SIGNING_SECONDS = 3.0
"""How long who asked waits for a signature: less than a caller's patience, and than the endpoint's."""
POLL_SECONDS = 0.05

log = Log("introductions")


@dataclass(frozen=True, slots=True)
class _Caller:
    """A fresh partner that proved itself."""

    key: Key
    peer: FederationPeer
    domain: Domain


class IntroductionDesk:
    """Takes requests of partners, and says how they stand."""

    def __init__(
        self,
        api: KubernetesAPI,
        cache: Cache,
        views: Views,
        policies: Policies,
        guard: ClockGuard,
        take_in: Callable[[Kind, str | None, Object], None],
    ) -> None:
        self._api = api
        self._cache = cache
        self._views = views
        self._policies = policies
        self._guard = guard
        self._take_in = take_in
        self._turns = Turns()
        self.ready = False

    async def request(self, request: IntroductionRequest, bearer: str | None) -> Answered:
        """Put a request before the people here, or find it, and say how it stands."""
        caller = self._verify(request.claims, request.signer, bearer)
        authority = caller.domain.authority
        if authority is None:
            raise _later()
        uid = caller.peer.metadata.uid
        try:
            asked = read_request(request, uid, authority)
        except SubjectRefused:
            raise Refusal(Reason.SUBJECT_REFUSED, verified=True) from None
        # Of a hundred copies the first creates; the others find it.
        async with self._turns.take(caller.key):
            held = self._find(caller, asked.id)
            waits = False
            if held is None:
                held = await self._create(caller, asked)
                waits = held.spec.issue is not None and held.spec.issue.approval is Approval.APPROVED
        return await self._await_signature(caller, asked.id, held) if waits else self._answer(asked.id, held)

    async def status(self, question: StatusRequest, bearer: str | None) -> Answered:
        """Say how a request stands."""
        caller = self._verify(question.claims, question.signer, bearer)
        held = self._find(caller, question.id)
        if held is None:
            raise Refusal(Reason.UNKNOWN_REQUEST, verified=True)
        return self._answer(question.id, held)

    def _verify(self, claims: Claims, signer: PublicKey, bearer: str | None) -> _Caller:
        """Find the partner that asks; raises what it is to hear otherwise, in the contract's order."""
        if not self.ready:
            raise _later()
        found = self._views.domain_by_kernel_id(claims.addressee)
        if found is None:
            raise AddressMismatch(claims.addressee, "")
        domain_key, domain = found
        own = domain.view.trust_domain
        peers = self._cache.find(
            Index.PEER_BY_KERNEL_ID, domain_key.namespace, own.metadata.name, claims.sender
        )
        key = next((each for each in peers if self._cache.is_first(each, peers)), None)
        peer = None if key is None else self._read(FederationPeer, key)
        if key is None or peer is None:
            raise MissingTrustAnchor(claims.sender)
        now = self._guard.now()
        found_out = reconcile_peer(peer, self._views.peer(peer), now).findings
        proven = found_out.blocked is None and found_out.standing in (Standing.FRESH, Standing.STALE)
        verify_caller(
            claims,
            signer,
            local_kernel_id=own.spec.kernel_id,
            remote_kernel_id=peer.spec.kernel_id,
            max_clock_skew_seconds=peer.max_skew(own),
            pin=found_out.pin if proven else None,
            now=now,
        )
        expected = peer.spec.auth_token_hash
        if expected is not None and not (bearer is not None and verify_token(bearer, expected)):
            raise Refusal(Reason.UNAUTHORIZED_BEARER, verified=True)
        return _Caller(key, peer, domain)

    def _find(self, caller: _Caller, request_id: str) -> Introduction | None:
        """The Introduction that a request of this partner became: the oldest, should there be two."""
        keys = self._cache.find(
            Index.INTRODUCTION_BY_REQUEST, caller.key.namespace, caller.peer.metadata.uid, request_id
        )
        for key in keys:
            if self._cache.is_first(key, keys):
                found = self._read(Introduction, key)
                issue = None if found is None else found.spec.issue
                of = None if issue is None else (issue.peer, issue.trust_domain)
                asked = (caller.peer.metadata.name, caller.peer.spec.trust_domain)
                return found if of == asked else None
        return None

    async def _create(self, caller: _Caller, asked: Asked) -> Introduction:
        namespace, uid = caller.key.namespace, caller.peer.metadata.uid
        decided = decide_request(
            find_terms(self._policies, namespace, caller.key.name),
            asked.candidate.subject,
            asked.validity_seconds,
            approved=len(self._cache.find(Index.APPROVED_BY_POLICY, namespace, uid)),
        )
        if isinstance(decided, Reason):
            raise Refusal(decided, verified=True)
        if decided is Approval.APPROVED:
            try:
                return await self._store(caller, asked, by_policy=True)
            except Forbidden:
                log.warning(
                    "the operator may not approve what the policy approves: a person has to",
                    namespace=namespace,
                    peer=caller.key.name,
                )
        if len(self._cache.find(Index.REQUESTS_PENDING, namespace, uid)) >= MAX_PENDING:
            raise Refusal(Reason.TOO_MANY_PENDING, retry_after=RETRY_WHEN_FULL_SECONDS, verified=True)
        try:
            return await self._store(caller, asked, by_policy=False)
        except Forbidden as error:
            raise _not_kept(namespace, error) from None

    async def _store(self, caller: _Caller, asked: Asked, *, by_policy: bool) -> Introduction:
        """Create it; raises Forbidden, and Refusal for everything else that may be in the way."""
        namespace = caller.key.namespace
        services = self._services(namespace, asked.aliases)
        wanted = build_requested(asked, caller.peer, services, by_policy=by_policy)
        path = path_of(Kind.INTRODUCTION, namespace, group=GROUP, version=VERSION)
        body = {"apiVersion": API_VERSION, **wanted.to_manifest()}
        try:
            stored = await self._api.create(path, body, manager=FIELD_MANAGER)
        except Forbidden:
            raise
        except AlreadyExists:
            raise _later() from None  # another replica was first, or it is on its way out: the watch tells
        except Invalid:
            raise Refusal(Reason.SUBJECT_REFUSED, verified=True) from None
        except APIError as error:
            raise _not_kept(namespace, error) from None
        self._take_in(Kind.INTRODUCTION, None, stored)
        log.info(
            "the policy approves an introduction" if by_policy else "an introduction is asked for",
            namespace=namespace,
            name=wanted.metadata.name,
            peer=caller.key.name,
        )
        return Introduction.parse(stored)

    async def _await_signature(self, caller: _Caller, request_id: str, made: Introduction) -> Answered:
        """Wait a little for whoever signs, which may be another replica; then say how it stands."""
        answer = self._answer(request_id, made)
        with suppress(TimeoutError):
            async with asyncio.timeout(SIGNING_SECONDS):
                while not isinstance(answer, Granted):
                    await asyncio.sleep(POLL_SECONDS)
                    answer = self._answer(request_id, self._find(caller, request_id) or made)
        return answer

    def _services(self, namespace: str, aliases: tuple[str, ...]) -> list[Service]:
        """Those of the aliases that are services of ours here: a partner's are not ours to offer."""
        offered = []
        for alias in aliases:
            keys = self._cache.find(Index.SERVICE_BY_ALIAS, namespace, alias)
            key = next((each for each in keys if self._cache.is_first(each, keys)), None)
            service = None if key is None else self._read(TrustedService, key)
            if service is not None and service.spec.peer is None:
                offered.append(Service(service.alias, service.spec.url))
        return offered

    def _answer(self, request_id: str, held: Introduction) -> Answered:
        answer = answer_request(request_id, held, self._guard.now())
        if isinstance(answer, Reason):
            raise Refusal(answer, verified=True)
        return answer

    def _read(self, kind: type[_R], key: Key) -> _R | None:
        raw = self._cache.raw(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return None
        try:
            return kind.parse(raw)
        except InvalidResource:
            return None


def _not_kept(namespace: str, error: APIError) -> Refusal:
    log.warning("a request for an introduction could not be kept", namespace=namespace, status=error.status)
    return _later()


def _later() -> Refusal:
    return Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS, verified=True)
