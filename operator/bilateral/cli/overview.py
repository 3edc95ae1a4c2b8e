"""What ``bilateral status`` says of each object: facts, one sentence, the next step.

Pure: objects and ``now`` in, lines out. It believes a status only as far as the clock and the generation
allow: a pin past its deadline is not ready whatever the condition still says (the operator may be away), and
a status of an older generation is not about what stands in the spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.output import Data, distance, table
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.times import format_time
from bilateral.resources.trustdomain import TrustDomain

_BEING_DELETED = "being deleted"
_NOT_SEEN = "no operator has looked at it yet"
_NOT_SEEN_STEP = "Yours: check that the operator runs and watches this namespace."
_OLD = "changed since the operator last looked at it"
_OVERDUE = "the deadline passed and the operator has not said so: it is probably not running"
_OVERDUE_STEP = "Yours: start the operator. Until then treat this partner as stale."


@dataclass(frozen=True, slots=True)
class Remark:
    """A further finding about an object: the condition, its reason, what it means and the next step."""

    about: str
    reason: str
    sentence: str
    step: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One object: ``ready`` is True, False or Unknown; times are Unix seconds."""

    kind: str
    namespace: str
    name: str
    parent: str | None
    ready: str
    reason: str
    sentence: str
    step: str | None
    kernel_id: str
    public_key: str | None
    fresh_until: int | None
    next_handshake: int | None
    skew_seconds: int | None = None
    failures: int = 0
    unexpected_key: str | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def reference(self) -> str:
        """The object's name as kubectl takes it."""
        return f"{self.kind}/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether the object may be relied on."""
        return self.ready == ConditionStatus.TRUE


def describe_trust_domain(obj: Object, now: int) -> Line:  # noqa: ARG001 - the same signature for every kind
    """Describe a TrustDomain object."""
    try:
        domain = TrustDomain.parse(obj)
    except InvalidResource as error:
        return _invalid("trustdomain", obj, None, error)
    ready, reason, sentence, step = _judge(domain)
    return Line(
        kind="trustdomain",
        namespace=domain.metadata.namespace,
        name=domain.metadata.name,
        parent=None,
        ready=ready,
        reason=reason,
        sentence=sentence,
        step=step,
        kernel_id=domain.spec.kernel_id,
        public_key=domain.status.public_key,
        fresh_until=None,
        next_handshake=None,
    )


def describe_peer(obj: Object, now: int) -> Line:
    """Describe a FederationPeer object at ``now``."""
    try:
        peer = FederationPeer.parse(obj)
    except InvalidResource as error:
        spec = obj.get("spec")
        return _invalid(
            "federationpeer", obj, str(spec.get("trustDomain")) if isinstance(spec, dict) else None, error
        )
    ready, reason, sentence, step = _judge(peer)
    pin = peer.status.pin
    if ready == ConditionStatus.TRUE and (pin is None or now >= pin.rotation_due):
        ready, reason = ConditionStatus.FALSE.value, Reason.PEER_STALE.value
        sentence, step = _OVERDUE, _OVERDUE_STEP
    return Line(
        kind="federationpeer",
        namespace=peer.metadata.namespace,
        name=peer.metadata.name,
        parent=peer.spec.trust_domain,
        ready=ready,
        reason=reason,
        sentence=sentence,
        step=step,
        kernel_id=peer.spec.kernel_id,
        public_key=None if pin is None else pin.public_key,
        fresh_until=None if pin is None else pin.rotation_due,
        next_handshake=peer.status.next_handshake_time,
        skew_seconds=peer.status.observed_skew_seconds,
        failures=peer.status.consecutive_failures,
        unexpected_key=peer.status.unexpected_public_key,
        remarks=_remarks(peer, reason),
    )


def _judge(resource: TrustDomain | FederationPeer) -> tuple[str, str, str, str | None]:
    unknown = ConditionStatus.UNKNOWN.value
    if resource.metadata.deletion_timestamp is not None:
        return ConditionStatus.FALSE.value, "-", _BEING_DELETED, None
    ready = resource.status.condition("Ready")
    if ready is None:
        return unknown, "-", _NOT_SEEN, _NOT_SEEN_STEP
    advice = advise(ready.reason)
    if resource.status.observed_generation < resource.metadata.generation:
        return unknown, ready.reason, _OLD, advise(Reason.PROGRESSING).step
    return ready.status.value, ready.reason, ready.message or advice.meaning, advice.step


