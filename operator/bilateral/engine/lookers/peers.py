"""Looks at FederationPeers: asks the partner when it is time, and hands the result to the peer lists."""

from __future__ import annotations

import hashlib

from bilateral.engine.cache import Key
from bilateral.engine.handshakes import Initiator
from bilateral.engine.lists import PeerLists
from bilateral.engine.lookers.newcomers import Newcomers
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.queue import Lane
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.handshake import parse_envelope
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import Direction, Failed, PeerOutcome, Received, reconcile_peer
from bilateral.reconcile.peer_conditions import build_status, ready_reason
from bilateral.reconcile.peer_lists import build_line
from bilateral.reconcile.peer_status import Standing
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import ENVELOPE_ANNOTATION


class FederationPeerLooker:
    """Looks at FederationPeers."""

    def __init__(self, tools: Tools, lists: PeerLists, initiator: Initiator) -> None:
        self._tools = tools
        self._lists = lists
        self._initiator = initiator
        self._asking: dict[Key, int] = {}  # when a statement is to be asked for by itself (Unix seconds)
        self._newcomers = Newcomers(tools)

    def accepted(self, key: Key, peer: FederationPeer, outcome: PeerOutcome) -> None:
        """A partner's envelope was accepted and written at our endpoint: plan from there."""
        if self._tools.holds():
            self._settle(key, peer, outcome)

    async def look(self, key: Key) -> None:
        """Look at a FederationPeer."""
        tools = self._tools
        raw = tools.raw(key)
        if raw is None:
            self._asking.pop(key, None)
            self._lists.drop(key)
            tools.metrics.peer_is(key, None)
            return
        try:
            peer = FederationPeer.parse(raw)
        except InvalidResource as error:
            self._lists.drop(key)
            tools.metrics.peer_is(key, error.reason.value)
            await tools.write_invalid(key, raw, FederationPeer, error)
            return
        if self._newcomers.wait(key, peer):
            return
        offered = _offered(peer)
        before = (peer.metadata.generation, peer.metadata.reconcile_now)
        outcome = self._judge(key, peer, offered)
        if offered is None and (outcome.handshake_due or outcome.statement_due):
            happened = await (
                self._initiator.perform(peer)
                if outcome.handshake_due
                else self._initiator.ask_statement(peer)
            )
            raw = tools.cache.raw(key)
            if raw is None:
                return
            # What was proven is judged against the object as it is after the wait.
            peer = FederationPeer.parse(raw)
            if (peer.metadata.generation, peer.metadata.reconcile_now) != before:
                # What a person edited or asked for meanwhile is not served by a question that began before it.
                tools.queue.add(key)
                return
            outcome = self._judge(key, peer, happened)
        if not tools.holds():
            return
        domain = tools.views.domain(key.namespace, peer.spec.trust_domain)
        seal_key = None if domain is None else domain.view.seal_key
        await tools.write_status(key, raw, build_status(peer, outcome.findings, seal_key).to_wire())
        self._remember_asking(key, outcome)
        self._settle(key, peer, outcome)
        data = outcome.findings.authorities.data
        if data is not None:  # after the status told of it
            await tools.secrets.write(peer, WrittenSecret(peer.authorities_secret_name, data))

    def _judge(
        self, key: Key, peer: FederationPeer, happened: Received | Failed | Fetched | None
    ) -> PeerOutcome:
        view = self._tools.views.peer(peer, happened, asking_planned=self._asking.get(key))
        return reconcile_peer(peer, view, self._tools.now())

    def _remember_asking(self, key: Key, outcome: PeerOutcome) -> None:
        ask_at = outcome.findings.authorities.ask_at
        if ask_at is None:
            self._asking.pop(key, None)
        else:
            self._asking[key] = ask_at

    def _settle(self, key: Key, peer: FederationPeer, outcome: PeerOutcome) -> None:
        """Hand the result to the peer lists, and plan the next look."""
        found = outcome.findings
        if found.blocked is Reason.KERNEL_ID_CONFLICT:
            self._lists.drop(key)  # one line a kernel id: that of the one who keeps it
        else:
            self._lists.put(key, peer.spec.trust_domain, build_line(peer, found))
        self._tools.metrics.peer_is(key, ready_reason(peer, found).value)
        # Whoever judged at the endpoint does not know when the statement is to be asked for again.
        planned = [at for at in (outcome.next_at, self._asking.get(key)) if at is not None]
        if planned:
            urgent = found.standing is not Standing.FRESH and found.failures == 0
            self._tools.schedule(key, min(planned), Lane.FAST if urgent else Lane.SLOW)


def _offered(peer: FederationPeer) -> Received | Failed | None:
    """The envelope that somebody handed over as an annotation, unless it was judged already."""
    text = peer.metadata.annotations.get(ENVELOPE_ANNOTATION)
    if text is None:
        return None
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    judged = peer.status.offered_envelope
    if judged is not None and judged.digest == digest:
        return None
    try:
        return Received(parse_envelope(data), Direction.FILE, digest)
    except ProtocolError as error:
        return Failed(error.reason, digest=digest)
