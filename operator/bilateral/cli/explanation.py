"""Why a service can be called, or why not: what was read in, one explanation out.

Pure: objects, Secrets as far as they could be read, and ``now`` in. Rules:

- The operator decides; what it says is believed as far as clock and generation allow, as ``status`` does: a
  partner's deadline that has passed ends its services here too, whoever is there to say so.
- What a pod is shown is read from the identity's Secret, where the caller may. Otherwise it is worked out from
  statuses, and the explanation says what could not be seen.
- A service that only came with an introduction is in the Secrets of those who were introduced, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bilateral.cli.advice import advise
from bilateral.client.errors import LayoutInvalid
from bilateral.client.services import Service, parse_service_file
from bilateral.pki.verifiers import pinned_fingerprints
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.federationpeer import FederationPeer, OnStale
from bilateral.resources.introduction import Introduction
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import OWN_AUTHORITY, ServicesMode, WorkloadIdentity

OWN_CERTIFICATE = "its own certificate"

_WHY: Mapping[str, str] = {
    "WebPKI": "no peer is named, so public authorities are asked",
    "ConfiguredCA": "no peer is named, and a person gave the authorities",
    "PeerCA": "the peer lists no SHA256: fingerprint, and its authorities are pinned",
    "PinnedFingerprint": "the peer lists SHA256: fingerprints, and the server must present one of these certificates",
    "PinnedRawKey": "the server presents a raw key, and the peer lists it",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reason, what it means, and the next step; ``good`` when there is nothing wrong."""

    reason: str
    sentence: str
    step: str | None = None
    good: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """What was read beside the service.

    ``files`` holds, by identity, the content of the service's file, or None where its Secret has none; an
    identity whose Secret could not be read is missing from it. ``own_subjects`` are our authorities' names, by
    trust domain; ``unseen`` names what the caller may not read.
    """

    peer: FederationPeer | None = None
    identities: Sequence[WorkloadIdentity] = ()
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    own_subjects: Mapping[str, str] = field(default_factory=dict)
    unseen: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """One identity: whether it can call the service, and what it shows. ``until`` is Unix seconds."""

    name: str
    verdict: Verdict
    shows: str | None = None
    authority: str | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether pods may call a service, how its server is verified and why, and who shows it what.

    ``origin`` is the object that it comes from, as kubectl takes it; ``peer_name`` the FederationPeer that
    runs it, ``peer`` that object where it could be read.
    """

    alias: str
    origin: str
    url: str
    transport: str
    verdict: Verdict
    verifier: str | None
    why: str | None
    pinned: tuple[str, ...]
    peer_name: str | None
    peer: FederationPeer | None
    callers: tuple[Caller, ...]
    token_secret: str | None = None
    rivals: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def explain(service: TrustedService, around: Around, now: int, rivals: Sequence[str] = ()) -> Explanation:
    """Explain a TrustedService at ``now`` (Unix seconds); ``rivals`` claim its alias too."""
    spec, status = service.spec, service.status
    verdict = _judge(service, around, now)
    resolved = verdict.good or verdict.reason == Reason.NO_CHAIN
    verifier = status.verifier.value if resolved and status.verifier is not None else None
    token = spec.bearer_token_secret_ref
    return Explanation(
        alias=service.alias,
        origin=f"trustedservice/{service.metadata.name}",
        url=spec.url,
        transport=spec.transport.value,
        verdict=verdict,
        verifier=verifier,
        why=None if verifier is None else _why(service, verifier),
        pinned=status.pinned if verifier is not None else (),
        peer_name=spec.peer,
        peer=around.peer,
        callers=tuple(_call(service, around, each, verdict, now) for each in around.identities),
        token_secret=None if token is None else token.name,
        rivals=tuple(rivals),
        unseen=tuple(around.unseen),
    )


def explain_introduced(
    alias: str, url: str, introduction: Introduction, around: Around, now: int
) -> Explanation:
    """Explain a service that no TrustedService names, and that an introduction carries."""
    accept, request = introduction.spec.accept, introduction.spec.request
    form = accept or request
    peer_name = None if form is None else form.peer
    verdict = _deadline(peer_name, around, now) or _introduced(introduction)
    callers: list[Caller] = []
    verifier, pinned = None, tuple[str, ...]()
    for identity in around.identities:
        name = identity.metadata.name
        if not verdict.good:
            callers.append(Caller(name, verdict))
        elif name not in around.files:
            text = "what its pods are shown is in a Secret that you may not read"
            callers.append(Caller(name, Verdict(Reason.INSTALLED.value, text, good=True)))
        else:
            found = _read_file(alias, identity, around.files[name])
            if isinstance(found, Service) and found.verifier is not None:
                verifier, pinned = found.verifier.kind, tuple(pinned_fingerprints(found.verifier))
            callers.append(_by_file(around, identity, found, now))
    return Explanation(
        alias=alias,
        origin=f"introduction/{introduction.metadata.name}",
        url=url,
        transport="X509",
        verdict=verdict,
        verifier=verifier,
        why=None if verifier is None else _WHY[verifier],
        pinned=pinned,
        peer_name=peer_name,
        peer=around.peer,
        callers=tuple(callers),
        unseen=tuple(around.unseen),
    )


def may_see(identity: WorkloadIdentity, service: TrustedService) -> bool:
    """Whether an identity may see a service."""
    selection = identity.spec.services
    return selection.mode is ServicesMode.ALL or service.metadata.name in selection.names


def _bad(reason: Reason, sentence: str | None = None) -> Verdict:
    advice = advise(reason)
    return Verdict(reason.value, sentence or advice.meaning, advice.step)


def _good(reason: Reason) -> Verdict:
    return Verdict(reason.value, advise(reason).meaning, good=True)


def _why(service: TrustedService, verifier: str) -> str:
    if verifier == "WebPKI" and service.status.pinned:
        return "no peer is named, and a person gave the bundle that is asked"
    if service.spec.peer is not None and service.spec.verifier is not None:
        return f"{_WHY[verifier]}; spec.verifier narrows that"
    return _WHY[verifier]


def _judge(service: TrustedService, around: Around, now: int) -> Verdict:
    """What the operator says of a TrustedService, as far as it can be believed."""
    peer = service.spec.peer
    said = _said(service)
    if not said.good:
        return said
    if peer is not None and around.peer is None and f"federationpeers/{peer}" not in around.unseen:
        return _bad(Reason.PEER_NOT_FOUND)
    return _deadline(peer, around, now) or said


def _introduced(introduction: Introduction) -> Verdict:
    """What the operator says of an Introduction."""
    said = _said(introduction)
    return replace(said, reason=Reason.INSTALLED.value) if said.good else said


def _said(resource: TrustedService | Introduction) -> Verdict:
    ready = resource.status.condition("Ready")
    if resource.metadata.deletion_timestamp is not None:
        return Verdict("-", "it is being deleted")
    if ready is None:
        step = "Yours: check that the operator runs and watches this namespace."
        return Verdict("-", "no operator has looked at it yet", step)
    if resource.status.observed_generation < resource.metadata.generation:
        return _bad(Reason.PROGRESSING, "it changed since the operator last looked at it")
    if ready.status is not ConditionStatus.TRUE:
        return Verdict(ready.reason, ready.message, advise(ready.reason).step)
    return Verdict(ready.reason, ready.message, good=True)


def _deadline(peer_name: str | None, around: Around, now: int) -> Verdict | None:
    """That a partner's deadline passed, although nobody says so; None where it did not."""
    peer = around.peer
    if peer_name is None or peer is None or peer.spec.on_stale is OnStale.RETAIN:
        return None
    pin = peer.status.pin
    if pin is not None and now < pin.rotation_due:
        return None
    return Verdict(
        Reason.PEER_STALE.value,
        "the partner has no pin, or its deadline passed, and the operator has not said so: it is probably not running",
        "Yours: start the operator. Until then treat this service as refused.",
    )


