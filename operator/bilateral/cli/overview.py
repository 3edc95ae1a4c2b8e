"""What ``bilateral status`` says of each object: facts, one sentence, the next step; and whose child it is.

Pure: objects and ``now`` in, lines out. It believes a status only as far as the clock and the generation
allow: what is past its deadline is not ready whatever the condition still says (the operator may be away), and
a status of an older generation is not about what stands in the spec. Here are trust domains and partners, and
what every kind has; the other kinds are in :mod:`bilateral.cli.overview_parties`
and :mod:`bilateral.cli.overview_policies`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.output import Data
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer, OnStale
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.introduction import Introduction
from bilateral.resources.kinds import KINDS
from bilateral.resources.times import format_time
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity

Known: TypeAlias = (
    TrustDomain | FederationPeer | WorkloadIdentity | TrustedService | Introduction | FederationPolicy
)

BEING_DELETED = "being deleted"
NOT_SEEN = "no operator has looked at it yet"
NOT_SEEN_STEP = "Yours: check that the operator runs and watches this namespace."
OLD = "changed since the operator last looked at it"
OVERDUE = "the deadline passed and the operator has not said so: it is probably not running"
OVERDUE_STEP = "Yours: start the operator. Until then treat this partner as stale."
_WORDS = {kind.SINGULAR: kind.KIND for kind in KINDS}
_QUIET = frozenset({Reason.NOT_ANNOUNCED.value, Reason.NOT_OBSERVED.value, Reason.PEER_NOT_PINNED.value})
"""What is no finding in a condition beside Ready: nothing is known, or nothing is wanted."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A further finding about an object: the condition, its reason, what it means and the next step."""

    about: str
    reason: str
    sentence: str
    step: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ready`` is True, False or Unknown; why, what that means, and the next step.

    ``step_for_any`` is the step with ``NAME`` for the object's name, where the name is in it.
    """

    ready: str
    reason: str
    sentence: str
    step: str | None
    step_for_any: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether the object may be relied on."""
        return self.ready == ConditionStatus.TRUE


@dataclass(frozen=True, slots=True)
class Line:
    """One object; times are Unix seconds.

    ``parent`` is what it stands below, as kubectl takes it; with ``follows`` it counts only while that does.
    ``who`` is what it is about: a kernel id, a subject, a URL. With ``has_ended`` its deadline is past, and
    with it what followed from it. ``facts`` are the members that only its kind has.
    """

    kind: str
    namespace: str
    name: str
    parent: str | None
    verdict: Verdict
    who: str
    trust_domain: str | None = None
    until: int | None = None
    follows: bool = False
    has_ended: bool = False
    facts: Mapping[str, Data] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()

    @property
    def reference(self) -> str:
        """The object's name as kubectl takes it."""
        return f"{self.kind}/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether the object may be relied on."""
        return self.verdict.is_good


def describe_trust_domain(obj: Object, now: int) -> Line:  # noqa: ARG001 - the same signature for every kind
    """Describe a TrustDomain object."""
    try:
        domain = TrustDomain.parse(obj)
    except InvalidResource as error:
        return invalid(TrustDomain, obj, error)
    return Line(
        kind=TrustDomain.SINGULAR,
        namespace=domain.metadata.namespace,
        name=domain.metadata.name,
        parent=None,
        verdict=judge(domain),
        who=domain.spec.kernel_id,
        facts=_partner_facts(domain.spec.kernel_id, domain.status.public_key),
    )


def describe_peer(obj: Object, now: int) -> Line:
    """Describe a FederationPeer object at ``now``."""
    try:
        peer = FederationPeer.parse(obj)
    except InvalidResource as error:
        return invalid(FederationPeer, obj, error)
    verdict = judge(peer)
    pin = peer.status.pin
    has_ended = pin is None or now >= pin.rotation_due
    if verdict.is_good and has_ended:
        verdict = Verdict(ConditionStatus.FALSE.value, Reason.PEER_STALE.value, OVERDUE, OVERDUE_STEP)
    status = peer.status
    until = None if pin is None else pin.rotation_due
    return Line(
        kind=FederationPeer.SINGULAR,
        namespace=peer.metadata.namespace,
        name=peer.metadata.name,
        parent=f"{TrustDomain.SINGULAR}/{peer.spec.trust_domain}",
        verdict=verdict,
        who=peer.spec.kernel_id,
        trust_domain=peer.spec.trust_domain,
        until=until,
        has_ended=has_ended and peer.spec.on_stale is not OnStale.RETAIN,
        facts=_partner_facts(peer.spec.kernel_id, None if pin is None else pin.public_key, until)
        | {
            "observedSkewSeconds": status.observed_skew_seconds,
            "consecutiveFailures": status.consecutive_failures,
            "unexpectedPublicKey": status.unexpected_public_key,
            "nextHandshakeTime": time_or_null(status.next_handshake_time),
        },
        remarks=remark_on(peer, verdict, ("ClockInSync", "AcknowledgedByPeer", "AuthoritiesKnown")),
    )


