"""What ``bilateral status`` says of identities, services and introductions.

The rules are those of :mod:`bilateral.cli.overview`. Each stands below what it follows from: an identity below
its trust domain, a service and an introduction below their partner; an introduction by an authority whose
fingerprint a person gave, below its identity. Sentences are made of facts where the object has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.overview import (
    Line,
    Verdict,
    invalid,
    judge,
    remark_on,
    time_or_null,
)
from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import parse_introduction
from bilateral.pki.pem import verify_key_strength
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.verifiers import Transport
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.introduction import AcceptSpec, Introduction
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity

_ENDED = "its end is past and the operator has not said so: it is probably not running"
_NAME = "NAME"
_STEPS = {
    (
        "identity",
        Reason.SUBJECT_REFUSED,
    ): "Yours: create it with another subject (not the authority's own), or "
    "correct the request or certificate in the Secret of spec.key.",
    ("issue", Reason.AWAITING_APPROVAL): f"Yours: bilateral approve {_NAME}, or bilateral deny {_NAME}.",
    ("issue", Reason.DENIED): f"Yours, when it should be signed after all: bilateral approve {_NAME}.",
    (
        "issue",
        Reason.INTRODUCTION_EXPIRED,
    ): "Yours: delete it; if it should go on, introduce again (bilateral introduce).",
    ("request", Reason.DENIED): "Theirs: approve it after all, we ask every hour. Yours, if they will not: "
    "delete it.",
    (
        "request",
        Reason.SUBJECT_REFUSED,
    ): "Yours: ask with an identity that has another subject or another kind "
    "of key; their authority does not sign this one.",
}
"""Next steps that depend on the form of the object."""
_STEP = "Yours: start the operator. Until then do not count on it."


def describe_identity(obj: Object, now: int) -> Line:
    """Describe a WorkloadIdentity object at ``now``."""
    try:
        identity = WorkloadIdentity.parse(obj)
    except InvalidResource as error:
        return invalid(WorkloadIdentity, obj, error)
    status = identity.status
    verdict = judge(identity)
    if verdict.is_good and (status.not_after is None or now > status.not_after):
        verdict = _overdue(Reason.IDENTITY_PENDING)
    return Line(
        kind=WorkloadIdentity.SINGULAR,
        namespace=identity.metadata.namespace,
        name=identity.metadata.name,
        parent=f"{TrustDomain.SINGULAR}/{identity.spec.trust_domain}",
        verdict=_tell_step("identity", identity.metadata.name, verdict),
        who=status.subject or "-",
        trust_domain=identity.spec.trust_domain,
        until=status.not_after,
        facts={
            "subject": status.subject,
            "publicKeyFingerprint": status.public_key_fingerprint,
            "renewalTime": time_or_null(status.renewal_time),
            "boundServices": status.bound_services,
            "chains": [
                {
                    "authority": chain.authority,
                    "until": time_or_null(chain.not_after),
                    "introduction": chain.introduction,
                }
                for chain in status.chains
            ],
        },
        remarks=remark_on(identity, verdict, ("IdentityIssued", "OutputsWritten")),
    )


def describe_service(obj: Object, now: int) -> Line:  # noqa: ARG001 - the same signature for every kind
    """Describe a TrustedService object."""
    try:
        service = TrustedService.parse(obj)
    except InvalidResource as error:
        return invalid(TrustedService, obj, error)
    spec, status = service.spec, service.status
    verdict = _explain_service(service, judge(service))
    return Line(
        kind=TrustedService.SINGULAR,
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        parent=None if spec.peer is None else f"{FederationPeer.SINGULAR}/{spec.peer}",
        verdict=verdict,
        who=spec.url,
        follows=True,
        facts={
            "alias": service.alias,
            "url": spec.url,
            "peer": spec.peer,
            "verifier": None if status.verifier is None else status.verifier.value,
            "boundSecrets": status.bound_secrets,
        },
        remarks=remark_on(service, verdict, ("ChainAvailable",)) if verdict.is_good else (),
    )


def describe_introduction(obj: Object, now: int, keys: Mapping[tuple[str, str], str]) -> Line:
    """Describe an Introduction object at ``now``; ``keys`` are identities' key fingerprints, by namespace and name."""
    try:
        introduction = Introduction.parse(obj)
    except InvalidResource as error:
        return invalid(Introduction, obj, error)
    spec, status = introduction.spec, introduction.status
    issue, accept, ours = spec.issue, spec.accept, spec.ours
    form = "issue" if issue is not None else "accept" if accept is not None else "request"
    peer = issue.peer if issue is not None else ours.peer if ours is not None else None
    identity = None if ours is None else ours.identity
    verdict = judge(introduction)
    if verdict.is_good and (status.not_after is None or now > status.not_after):
        verdict = _overdue(Reason.INTRODUCTION_EXPIRED)
    namespace = introduction.metadata.namespace
    if accept is not None and verdict.reason == Reason.IDENTITY_KEY_MISMATCH:
        verdict = _explain_mismatch(accept, keys.get((namespace, accept.identity)), verdict)
    if verdict.reason == Reason.AWAITING_APPROVAL:
        verdict = replace(verdict, sentence=advise(Reason.AWAITING_APPROVAL).meaning)
    return Line(
        kind=Introduction.SINGULAR,
        namespace=namespace,
        name=introduction.metadata.name,
        parent=_parent(peer, identity, None if issue is None else issue.trust_domain),
        verdict=_tell_step(form, introduction.metadata.name, verdict),
        who=status.subject or (f"for {identity}" if identity is not None else "-"),
        trust_domain=None if issue is None else issue.trust_domain,
        until=status.not_after,
        follows=ours is not None and ours.peer is not None,
        facts={
            "form": form,
            "subject": status.subject,
            "peer": peer,
            "identity": identity,
            "approval": None if issue is None else issue.approval.value,
            "authority": status.authority,
            "renewalTime": time_or_null(status.renewal_time),
            "nextRequestTime": time_or_null(status.next_request_time),
            "consecutiveFailures": status.consecutive_failures,
        },
    )


