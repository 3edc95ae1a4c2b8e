"""What a partner asks us for over the network: the Introduction that is made of it, and what we answer.

Rules:

- A request becomes an Introduction of the form ``issue`` whose approval is Pending: asking signs nothing.
  Where the policy for the peer approves it, it is made Approved, and says by whom.
- A request is the partner, the key, the name, the services and the validity. The same again is the same
  Introduction; anything else is another one, for a person to decide about anew.
- Services are those of ours that this namespace knows by the alias that is asked for; where they are is for
  us to say. An alias that is not known is left out: whoever approves sees what is offered.
- Only the signing request itself is taken over, as one PEM block. The object's name is made of a peer's
  name of ours, letters and digits of the subject, and the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bilateral.pki.authority import Authority
from bilateral.pki.errors import InvalidService, SubjectRefused
from bilateral.pki.profiles import spki_der, verify_leaf
from bilateral.pki.requests import normalise_request
from bilateral.pki.services import Service, parse_alias
from bilateral.pki.slugs import build_short_name
from bilateral.pki.subjects import Candidate
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.introduction_request import (
    Answered,
    Granted,
    IntroductionRequest,
    RequestState,
    Waiting,
)
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_status import APPROVED, ISSUED
from bilateral.reconcile.introduction_terms import is_by_policy
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.labels import (
    APPROVED_BY_LABEL,
    APPROVED_BY_POLICY,
    ORIGIN_LABEL,
    ORIGIN_ONLINE,
    REQUEST_LABEL,
    REQUESTER_LABEL,
)

MAX_PENDING: Final = 64
"""How many requests of one partner may wait for a decision."""

_PEER_LENGTH: Final = 100
_ID_IN_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be put before a person; ``id`` names it."""

    id: str
    csr: str
    candidate: Candidate
    aliases: tuple[str, ...]
    validity_seconds: int


def read_request(request: IntroductionRequest, peer_uid: str, authority: Authority) -> Asked:
    """Check what a partner asks for before anybody is bothered with it.

    Raises SubjectRefused for what ``authority`` would never sign, MalformedDocument for an alias that no
    service can have.
    """
    csr, candidate = normalise_request(request.csr)
    verify_leaf(authority.certificate, candidate.name, candidate.public_key, SubjectRefused)
    try:
        aliases = tuple(parse_alias(alias) for alias in request.services)
    except InvalidService:
        raise MalformedDocument("services") from None
    parts = (
        peer_uid,
        spki_der(candidate.public_key).hex(),
        candidate.name.public_bytes().hex(),
        sorted(aliases),
        request.validity_seconds,
    )
    # Not the request itself: a signature by ECDSA is another one each time.
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Asked(digest[:32], csr, candidate, aliases, request.validity_seconds)


def build_requested(
    asked: Asked, peer: FederationPeer, services: Sequence[Service], *, by_policy: bool = False
) -> Introduction:
    """The Introduction to be created for a request; ``services`` are those of ours among its aliases.

    ``by_policy``: the policy for the peer approves it.
    """
    marks = {APPROVED_BY_LABEL: APPROVED_BY_POLICY} if by_policy else {}
    approval = {"approval": Approval.APPROVED.value} if by_policy else {}
    start = peer.metadata.name[:_PEER_LENGTH].rstrip("-.")
    return Introduction.parse(
        {
            "metadata": {
                "name": f"{start}-{build_short_name(asked.candidate.name)}-{asked.id[:_ID_IN_NAME]}",
                "namespace": peer.metadata.namespace,
                "labels": {
                    ORIGIN_LABEL: ORIGIN_ONLINE,
                    REQUEST_LABEL: asked.id,
                    REQUESTER_LABEL: peer.metadata.uid,
                    **marks,
                },
            },
            "spec": {
                "issue": {
                    "trustDomain": peer.spec.trust_domain,
                    "peer": peer.metadata.name,
                    "subject": asked.csr,
                    "services": [{"alias": each.alias, "url": each.url} for each in services],
                    "validitySeconds": asked.validity_seconds,
                    **approval,
                }
            },
        }
    )


def answer_request(request_id: str, resource: Introduction, now: int) -> Answered | Reason:
    """What the partner is told of a request of theirs; a reason is a refusal."""
    issue = resource.spec.issue
    if issue is None or issue.approval is Approval.DENIED:
        return Reason.DENIED
    status = resource.status
    issued, approved = status.condition(ISSUED), status.condition(APPROVED)
    refused = issued is not None and issued.reason == Reason.SUBJECT_REFUSED
    if issue.approval is Approval.PENDING:
        return Reason.SUBJECT_REFUSED if refused else Waiting(request_id, RequestState.PENDING)
    if status.introduction is not None and status.not_after is not None and now <= status.not_after:
        return Granted(request_id, status.introduction)
    if refused:
        return Reason.SUBJECT_REFUSED
    lapsed = approved is not None and approved.reason == Reason.AWAITING_APPROVAL
    waits = is_by_policy(resource) and lapsed
    return Waiting(request_id, RequestState.PENDING if waits else RequestState.APPROVED)
