"""The receipt of a decision: what was asked, what was decided and why, signed by our kernel.

An allowance and a denial have the same form, chio's receipt of the first era (``receipts``):

- ``capability_id`` is the capability that was presented; empty where none could be read;
- ``content_hash`` is the SHA-256 of what was presented: the canonical JSON of the capability, with all
  that nobody could read in it; ``policy_hash`` is the policy's, empty where there is none;
- ``evidence`` has every check that was judged, in order; a skipped one proves nothing and is left out;
- a denial's ``reason`` begins with the word of the closed list and says field, ceiling and what was
  presented; its ``guard`` is the check that decided;
- ``metadata`` says the same for programs, with what an allowance is narrowed to and how long it holds.

Rules kept here: every text is ours, a checked identifier or the call itself; the same decision under
the same id is the same receipt. What cannot be signed unambiguously raises, and is then no allowance.
Nothing is stored here, and ids are the caller's to make.
"""

from __future__ import annotations

from typing import Final

from bilateral.protocol.canonical import sha256_hex
from bilateral.protocol.capabilities.members import read_text
from bilateral.protocol.policies.questions import Call, Check, Decision, Outcome
from bilateral.protocol.receipts import (
    GuardEvidence,
    Receipt,
    ReceiptBody,
    ReceiptDecision,
    Verdict,
    hash_parameters,
    require_recordable,
    sign_receipt,
)
from bilateral.protocol.signatures import SigningKey
from bilateral.protocol.strictjson import JSON

DECISION_RECEIPT_SCHEMA: Final = "bilateral.decision-receipt.v1"
"""Names the ``metadata`` of these receipts."""
GUARD: Final = "federation-policy"
MAX_REASON: Final = 1_024


def require_recordable_call(call: Call) -> None:
    """Refuse a call that no receipt could name, before it is judged. Raises MalformedDocument."""
    for name in (call.tool_server, call.tool):
        read_text(name, "tool")
    require_recordable([call.tool_server, call.tool, dict(call.parameters)])


def build_decision_receipt(
    decision: Decision,
    *,
    receipt_id: str,
    partner_id: str,
    call: Call | None,
    presented: bytes,
    key: SigningKey,
) -> Receipt:
    """Sign the receipt of ``decision``, which was made about ``call`` with the document ``presented``.

    Raises MalformedDocument where something in it could be read in two ways.
    """
    parameters: JSON = {} if call is None else dict(call.parameters)
    body = ReceiptBody(
        id=receipt_id,
        timestamp=decision.decided_at,
        capability_id=decision.capability_ids[-1] if decision.capability_ids else "",
        tool_server="" if call is None else call.tool_server,
        tool_name="" if call is None else call.tool,
        parameters=parameters,
        parameter_hash=hash_parameters(parameters),
        decision=_decide(decision),
        content_hash=sha256_hex(presented),
        policy_hash=decision.policy_hash or "",
        kernel_key=key.public_key,
        evidence=tuple(_evidence(each) for each in decision.checks if each.outcome is not Outcome.SKIPPED),
        metadata=_metadata(decision, partner_id),
    )
    return sign_receipt(body, key)


def _decide(decision: Decision) -> ReceiptDecision:
    if decision.allowed:
        return ReceiptDecision(Verdict.ALLOW)
    failed = decision.failed
    word = "" if decision.reason is None else decision.reason.value
    if failed is None or failed.reason is not decision.reason:
        # Not a check, but what came after them: an allowance that could not be recorded, for example.
        return ReceiptDecision(Verdict.DENY, word, GUARD)
    return ReceiptDecision(Verdict.DENY, f"{word}: {_details(failed)}"[:MAX_REASON], _guard(failed))


def _evidence(check: Check) -> GuardEvidence:
    return GuardEvidence(_guard(check), check.passed, _details(check)[:MAX_REASON])


def _guard(check: Check) -> str:
    return f"{GUARD}/{check.name.value}"


def _details(check: Check) -> str:
    return f"{check.name.value}: expected {check.expected or '-'}, found {check.found or '-'}"


def _metadata(decision: Decision, partner_id: str) -> JSON:
    """The decision without its checks, which are the receipt's evidence.

    A denial narrows nothing: what was presented, of whatever size, is not repeated in it.
    """
    left_out = {"checks"} if decision.allowed else {"checks", "clamps", "effective"}
    members = {name: value for name, value in decision.to_wire().items() if name not in left_out}
    return {"schema": DECISION_RECEIPT_SCHEMA, "partnerId": partner_id, "decision": members}