def _parent(peer: str | None, identity: str | None, domain: str | None) -> str:
    if peer is not None:
        return f"{FederationPeer.SINGULAR}/{peer}"
    if identity is not None:
        return f"{WorkloadIdentity.SINGULAR}/{identity}"
    return f"{TrustDomain.SINGULAR}/{domain}"


def _overdue(reason: Reason) -> Verdict:
    return Verdict(ConditionStatus.FALSE.value, reason.value, _ENDED, _STEP)


def _explain_service(service: TrustedService, verdict: Verdict) -> Verdict:
    """Say what the peer lacks, by name; the operator's sentence names no object."""
    peer = service.spec.peer
    if peer is None or verdict.is_good:
        return verdict
    named = f"{FederationPeer.SINGULAR}/{peer}"
    if verdict.reason == Reason.NOTHING_PINNED:
        if service.spec.transport is Transport.RAW_KEY:
            lacks, members = "no ed25519: fingerprint", "spec.fingerprints"
        else:
            lacks = "neither fingerprints nor authorities"
            members = "spec.fingerprints or spec.certificateAuthorities"
        return replace(
            verdict,
            sentence=f"no verifier: {named} has {lacks}",
            step=f"Yours: set {members} of {named}, or wait for its authority statement.",
        )
    if verdict.reason == Reason.PEER_NOT_FOUND:
        return replace(
            verdict,
            sentence=f"{named} is not in this namespace",
            step=f"Yours: create {named}, or correct spec.peer.",
        )
    return verdict


def _explain_mismatch(accept: AcceptSpec, held: str | None, verdict: Verdict) -> Verdict:
    """Name both keys, where the document is in the object and the identity can be seen."""
    if accept.introduction is None or held is None:
        return verdict
    try:
        certificate = parse_introduction(accept.introduction).certificate
        key = key_fingerprint(verify_key_strength(certificate.public_key(), PkiError))
    except PkiError:
        return verdict
    sentence = (
        f"refused: the introduction is signed for another key ({key}) than identity {accept.identity} "
        f"holds ({held})"
    )
    return replace(verdict, sentence=sentence)


def _tell_step(form: str, name: str, verdict: Verdict) -> Verdict:
    """The next step as it is for this form of an object; not where an operator must look first."""
    if verdict.is_good or verdict.step != advise(verdict.reason).step:
        return verdict
    step = next(
        (text for (of, reason), text in _STEPS.items() if (of, reason) == (form, verdict.reason)), None
    )
    if step is None:
        return verdict
    return replace(verdict, step=step.replace(_NAME, name), step_for_any=step)