def _partner_facts(kernel_id: str, public_key: str | None, until: int | None = None) -> dict[str, Data]:
    """What a trust domain and a partner both have."""
    return {
        "kernelId": kernel_id,
        "publicKey": public_key,
        "freshUntil": time_or_null(until),
        "observedSkewSeconds": None,
        "consecutiveFailures": 0,
        "unexpectedPublicKey": None,
        "nextHandshakeTime": None,
    }


def time_or_null(moment: int | None) -> str | None:
    """A time as ``-o json`` has it."""
    return None if moment is None else format_time(moment)


def judge(resource: Known) -> Verdict:
    """What the operator says of an object, as far as it is about this spec."""
    unknown = ConditionStatus.UNKNOWN.value
    if resource.metadata.deletion_timestamp is not None:
        return Verdict(ConditionStatus.FALSE.value, "-", BEING_DELETED, None)
    ready = resource.status.condition("Ready")
    if ready is None:
        return Verdict(unknown, "-", NOT_SEEN, NOT_SEEN_STEP)
    advice = advise(ready.reason)
    if resource.status.observed_generation < resource.metadata.generation:
        return Verdict(unknown, ready.reason, OLD, advise(Reason.PROGRESSING).step)
    return Verdict(ready.status.value, ready.reason, ready.message or advice.meaning, advice.step)


def remark_on(resource: Known, verdict: Verdict, conditions: Iterable[str]) -> tuple[Remark, ...]:
    """Find what else is wrong: a partner may be fresh although our last attempt to reach it failed."""
    found: list[Remark] = []
    said = {verdict.reason, *_QUIET}
    for name in conditions:
        condition = resource.status.condition(name)
        if condition is None or condition.reason in said:
            continue
        said.add(condition.reason)
        advice = advise(condition.reason)
        if advice.step is not None:
            found.append(Remark(name, condition.reason, condition.message or advice.meaning, advice.step))
    return tuple(found)


def invalid(kind: type[Known], obj: Object, error: InvalidResource) -> Line:
    """Describe an object whose spec breaks a rule, as far as it can be read."""
    metadata, spec = members_of(obj, "metadata"), members_of(obj, "spec")
    domain = spec.get("trustDomain")
    has_parent = isinstance(domain, str) and kind is not TrustDomain
    return Line(
        kind=kind.SINGULAR,
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        parent=f"{TrustDomain.SINGULAR}/{domain}" if has_parent else None,
        verdict=Verdict(
            ConditionStatus.FALSE.value, error.reason.value, str(error), advise(error.reason).step
        ),
        who=str(spec.get("kernelId", "-")),
        trust_domain=str(domain) if has_parent else None,
        facts=_partner_facts(str(spec.get("kernelId", "-")), None)
        if kind in (TrustDomain, FederationPeer)
        else {},
    )


def members_of(obj: Object, name: str) -> Object:
    """An object that is a member of another; empty where it is none."""
    found = obj.get(name)
    return found if isinstance(found, dict) else {}


def as_data(line: Line) -> dict[str, Data]:
    """Return a line as ``-o json`` prints it; absent facts are null."""
    verdict = line.verdict
    return {
        "kind": _WORDS[line.kind],
        "namespace": line.namespace,
        "name": line.name,
        "trustDomain": line.trust_domain,
        "below": line.parent,
        "ready": verdict.ready,
        "reason": verdict.reason,
        "message": verdict.sentence,
        "nextStep": verdict.step,
        "until": time_or_null(line.until),
        **line.facts,
        "remarks": [
            {"condition": item.about, "reason": item.reason, "message": item.sentence, "nextStep": item.step}
            for item in line.remarks
        ],
    }
