"""Handshakes: ours with partners, and theirs with us.

Both end in the same place, :func:`~bilateral.reconcile.peer.reconcile_peer`, which alone accepts an
envelope. Here the envelope is fetched or answered, and the status that follows is written before
anybody is told that it was accepted.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn

from bilateral.engine.api import APIError
from bilateral.engine.cache import Cache, Index, Key
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import Decided, StatusWriter
from bilateral.engine.turns import Turns
from bilateral.engine.views import Domain, Views
from bilateral.exchange.bearer import verify_token
from bilateral.exchange.client import CertificateAuthority, Fingerprint, Outbound, Target, WebPKI
from bilateral.exchange.errors import OutboundError, Refusal
from bilateral.exchange.verifiers import Verifier
from bilateral.protocol.errors import MissingTrustAnchor, ProtocolError, UnsupportedSchema
from bilateral.protocol.handshake import Envelope, Terms, accept_envelope, build_envelope, parse_envelope
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import Direction, Failed, NotReady, PeerOutcome, Received, reconcile_peer
from bilateral.reconcile.peer_conditions import build_status
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import AuthoritiesMode, FederationPeer
from bilateral.resources.trustdomain import DEFAULT_SKEW_SECONDS
from bilateral.resources.verifiers import Verifier as VerifierSpec

MAX_DECISIONS = 5
"""How often an envelope is judged anew because somebody else wrote the peer meanwhile."""
PEER_BURST = 6
PEER_REFILL_SECONDS = 10.0
"""A partner may renew this often in a row, and once in this many seconds from then on (R-D2)."""
RETRY_AFTER_SECONDS = 5
MAX_PARTNERS_REMEMBERED = 16384

_NOBODY = PublicKey(bytes(32))
"""Stands for our key where none of our trust domains was addressed: such an envelope is refused before it counts."""

log = Log("handshakes")


def build_own_envelope(domain: Domain, remote_kernel_id: str, now: int) -> Envelope:
    """Our envelope for a partner: a random nonce, the time, and the published key's signature.

    Raises NotReady while the trust domain must not sign.
    """
    if domain.signing_key is None:
        raise NotReady
    return build_envelope(
        local_kernel_id=domain.view.trust_domain.spec.kernel_id,
        remote_kernel_id=remote_kernel_id,
        nonce=str(uuid.uuid4()),
        timestamp=now,
        key=domain.signing_key,
    )


class Initiator:
    """Asks partners."""

    def __init__(self, outbound: Outbound, views: Views, guard: ClockGuard, metrics: Metrics) -> None:
        self._outbound = outbound
        self._views = views
        self._guard = guard
        self._metrics = metrics

    async def perform(self, peer: FederationPeer) -> Received | Failed:
        """Send our envelope to a partner; what comes back is still to be judged."""
        happened = await self._ask(peer)
        ended = happened.reason.value if isinstance(happened, Failed) else "Answered"
        self._metrics.outbound.labels(ended).inc()
        return happened

    async def ask_statement(self, peer: FederationPeer) -> Fetched:
        """Ask a partner for its authority statement; what comes back is still to be judged."""
        try:
            target = self.build_target(peer)
            return _fetched(await self._outbound.get_statement(target, peer.spec.kernel_id))
        except OutboundError as error:
            return _fetched(error)

    async def _ask(self, peer: FederationPeer) -> Received | Failed:
        domain = self._views.domain(peer.metadata.namespace, peer.spec.trust_domain)
        if domain is None or peer.spec.endpoint is None:
            return Failed(Reason.TRUST_DOMAIN_NOT_READY)
        try:
            envelope = build_own_envelope(domain, peer.spec.kernel_id, self._guard.now())
            target, document = self.build_target(peer), envelope.to_json()
            if peer.spec.certificate_authorities.mode is AuthoritiesMode.PINNED:
                answer = await self._outbound.post_handshake(target, document)
                return Received(parse_envelope(answer), Direction.ANSWER)
            answer, statement = await self._outbound.post_handshake_and_get_statement(
                target, document, peer.spec.kernel_id
            )
            return Received(parse_envelope(answer), Direction.ANSWER, statement=_fetched(statement))
        except OutboundError as error:
            return Failed(error.reason, error.skew_seconds, error.retry_after or 0)
        except NotReady:
            return Failed(Reason.TRUST_DOMAIN_NOT_READY)
        except UnsupportedSchema as error:
            return Failed(error.reason)
        except ProtocolError:
            return Failed(Reason.ANSWER_INVALID)

    @property
    def outbound(self) -> Outbound:
        """The client with which partners are asked."""
        return self._outbound

    def build_target(self, peer: FederationPeer) -> Target:
        """Where a partner is asked, how it is known, and what it is shown. Raises OutboundError."""
        endpoint = peer.spec.endpoint
        if endpoint is None:
            raise OutboundError(Reason.INVALID_SPEC)
        token = self._views.bearer_token(peer)
        if endpoint.bearer_token_secret_ref is not None and token is None:
            raise OutboundError(Reason.SECRET_NOT_FOUND)
        return Target(endpoint.url, build_verifier(endpoint.verifier, peer), token)


def build_verifier(verifier: VerifierSpec, peer: FederationPeer) -> Verifier:
    """How a server of a partner's is known, as a spec says it."""
    if verifier.web_pki is not None:
        return WebPKI(_pem(verifier.web_pki.ca_bundle))
    if verifier.certificate_authority is not None:
        return CertificateAuthority(verifier.certificate_authority.pem.encode())
    return Fingerprint(peer.certificate_fingerprints)


