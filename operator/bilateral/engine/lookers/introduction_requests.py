"""Looks at Introductions that ask a partner: asks when it is time, and says what became of it.

Rules: asked is only while this replica leads; an answer is judged against the object as it is after the
wait. What is sent is a signing request of the identity's own key, or the one that the owner of a provided
key put beside it; the key itself goes nowhere.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bilateral.engine.cache import Key
from bilateral.engine.handshakes import Initiator
from bilateral.engine.log import Log
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.partners import Partners
from bilateral.engine.views import Domain
from bilateral.exchange.errors import OutboundError
from bilateral.pki.errors import PkiError
from bilateral.pki.requests import build_request, normalise_request
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.introduction_request import (
    Claims,
    Granted,
    Waiting,
    build_introduction_request,
    build_status_request,
    parse_answer_body,
)
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_material import REQUEST, Material, read_material
from bilateral.reconcile.identity_view import IdentityView
from bilateral.reconcile.introduction_request import (
    AskFailed,
    Question,
    RequestView,
    reconcile_request,
)
from bilateral.reconcile.partners import Partner
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.introduction import Introduction, RequestSpec
from bilateral.resources.workloadidentity import WorkloadIdentity

log = Log("introductions")


@dataclass(frozen=True, slots=True)
class _Sides:
    """Who asks whom, as the cache has them now."""

    identity: WorkloadIdentity | None
    material: Material
    provided_request: str | None
    domain: Domain | None
    partner: Partner | None

    @property
    def view(self) -> RequestView:
        """What the decision looks at."""
        return RequestView(
            public_key=self.material.public_key,
            can_ask=self.material.private_key is not None or self.provided_request is not None,
            partner=self.partner,
            speechless=self.domain is None or self.domain.signing_key is None,
        )


class IntroductionRequests:
    """Looks at Introductions of the form ``request``."""

    def __init__(self, tools: Tools, partners: Partners, initiator: Initiator) -> None:
        self._tools = tools
        self._partners = partners
        self._initiator = initiator

    async def look_at_request(self, key: Key, raw: dict[str, Any], resource: Introduction) -> None:
        """Look at one."""
        tools, request = self._tools, resource.spec.request
        if request is None or not tools.holds():
            return
        sides = self._sides(key.namespace, request)
        outcome = reconcile_request(resource, sides.view, tools.now())
        if outcome.ask is not None:
            happened = await self._ask(resource, request, sides, outcome.ask)
            found = await tools.read(Introduction, key)
            if found is None or found[1].metadata.uid != resource.metadata.uid or not tools.holds():
                return
            raw, resource = found
            view = replace(self._sides(key.namespace, request).view, happened=happened)
            outcome = reconcile_request(resource, view, tools.now())
        await tools.write_status(key, raw, outcome.status.to_wire())
        if outcome.next_at is not None:
            tools.schedule(key, outcome.next_at)

    def _sides(self, namespace: str, request: RequestSpec) -> _Sides:
        tools = self._tools
        identity = tools.parse(WorkloadIdentity, namespace, request.identity)
        partner = self._partners.find(namespace, request.peer)
        if identity is None:
            return _Sides(None, Material(), None, None, partner)
        if partner is not None and partner.trust_domain != identity.spec.trust_domain:
            partner = None  # it knows another trust domain of ours, and nothing of this identity's
        names = (identity.identity_secret_name, identity.spec.key.secret_name)
        secrets = {name: tools.views.secret(namespace, name) for name in names if name is not None}
        view = IdentityView(
            own=None, secrets={name: each for name, each in secrets.items() if each is not None}
        )
        material = read_material(identity, view, datetime.fromtimestamp(tools.now(), UTC))
        provided = secrets.get(identity.spec.key.secret_name or "") if identity.has_provided_key else None
        return _Sides(
            identity,
            material,
            None if provided is None else _read_provided_request(provided.data.get(REQUEST, b"")),
            tools.views.domain(namespace, identity.spec.trust_domain),
            partner,
        )

    async def _ask(
        self, resource: Introduction, request: RequestSpec, sides: _Sides, question: Question
    ) -> Waiting | Granted | AskFailed:
        """Send the question; what comes back is still to be judged."""
        peer = self._tools.parse(FederationPeer, resource.metadata.namespace, request.peer)
        domain, identity = sides.domain, sides.identity
        if peer is None or domain is None or identity is None or domain.signing_key is None:
            return AskFailed(Reason.TRUST_DOMAIN_NOT_READY)
        claims = Claims(
            sender=domain.view.trust_domain.spec.kernel_id,
            addressee=peer.spec.kernel_id,
            timestamp=self._tools.now(),
            nonce=str(uuid.uuid4()),
        )
        outbound = self._initiator.outbound
        try:
            target = self._initiator.build_target(peer)
            if question is Question.STATUS and resource.status.request_id is not None:
                body = build_status_request(claims, resource.status.request_id, domain.signing_key)
                answer = await outbound.post_introduction_status(target, body)
            else:
                body = build_introduction_request(
                    claims,
                    csr=_build_csr(identity, sides),
                    services=request.services,
                    validity_seconds=request.validity_seconds,
                    key=domain.signing_key,
                )
                answer = await outbound.post_introduction_request(target, body)
            return parse_answer_body(answer)
        except OutboundError as error:
            return AskFailed(error.reason, error.retry_after or 0)
        except PkiError as error:
            return AskFailed(error.reason)
        except ProtocolError:
            return AskFailed(Reason.ANSWER_INVALID)


def _build_csr(identity: WorkloadIdentity, sides: _Sides) -> str:
    if sides.provided_request is not None:
        return sides.provided_request
    if sides.material.private_key is None:
        raise RuntimeError("an identity without a key was to ask")
    return build_request(identity.spec.subject.to_subject(), sides.material.private_key)


def _read_provided_request(pem: bytes) -> str | None:
    try:
        return normalise_request(pem.decode("ascii"))[0]
    except (PkiError, UnicodeDecodeError):
        return None
