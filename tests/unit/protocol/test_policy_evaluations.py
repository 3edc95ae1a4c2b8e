"""Requests for a decision: what is a question, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bilateral.protocol.capabilities.errors import ChainDefect, MalformedCapability
from bilateral.protocol.capabilities.grants import Operation
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.evaluations import build_evaluation, parse_evaluation
from bilateral.protocol.policies.questions import Call, Evidence, EvidenceKind
from bilateral.protocol.policies.tiers import AutonomyTier

CALL = {
    "toolServer": "billing.org-b.internal",
    "tool": "billing.read",
    "operation": "invoke",
    "parameters": {"row_limit": 100},
    "amount": {"units": 5000, "currency": "USD"},
}
WHOLE: dict[str, Any] = {
    "partnerId": "org-b",
    "capability": {"id": "cap-1"},
    "call": CALL,
    "autonomyTier": "TIER_2_DELEGATED",
    "evidence": [{"kind": "passport", "issuedAt": 1_714_291_200}],
}


def parse(**changed: Any) -> Any:
    members = {name: value for name, value in (WHOLE | changed).items() if value is not ...}
    return parse_evaluation(json.dumps(members).encode())


def test_everything_that_may_be_said_is_read() -> None:
    question = parse().question
    assert question.partner_id == "org-b"
    assert question.call == Call(
        "billing.org-b.internal", "billing.read", Operation.INVOKE, {"row_limit": 100}, Money(5000, "USD")
    )
    assert question.autonomy_tier is AutonomyTier.DELEGATED
    assert question.evidence == (Evidence(EvidenceKind.PASSPORT, 1_714_291_200),)


def test_what_may_be_left_out_is_nothing() -> None:
    question = parse(call=..., autonomyTier=..., evidence=...).question
    assert (question.call, question.autonomy_tier, question.evidence) == (None, None, ())


def test_what_is_asked_is_what_was_meant() -> None:
    question = parse().question
    again = parse_evaluation(build_evaluation(question, WHOLE["capability"]))
    assert (again.question.call, again.question.evidence, again.question.autonomy_tier) == (
        question.call,
        question.evidence,
        question.autonomy_tier,
    )


@pytest.mark.parametrize("capability", [{"id": "cap-1"}, [], "token", None, [[]]])
def test_a_chain_that_cannot_be_read_is_a_question_all_the_same(capability: object) -> None:
    found = parse(capability=capability)
    assert isinstance(found.question.chain, ChainDefect)
    assert found.presented == json.dumps(capability, separators=(",", ":")).encode()


def test_a_chains_defect_is_told() -> None:
    defect = parse().question.chain
    assert isinstance(defect, MalformedCapability)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"partnerId": ...}, "missing-member"),
        ({"capability": ...}, "missing-member"),
        ({"more": 1}, "unknown-member"),
        ({"partnerId": ""}, "partner-id"),
        ({"partnerId": "org b"}, "partner-id"),
        ({"partnerId": 7}, "partner-id"),
        ({"call": None}, "call"),
        ({"call": CALL | {"tool": ""}}, "tool"),
        ({"call": CALL | {"operation": "own"}}, "operation"),
        ({"call": CALL | {"parameters": []}}, "parameters"),
        ({"call": CALL | {"parameters": {"a": "\u0080"}}}, "control-character"),
        ({"call": CALL | {"parameters": {"a": 2**60}}}, "number-not-signable"),
        ({"call": CALL | {"amount": {"units": -1, "currency": "USD"}}}, "amount"),
        ({"call": CALL | {"more": 1}}, "unknown-member"),
        ({"autonomyTier": "Sovereign"}, "autonomy-tier"),
        ({"evidence": {}}, "evidence"),
        ({"evidence": [{"kind": "rumour", "issuedAt": 1}]}, "evidence-kind"),
        ({"evidence": [{"kind": "passport", "issuedAt": -1}]}, "issued-at"),
        ({"evidence": [{"kind": "passport"}]}, "missing-member"),
        ({"evidence": [{"kind": "passport", "issuedAt": 1}] * 65}, "evidence"),
    ],
)
def test_what_is_no_question_is_refused(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(MalformedDocument) as refused:
        parse(**changed)
    assert refused.value.cause == cause