def _call(
    service: TrustedService, around: Around, identity: WorkloadIdentity, verdict: Verdict, now: int
) -> Caller:
    """Whether one identity can call the service, and what it shows."""
    name = identity.metadata.name
    if not may_see(identity, service):
        text = f"{name} may not see the service: spec.services of the WorkloadIdentity lists others"
        step = f"Yours: add {service.metadata.name} to spec.services.names of the WorkloadIdentity."
        return Caller(name, Verdict(Reason.SERVICE_NOT_FOUND.value, text, step))
    if not verdict.good and verdict.reason != Reason.NO_CHAIN:
        return Caller(name, verdict)
    if identity.status.content_hash is None:
        return Caller(name, _bad(Reason.OUTPUTS_PENDING, "its Secrets are not written yet"))
    if name in around.files:
        return _by_file(around, identity, _read_file(service.alias, identity, around.files[name]), now)
    return _shown(around, identity, _accepted(service, around, identity), now)


def _read_file(alias: str, identity: WorkloadIdentity, content: bytes | None) -> Service | Verdict:
    if content is None:
        return _bad(Reason.OUTPUTS_PENDING, "the service is not in the identity's Secret yet")
    try:
        return parse_service_file(alias, content, identity.servers_secret_name)
    except LayoutInvalid as error:
        return _bad(Reason.DIRECTORY_INVALID, str(error))