def _remarks(peer: FederationPeer, reason: str) -> tuple[Remark, ...]:
    """Find what else is wrong: a partner may be fresh although our last attempt to reach it failed."""
    found: list[Remark] = []
    said = {reason}
    for name in ("ClockInSync", "AcknowledgedByPeer"):
        condition = peer.status.condition(name)
        if condition is None or condition.status is ConditionStatus.TRUE or condition.reason in said:
            continue
        said.add(condition.reason)
        advice = advise(condition.reason)
        if advice.step is not None:
            found.append(Remark(name, condition.reason, condition.message or advice.meaning, advice.step))
    return tuple(found)


def _invalid(kind: str, obj: Object, parent: str | None, error: InvalidResource) -> Line:
    metadata = obj.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    spec = obj.get("spec")
    return Line(
        kind=kind,
        namespace=str(names.get("namespace", "")),
        name=str(names.get("name", "")),
        parent=parent,
        ready=ConditionStatus.FALSE.value,
        reason=error.reason.value,
        sentence=str(error),
        step=advise(error.reason).step,
        kernel_id=str(spec.get("kernelId", "-")) if isinstance(spec, dict) else "-",
        public_key=None,
        fresh_until=None,
        next_handshake=None,
    )


def arrange(domains: Iterable[Line], peers: Iterable[Line]) -> list[Line]:
    """Put each peer below its trust domain, by name; peers whose trust domain is missing come last."""
    arranged: list[Line] = []
    left = sorted(peers, key=lambda line: (line.namespace, line.name))
    for domain in sorted(domains, key=lambda line: (line.namespace, line.name)):
        arranged.append(domain)
        own = [line for line in left if (line.namespace, line.parent) == (domain.namespace, domain.name)]
        arranged.extend(own)
        left = [line for line in left if line not in own]
    return arranged + left


def write_text(lines: Sequence[Line], now: int, *, namespaces: bool) -> list[str]:
    """Write the table, then one paragraph for each object that somebody should look at, then the sum."""
    if not lines:
        return ["No trust domains and no partners here."]
    head = ["NAME", "READY", "REASON", "KERNEL ID", "FRESH UNTIL"]
    rows = [_row(line, now) for line in lines]
    if namespaces:
        head = ["NAMESPACE", *head]
        rows = [[line.namespace, *row] for line, row in zip(lines, rows, strict=True)]
    text = table(head, rows)
    for line in lines:
        text.extend(_paragraph(line))
    unready = sum(not line.is_ready for line in lines)
    total = f"{len(lines)} object" + ("s" if len(lines) > 1 else "")
    text += ["", f"{total}, all ready." if not unready else f"{total}, {unready} not ready."]
    return text


def _row(line: Line, now: int) -> list[str]:
    branch = "└ " if line.parent is not None else ""
    until = "-"
    if line.fresh_until is not None:
        left = line.fresh_until - now
        until = f"{format_time(line.fresh_until)} ({distance(left)} {'left' if left > 0 else 'ago'})"
    return [branch + line.reference, line.ready, line.reason, line.kernel_id, until]


def _paragraph(line: Line) -> list[str]:
    text: list[str] = []
    if not line.is_ready:
        text.append(_sentence(f"{line.reference}: {line.sentence}"))
        if line.step is not None:
            text.append(f"  {line.step}")
    for remark in line.remarks:
        text.append(_sentence(f"{line.reference}: {remark.about}: {remark.sentence}"))
        if remark.step is not None and remark.step != line.step:
            text.append(f"  {remark.step}")
    return ["", *text] if text else []


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def as_data(line: Line) -> dict[str, Data]:
    """Return a line as ``-o json`` prints it; absent facts are null."""
    return {
        "kind": {"trustdomain": TrustDomain.KIND, "federationpeer": FederationPeer.KIND}[line.kind],
        "namespace": line.namespace,
        "name": line.name,
        "trustDomain": line.parent,
        "ready": line.ready,
        "reason": line.reason,
        "message": line.sentence,
        "nextStep": line.step,
        "kernelId": line.kernel_id,
        "publicKey": line.public_key,
        "freshUntil": None if line.fresh_until is None else format_time(line.fresh_until),
        "observedSkewSeconds": line.skew_seconds,
        "consecutiveFailures": line.failures,
        "unexpectedPublicKey": line.unexpected_key,
        "nextHandshakeTime": None if line.next_handshake is None else format_time(line.next_handshake),
        "remarks": [
            {"condition": item.about, "reason": item.reason, "message": item.sentence, "nextStep": item.step}
            for item in line.remarks
        ],
    }
