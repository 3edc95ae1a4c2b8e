"""A decision about a capability, read from JSON and told to people: every check, the effective grant, the clamps.

A decision of our own and one of the control endpoint take the same way: what is shown is what could be read back.
Rules: members are exactly those of the form, words are those of the closed lists, texts are bounded and printed
without control characters. A receipt is compared with the decision that it comes with, not only with its key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bilateral.cli.advice import advise
from bilateral.cli.errors import printable
from bilateral.cli.output import distance, table
from bilateral.protocol.canonical import canonical_bytes, sha256_hex
from bilateral.protocol.capabilities.constraints import Constraint
from bilateral.protocol.capabilities.grants import ToolGrant, parse_tool_grant
from bilateral.protocol.capabilities.members import (
    read_boolean,
    read_hash,
    read_id,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.decision_receipts import DECISION_RECEIPT_SCHEMA
from bilateral.protocol.errors import MalformedDocument, UnsupportedSchema
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.policies.evaluations import EVALUATION_SCHEMA, Evaluation
from bilateral.protocol.policies.questions import DECISION_SCHEMA, CheckName, Clamp, Outcome, shown
from bilateral.protocol.policies.scopes import MAX_EFFECTIVE_GRANTS
from bilateral.protocol.reasons import Reason
from bilateral.protocol.receipts import Receipt, Verdict, open_receipt
from bilateral.protocol.strictjson import JSON
from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import format_time

_MAX_CLAMPS: Final = 65_536
_MAX_SHOWN: Final = 80
_REQUIRED = frozenset({"schema", "allowed", "checks", "clamps", "capabilityIds", "decidedAt"})
_OPTIONAL = frozenset({"reason", "failedCheck", "effective", "policyHash", "subject", "issuer", "validUntil"})
_CLAMP = frozenset({"field", "presented", "ceiling", "effective"})


class ReceiptMismatch(Exception):
    """A receipt that holds and is not that of the answer; the text names the member."""


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """One check."""

    name: CheckName
    outcome: Outcome
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class ShownDecision:
    """A decision as it was read; ``members`` is the whole of it."""

    members: Mapping[str, JSON]
    allowed: bool
    reason: Reason | None
    checks: tuple[ShownCheck, ...]
    clamps: tuple[Clamp, ...]
    grants: tuple[ToolGrant, ...]
    capability_ids: tuple[str, ...]
    decided_at: int
    valid_until: int | None
    policy_hash: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the control endpoint answered."""

    decision: ShownDecision
    receipt: Receipt
    ledger: tuple[int, str] | None


def read_answer(members: Mapping[str, JSON]) -> Answer:
    """Read the answer to an evaluation; its receipt is read, not verified. Raises ProtocolError."""
    if members.get("schema") != EVALUATION_SCHEMA:
        raise UnsupportedSchema(EVALUATION_SCHEMA)
    found = read_object(dict(members), "answer", frozenset({"schema", "decision", "receipt", "ledger"}))
    ledger = found["ledger"]
    place: tuple[int, str] | None = None
    if ledger is not None:
        link = read_object(ledger, "ledger", frozenset({"seq", "hash"}))
        place = read_integer(link["seq"], "ledger"), read_hash(link["hash"], "ledger")
    return Answer(read_decision(found["decision"]), open_receipt(found["receipt"], kernel_key=None), place)


def read_decision(value: JSON) -> ShownDecision:
    """Read a decision. Raises MalformedDocument, UnsupportedSchema."""
    members = read_object(value, "decision", _REQUIRED, _OPTIONAL)
    if members["schema"] != DECISION_SCHEMA:
        raise UnsupportedSchema(DECISION_SCHEMA)
    allowed = read_boolean(members["allowed"], "allowed")
    reason = _read_reason(members["reason"]) if "reason" in members else None
    if allowed != (reason is None):
        raise MalformedDocument("reason")
    scope = read_object(members.get("effective", {}), "effective", frozenset(), frozenset({"grants"}))
    return ShownDecision(
        members=members,
        allowed=allowed,
        reason=reason,
        checks=read_list(members["checks"], "checks", len(CheckName), _read_check),
        clamps=read_list(members["clamps"], "clamps", _MAX_CLAMPS, _read_clamp),
        grants=read_list(scope.get("grants", []), "effective", MAX_EFFECTIVE_GRANTS, parse_tool_grant),
        capability_ids=read_list(members["capabilityIds"], "capability-ids", 64, _read_id),
        decided_at=read_integer(members["decidedAt"], "decided-at"),
        valid_until=read_integer(members["validUntil"], "valid-until") if "validUntil" in members else None,
        policy_hash=read_hash(members["policyHash"], "policy-hash") if "policyHash" in members else "",
    )