def _by_file(around: Around, identity: WorkloadIdentity, found: Service | Verdict, now: int) -> Caller:
    """What a pod is shown, by its own file."""
    if isinstance(found, Verdict):
        return Caller(identity.metadata.name, found)
    return _shown(around, identity, found.auths, now)


def _accepted(service: TrustedService, around: Around, identity: WorkloadIdentity) -> Sequence[str]:
    """The names of the authorities that a service accepts, as far as statuses tell them."""
    own, peer = around.own_subjects.get(identity.spec.trust_domain), around.peer
    theirs = () if peer is None else tuple(each.subject for each in peer.status.certificate_authorities)
    if not service.spec.authorities:
        return theirs
    names: list[str] = []
    for each in service.spec.authorities:
        if each == OWN_AUTHORITY:
            names += [own] if own is not None else []
        elif peer is not None and each == peer.metadata.name:
            names += theirs
        else:
            names += [chain.authority for chain in identity.status.chains if chain.introduction is not None]
    return names or ["one of spec.authorities"]


def _shown(around: Around, identity: WorkloadIdentity, auths: Sequence[str], now: int) -> Caller:
    """The certificate that answers to one of ``auths``: a chain, else the identity's own."""
    name, status = identity.metadata.name, identity.status
    own = around.own_subjects.get(identity.spec.trust_domain)
    for chain in status.chains:
        accepted = chain.slug in auths or chain.authority in auths
        if accepted and chain.introduction is not None and now <= chain.not_after:
            verdict = Verdict(
                Reason.CHAIN_AVAILABLE.value, "it has a chain that the service accepts", good=True
            )
            return Caller(name, verdict, chain.slug, chain.authority, chain.not_after)
    if not auths:
        return Caller(name, _good(Reason.CHAIN_NOT_NEEDED), OWN_CERTIFICATE, own, status.not_after)
    if own is not None and own in auths:
        verdict = Verdict(Reason.CHAIN_AVAILABLE.value, "the service accepts our own authority", good=True)
        return Caller(name, verdict, OWN_CERTIFICATE, own, status.not_after)
    wanted = next((each for each in auths if "=" in each), auths[0])
    text = f"the service asks for a chain by {wanted}, which has not signed {name}"
    return Caller(name, _bad(Reason.NO_CHAIN, text), authority=wanted)
