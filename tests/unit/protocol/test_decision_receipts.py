"""The receipt of a decision says what was asked, what was decided and why, and verifies as chio's do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bilateral.protocol.canonical import sha256_hex
from bilateral.protocol.capabilities.grants import Operation, Scope
from bilateral.protocol.decision_receipts import (
    DECISION_RECEIPT_SCHEMA,
    build_decision_receipt,
    require_recordable_call,
)
from bilateral.protocol.errors import DocumentTooLarge, MalformedDocument
from bilateral.protocol.policies.questions import Call, Check, CheckName, Clamp, Decision, Outcome
from bilateral.protocol.reasons import Reason
from bilateral.protocol.receipts import GuardEvidence, Receipt, ReceiptDecision, Verdict, open_receipt
from support.kernels import KEY_A, KEY_B

NOW = 1_714_300_000
PRESENTED = b'{"id": "cap-2"}'
CALL = Call("billing.org-b.internal", "billing.read", Operation.INVOKE, {"row_limit": 10, "ratio": 0.5})
DENIAL = Decision(
    allowed=False,
    reason=Reason.CAPABILITY_EXPIRED,
    checks=(
        Check(CheckName.POLICY, Outcome.PASSED, "a policy", "one"),
        Check(CheckName.CHAIN, Outcome.FAILED, "before 10", "12", Reason.CAPABILITY_EXPIRED),
        Check(CheckName.TIER, Outcome.SKIPPED),
    ),
    decided_at=NOW,
    policy_hash="ab" * 32,
    capability_ids=("cap-1", "cap-2"),
    subject=KEY_B.public_key,
    issuer=KEY_A.public_key,
)
ALLOWANCE = Decision(
    allowed=True,
    reason=None,
    checks=(Check(CheckName.POLICY, Outcome.PASSED, "a policy", "one"),),
    decided_at=NOW,
    effective=Scope(),
    policy_hash="ab" * 32,
    capability_ids=("cap-1",),
    valid_until=NOW + 60,
)


def build(decision: Decision, call: Call | None = CALL, receipt_id: str = "rcpt-1") -> Receipt:
    receipt = build_decision_receipt(
        decision, receipt_id=receipt_id, partner_id="org-a", call=call, presented=PRESENTED, key=KEY_A
    )
    assert open_receipt(receipt.to_json(), kernel_key=KEY_A.public_key) == receipt
    return receipt


def test_a_denial_names_the_word_the_check_the_ceiling_and_what_was_presented() -> None:
    body = build(DENIAL).body
    assert body.decision == ReceiptDecision(
        Verdict.DENY, "CapabilityExpired: chain: expected before 10, found 12", "federation-policy/chain"
    )
    assert body.evidence == (
        GuardEvidence(
            "federation-policy/policy", verdict=True, details="policy: expected a policy, found one"
        ),
        GuardEvidence(
            "federation-policy/chain", verdict=False, details="chain: expected before 10, found 12"
        ),
    )


def test_a_receipt_names_what_was_judged() -> None:
    body = build(DENIAL).body
    assert (body.id, body.timestamp, body.capability_id) == ("rcpt-1", NOW, "cap-2")
    assert (body.tool_server, body.tool_name) == ("billing.org-b.internal", "billing.read")
    assert body.parameters == {"row_limit": 10, "ratio": 0.5}
    assert body.content_hash == sha256_hex(PRESENTED)
    assert body.policy_hash == "ab" * 32
    metadata = body.metadata
    assert isinstance(metadata, dict)
    assert (metadata["schema"], metadata["partnerId"]) == (DECISION_RECEIPT_SCHEMA, "org-a")
    decision = metadata["decision"]
    assert isinstance(decision, dict)
    assert decision["reason"] == "CapabilityExpired"
    assert decision["capabilityIds"] == ["cap-1", "cap-2"]
    assert "checks" not in decision


def test_an_allowance_says_to_what_it_is_narrowed_and_how_long_it_holds() -> None:
    body = build(ALLOWANCE).body
    assert body.decision == ReceiptDecision(Verdict.ALLOW)
    metadata = body.metadata
    assert isinstance(metadata, dict)
    decision = metadata["decision"]
    assert isinstance(decision, dict)
    assert decision["validUntil"] == NOW + 60
    assert decision["effective"] == Scope().to_wire()


def test_a_capability_that_could_not_be_read_is_denied_with_a_receipt_too() -> None:
    unread = replace(DENIAL, capability_ids=(), policy_hash=None, subject=None, issuer=None)
    body = build(unread, call=None).body
    assert (body.capability_id, body.policy_hash, body.tool_server, body.tool_name) == ("", "", "", "")
    assert body.parameters == {}
    assert body.decision.verdict is Verdict.DENY


@pytest.mark.parametrize(
    "decision",
    [
        replace(ALLOWANCE, allowed=False, reason=Reason.LEDGER_FULL, effective=None, valid_until=None),
        replace(DENIAL, reason=Reason.LEDGER_FULL),
    ],
    ids=["after an allowance", "after a denial"],
)
def test_a_denial_that_no_check_decided_names_its_word_alone(decision: Decision) -> None:
    body = build(decision).body
    assert body.decision == ReceiptDecision(Verdict.DENY, "LedgerFull", "federation-policy")


def test_a_denial_is_signed_however_much_was_presented() -> None:
    clamps = tuple(Clamp(f"grants[{place}]", "x" * 4_000, "y", "z") for place in range(100))
    metadata = build(replace(DENIAL, clamps=clamps, effective=Scope())).body.metadata
    assert isinstance(metadata, dict)
    decision = metadata["decision"]
    assert isinstance(decision, dict)
    assert not {"clamps", "effective", "checks"} & decision.keys()
    with pytest.raises(DocumentTooLarge):
        build(replace(ALLOWANCE, clamps=clamps))


def test_the_same_decision_under_the_same_id_is_the_same_receipt() -> None:
    assert build(DENIAL).to_json() == build(DENIAL).to_json()
    assert build(DENIAL).signature != build(DENIAL, receipt_id="rcpt-2").signature
    assert json.loads(build(DENIAL).to_json())["kernel_key"] == KEY_A.public_key.hex


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, tool="read\x80"),
        replace(CALL, tool_server="\x7f"),
        replace(CALL, tool="x" * 5_000),
        replace(CALL, parameters={"n": 2**53}),
        replace(CALL, parameters={"text": "\x85"}),
    ],
    ids=["tool", "server", "long name", "large number", "control character"],
)
def test_a_call_that_no_receipt_can_name_is_refused_before_and_never_signed(call: Call) -> None:
    with pytest.raises(MalformedDocument):
        require_recordable_call(call)
    with pytest.raises(MalformedDocument):
        build(DENIAL, call)


def test_an_ordinary_call_is_recordable() -> None:
    require_recordable_call(CALL)