def verify_answer(answer: Answer, evaluation: Evaluation, kernel_key: PublicKey | None) -> None:
    """Compare the receipt with the decision and the question, and with the kernel's key if one is given.

    Raises ProtocolError (the key, the signature) and ReceiptMismatch.
    """
    decision, body, question = answer.decision, answer.receipt.body, evaluation.question
    open_receipt(answer.receipt.to_members(), kernel_key=kernel_key)
    left_out = {"checks"} if decision.allowed else {"checks", "clamps", "effective"}
    told = {name: value for name, value in decision.members.items() if name not in left_out}
    metadata: JSON = {"schema": DECISION_RECEIPT_SCHEMA, "partnerId": question.partner_id, "decision": told}
    call = question.call
    for name, same in (
        ("decision", body.decision.verdict is (Verdict.ALLOW if decision.allowed else Verdict.DENY)),
        ("timestamp", body.timestamp == decision.decided_at),
        ("capability_id", body.capability_id == (decision.capability_ids or ("",))[-1]),
        ("content_hash", body.content_hash == sha256_hex(evaluation.presented)),
        ("policy_hash", body.policy_hash == decision.policy_hash),
        ("tool_server", body.tool_server == ("" if call is None else call.tool_server)),
        ("tool_name", body.tool_name == ("" if call is None else call.tool)),
        ("action", _same(body.parameters, {} if call is None else dict(call.parameters))),
        ("metadata", _same(body.metadata, metadata)),
    ):
        if not same:
            raise ReceiptMismatch(name)


def write_decision(decision: ShownDecision, now: int) -> list[str]:
    """The decision for people."""
    lines = [*_first(decision, now), ""]
    rows = [(each.name.value, each.outcome.value, each.expected, each.found) for each in decision.checks]
    lines += table(("CHECK", "OUTCOME", "EXPECTED", "FOUND"), [[_clip(cell) for cell in row] for row in rows])
    if decision.grants:
        head = ("TOOL SERVER", "TOOL", "OPERATIONS", "CONSTRAINTS", "CALLS", "COST EACH", "COST IN ALL")
        lines += ["", "Effective grant:", *table(head, [_grant(each) for each in decision.grants])]
    if decision.clamps:
        clamps = [[_clip(cell) for cell in _cells(each)] for each in decision.clamps]
        lines += [
            "",
            "Clamped by the policy:",
            *table(("FIELD", "PRESENTED", "CEILING", "EFFECTIVE"), clamps),
        ]
    elif decision.allowed:
        lines += ["", "Nothing was clamped."]
    lines += ["", f"decided     {write_time(decision.decided_at)}"]
    if decision.policy_hash:
        lines.append(f"policy      {decision.policy_hash}")
    if decision.capability_ids:
        lines.append(f"capability  {' > '.join(decision.capability_ids)}")
    return lines


def write_time(moment: int) -> str:
    """A time as it is shown; one that no calendar has stays a number."""
    try:
        return format_time(moment)
    except MalformedTime:
        return str(moment)


def _first(decision: ShownDecision, now: int) -> list[str]:
    if decision.reason is None:
        until = decision.valid_until
        if until is None:
            return ["allowed"]
        return [f"allowed until {write_time(until)} ({distance(until - now)} left)"]
    advice = advise(decision.reason)
    first = f"denied: {decision.reason}: {advice.meaning}"
    return [first] if advice.step is None else [first, f"  {advice.step}"]


def _grant(grant: ToolGrant) -> list[str]:
    return [
        shown(grant.server_id),
        shown(grant.tool_name),
        ", ".join(each.value for each in grant.operations),
        "; ".join(_constraint(each) for each in grant.constraints) or "-",
        "-" if grant.max_invocations is None else str(grant.max_invocations),
        "-" if grant.max_cost_per_invocation is None else str(grant.max_cost_per_invocation),
        "-" if grant.max_total_cost is None else str(grant.max_total_cost),
    ]


def _constraint(constraint: Constraint) -> str:
    wire = constraint.to_wire()
    value = json.dumps(wire.get("value"), ensure_ascii=True, separators=(",", ":"))
    return f"{constraint.type.value}={_clip(value)}"


def _cells(clamp: Clamp) -> Sequence[str]:
    return clamp.field, clamp.presented, clamp.ceiling, clamp.effective


def _clip(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _same(first: JSON, second: JSON) -> bool:
    return canonical_bytes(first) == canonical_bytes(second)


def _read_reason(value: JSON) -> Reason:
    if value not in tuple(Reason):
        raise MalformedDocument("reason")
    return Reason(str(value))


def _read_check(value: JSON) -> ShownCheck:
    members = read_object(
        value, "check", frozenset({"name", "outcome", "expected", "found"}), frozenset({"reason"})
    )
    if members["name"] not in tuple(CheckName) or members["outcome"] not in tuple(Outcome):
        raise MalformedDocument("check")
    return ShownCheck(
        CheckName(str(members["name"])),
        Outcome(str(members["outcome"])),
        read_text(members["expected"], "check", minimum=0),
        read_text(members["found"], "check", minimum=0),
    )


def _read_clamp(value: JSON) -> Clamp:
    members = read_object(value, "clamp", _CLAMP)
    return Clamp(**{name: read_text(members[name], "clamp", minimum=0) for name in _CLAMP})


def _read_id(value: JSON) -> str:
    return read_id(value, "capability-ids")