def _fetched(answer: bytes | OutboundError) -> Fetched:
    if isinstance(answer, bytes):
        return Fetched(answer)
    return Fetched(reason=answer.reason, retry_after_seconds=answer.retry_after or 0)


def _pem(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


class Responder:
    """Answers partners: the handler of the federation endpoint, on every replica."""

    def __init__(
        self,
        cache: Cache,
        views: Views,
        writer: StatusWriter,
        guard: ClockGuard,
        clock: Clock,
        on_accepted: Callable[[Key, FederationPeer, PeerOutcome], None],
    ) -> None:
        self._cache = cache
        self._views = views
        self._writer = writer
        self._guard = guard
        self._clock = clock
        self._on_accepted = on_accepted
        self._turns = Turns()
        self._budgets: OrderedDict[Key, tuple[float, float]] = OrderedDict()
        self.ready = False

    async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
        """Judge a partner's envelope; answer with ours when the pin that follows is written.

        Raises ProtocolError or Refusal.
        """
        if not self.ready:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        challenge = envelope.challenge
        found = self._views.domain_by_kernel_id(challenge.remote_kernel_id)
        if found is None:
            self._refuse_stranger(envelope, None)
        domain_key, domain = found
        if domain.signing_key is None:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        own = domain.view.trust_domain
        peers = self._cache.find(
            Index.PEER_BY_KERNEL_ID, domain_key.namespace, own.metadata.name, challenge.local_kernel_id
        )
        key = next((key for key in peers if self._cache.is_first(key, peers)), None)
        if key is None:
            self._refuse_stranger(envelope, domain)
        async with self._turns.take(key):
            await self._accept(key, envelope, bearer)
        return build_own_envelope(domain, challenge.local_kernel_id, self._guard.now())

    async def _accept(self, key: Key, envelope: Envelope, bearer: str | None) -> None:
        """Judge, and write the pin; decide again when somebody else wrote the peer meanwhile."""
        paid = False
        for _ in range(MAX_DECISIONS):
            raw = self._cache.raw(key)
            try:
                peer = None if raw is None else FederationPeer.parse(raw)
            except InvalidResource:
                peer = None
            if raw is None or peer is None:
                raise MissingTrustAnchor(envelope.challenge.local_kernel_id)
            view = self._views.peer(peer, Received(envelope, Direction.INBOUND))
            outcome = reconcile_peer(peer, view, self._guard.now())
            if isinstance(outcome.refusal, NotReady):
                raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
            if outcome.refusal is not None:
                raise outcome.refusal
            expected = peer.spec.auth_token_hash
            if expected is not None and not (bearer is not None and verify_token(bearer, expected)):
                raise Refusal(Reason.UNAUTHORIZED_BEARER, verified=True)
            if not paid:
                self._spend(key)
                paid = True
            seal_key = None if view.domain is None else view.domain.seal_key
            status = build_status(peer, outcome.findings, seal_key)
            # A person who asks for a look means one of ours; theirs serves nobody.
            status = status.model_copy(update={"reconciled_now": peer.status.reconciled_now})
            try:
                await self._writer.write(key, raw, status.to_wire())
            except Decided:
                continue
            except APIError as error:
                log.warning(
                    "a pin could not be written", namespace=key.namespace, name=key.name, status=error.status
                )
                break
            self._on_accepted(key, peer, outcome)
            return
        raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS, verified=True)

    def _spend(self, key: Key) -> None:
        """Take one renewal from a partner's budget, which refills with time."""
        now = self._clock.monotonic()
        tokens, at = self._budgets.pop(key, (float(PEER_BURST), now))
        tokens = min(float(PEER_BURST), tokens + (now - at) / PEER_REFILL_SECONDS)
        spent = tokens >= 1.0
        self._budgets[key] = (tokens - 1.0 if spent else tokens, now)
        if len(self._budgets) > MAX_PARTNERS_REMEMBERED:
            self._budgets.popitem(last=False)
        if not spent:
            wait = max(1, round((1.0 - tokens) * PEER_REFILL_SECONDS))
            raise Refusal(Reason.TOO_MANY_REQUESTS, retry_after=wait, verified=True)

    def _refuse_stranger(self, envelope: Envelope, own: Domain | None) -> NoReturn:
        """Refuse in the contract's order somebody whom no FederationPeer names."""
        terms = Terms(
            local_kernel_id="" if own is None else own.view.trust_domain.spec.kernel_id,
            local_public_key=_NOBODY if own is None or own.view.public_key is None else own.view.public_key,
            remote_kernel_id=envelope.challenge.local_kernel_id,
            anchors=(),
            rotation_window_seconds=0,
            max_clock_skew_seconds=DEFAULT_SKEW_SECONDS
            if own is None
            else own.view.trust_domain.spec.handshake.max_clock_skew_seconds,
        )
        accept_envelope(envelope, terms, None, self._guard.now())
        raise MissingTrustAnchor(envelope.challenge.local_kernel_id)
