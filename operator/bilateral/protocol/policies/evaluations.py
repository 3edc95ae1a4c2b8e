"""What a kernel sends to have a capability judged, and what it is answered.

The request is one JSON object::

    {partnerId, capability, call?: {toolServer, tool, operation, parameters?, amount?: {units, currency}},
     autonomyTier?, evidence?: [{kind, issuedAt}]}

``capability`` is a token of chio's, or a list of tokens from the root to the one that is presented. The answer
is ``{schema: "bilateral.evaluation.v1", decision, receipt, ledger: {seq, hash} | null}``: the decision in full, its
signed receipt, and where it stands in the log.

Rules: members are exactly these. A chain that cannot be read is a question all the same: it is denied, with a
receipt. Whatever else cannot be read is no question, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.capabilities.chains import CHAIN_LIMITS, Chain, parse_chain
from bilateral.protocol.capabilities.errors import ChainDefect
from bilateral.protocol.capabilities.grants import parse_operation
from bilateral.protocol.capabilities.members import (
    read_id,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.capabilities.money import parse_money
from bilateral.protocol.decision_receipts import require_recordable_call
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.questions import Call, Decision, Evidence, EvidenceKind, Question
from bilateral.protocol.policies.tiers import AutonomyTier, parse_tier
from bilateral.protocol.receipts import Receipt
from bilateral.protocol.strictjson import JSON, parse_json

EVALUATION_SCHEMA: Final = "bilateral.evaluation.v1"
MAX_EVIDENCE: Final = 64
_QUESTION: Final = frozenset({"partnerId", "capability"})
_QUESTION_OPTIONAL: Final = frozenset({"call", "autonomyTier", "evidence"})
_CALL: Final = frozenset({"toolServer", "tool", "operation"})
_CALL_OPTIONAL: Final = frozenset({"parameters", "amount"})
_EVIDENCE: Final = frozenset({"kind", "issuedAt"})
_KINDS: Final[Mapping[str, EvidenceKind]] = {kind.value: kind for kind in EvidenceKind}
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A question, and the capability that was presented with it, as it stood there."""

    question: Question
    capability: JSON

    @property
    def presented(self) -> bytes:
        """The canonical bytes of the capability, whose hash goes into the receipt."""
        return canonical_bytes(self.capability)


def parse_evaluation(data: bytes) -> Evaluation:
    """Read a request. Raises MalformedDocument for what is no question."""
    members = read_object(
        parse_json(data, CHAIN_LIMITS),
        "not-an-object",
        _QUESTION,
        _QUESTION_OPTIONAL,
    )
    call = _parse_call(members["call"]) if "call" in members else None
    question = Question(
        partner_id=read_id(members["partnerId"], "partner-id"),
        chain=read_chain(members["capability"]),
        call=call,
        autonomy_tier=_parse_tier(members["autonomyTier"]) if "autonomyTier" in members else None,
        evidence=read_list(members.get("evidence", []), "evidence", MAX_EVIDENCE, _parse_evidence),
    )
    return Evaluation(question, members["capability"])


def read_chain(capability: JSON) -> Chain | ChainDefect:
    """Read a chain; what is wrong with one is part of the question."""
    try:
        return parse_chain(capability)
    except ChainDefect as defect:
        return defect


def build_evaluation(question: Question, capability: JSON) -> bytes:
    """Write the request that asks ``question``, with the capability as it was given."""
    members: dict[str, JSON] = {"partnerId": question.partner_id, "capability": capability}
    if question.call is not None:
        members["call"] = _write_call(question.call)
    if question.autonomy_tier is not None:
        members["autonomyTier"] = question.autonomy_tier.value
    if question.evidence:
        members["evidence"] = [
            {"kind": each.kind.value, "issuedAt": each.issued_at} for each in question.evidence
        ]
    return _COMPACT.encode(members).encode()


def build_evaluation_answer(decision: Decision, receipt: Receipt, ledger: Mapping[str, JSON] | None) -> bytes:
    """Write the answer."""
    return _COMPACT.encode(
        {
            "schema": EVALUATION_SCHEMA,
            "decision": decision.to_wire(),
            "receipt": receipt.to_members(),
            "ledger": None if ledger is None else dict(ledger),
        }
    ).encode()


def _parse_call(value: JSON) -> Call:
    members = read_object(
        value,
        "call",
        _CALL,
        _CALL_OPTIONAL,
    )
    parameters = members.get("parameters", {})
    if not isinstance(parameters, dict):
        raise MalformedDocument("parameters")
    call = Call(
        tool_server=read_text(members["toolServer"], "tool-server"),
        tool=read_text(members["tool"], "tool"),
        operation=parse_operation(members["operation"]),
        parameters=parameters,
        amount=parse_money(members["amount"], "amount") if "amount" in members else None,
    )
    require_recordable_call(call)
    return call


def _write_call(call: Call) -> dict[str, JSON]:
    written: dict[str, JSON] = {
        "toolServer": call.tool_server,
        "tool": call.tool,
        "operation": call.operation.value,
        "parameters": dict(call.parameters),
    }
    if call.amount is not None:
        written["amount"] = {"units": call.amount.units, "currency": call.amount.currency}
    return written


def _parse_tier(value: JSON) -> AutonomyTier:
    return parse_tier(read_text(value, "autonomy-tier"))


def _parse_evidence(value: JSON) -> Evidence:
    members = read_object(value, "evidence", _EVIDENCE)
    name = members["kind"]
    kind = _KINDS.get(name) if type(name) is str else None
    if kind is None:
        raise MalformedDocument("evidence-kind")
    return Evidence(kind, read_integer(members["issuedAt"], "issued-at"))
