"""Activation exchanges: every rule by name, the documentation's shape as something to look at, and no admission."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilateral
from bilateral.protocol.activation import (
    ACTIVATION_SCHEMA,
    parse_exchange,
    read_activation,
    sign_activation,
    verify_activation,
)
from bilateral.protocol.activation_documented import SignatureState, is_documented, read_documented
from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.documents import sign_document
from bilateral.protocol.errors import (
    ActivationExpired,
    ActivationInvalid,
    MalformedDocument,
    ProtocolError,
    UnexpectedSigner,
    UnsupportedSchema,
    WeakKey,
)
from support.exchanges import NOW, documented_envelope, exchange_members
from support.kernels import KEY_A, KEY_B

A = KEY_A.public_key


def signed(**changes: Any) -> bytes:
    """A document over an exchange as it stands, whether or not we would have made it."""
    return json.dumps(sign_document(exchange_members(**changes), KEY_A)).encode()


def test_what_was_built_is_verified() -> None:
    exchange = parse_exchange(exchange_members())
    assert exchange.to_members() == exchange_members()
    found = verify_activation(sign_activation(exchange, KEY_A), signer=A, now=NOW)
    assert (found.exchange, found.signer) == (exchange, A)


def test_what_is_optional_is_left_out() -> None:
    members = exchange_members(
        governingCharterRef=None, note=None, activationRef__uri=None, scope__policyReference=None
    )
    assert parse_exchange(members).to_members() == members
    assert json.loads(sign_activation(parse_exchange(members), KEY_A))["body"] == members


RULES: list[tuple[dict[str, Any], str]] = [
    ({"exchangeId": ""}, "exchangeId"),
    ({"listingId": " "}, "listingId"),
    ({"sourceOperatorId": ""}, "sourceOperatorId"),
    ({"targetOperatorId": ""}, "targetOperatorId"),
    ({"targetOperatorId": "org-a"}, "targetOperatorId"),
    ({"expiresAt": 1_714_291_200}, "expiresAt"),
    ({"expiresAt": 1}, "expiresAt"),
    ({"activationRef__kind": "listing"}, "activationRef.kind"),
    ({"listingRef__kind": "trust_activation"}, "listingRef.kind"),
    ({"governingCharterRef__kind": "governance_case"}, "governingCharterRef.kind"),
    ({"activationRef__sha256": "ad" * 31}, "activationRef.sha256"),
    ({"listingRef__sha256": "ad81...c4"}, "listingRef.sha256"),
    ({"listingRef__sha256": "AD" * 32}, "listingRef.sha256"),
    ({"activationRef__schema": ""}, "activationRef.schema"),
    ({"activationRef__artifactId": ""}, "activationRef.artifactId"),
    ({"governingCharterRef__operatorId": ""}, "governingCharterRef.operatorId"),
    ({"activationRef__uri": ""}, "activationRef.uri"),
    ({"scope__namespace": ""}, "scope.namespace"),
    ({"scope__subjectOperatorId": ""}, "scope.subjectOperatorId"),
    ({"scope__policyReference": ""}, "scope.policyReference"),
    ({"scope__allowedActorKinds": []}, "scope.allowedActorKinds"),
    ({"scope__allowedActorKinds": ["tool_server", "tool_server"]}, "scope.allowedActorKinds"),
    ({"scope__allowedAdmissionClasses": []}, "scope.allowedAdmissionClasses"),
    ({"scope__allowedAdmissionClasses": ["reviewable"] * 2}, "scope.allowedAdmissionClasses"),
    ({"delegationControl__delegatorOperatorId": "org-c"}, "delegationControl.delegatorOperatorId"),
    ({"delegationControl__delegateOperatorId": "org-c"}, "delegationControl.delegateOperatorId"),
    ({"delegationControl__delegateOperatorId": "org-a"}, "delegationControl.delegateOperatorId"),
    ({"delegationControl__maxHops": 0}, "delegationControl.maxHops"),
    ({"delegationControl__attenuationRequired": False}, "delegationControl.attenuationRequired"),
    (
        {"delegationControl__visibilityOnlyUntilLocalActivation": False},
        "delegationControl.visibilityOnlyUntilLocalActivation",
    ),
    *[
        ({f"importControl__{name}": False}, f"importControl.{name}")
        for name in exchange_members()["importControl"]
    ],
]


@pytest.mark.parametrize(("change", "member"), RULES, ids=[json.dumps(change) for change, _ in RULES])
def test_every_rule_is_kept_in_reading_and_in_writing(change: dict[str, Any], member: str) -> None:
    with pytest.raises(ActivationInvalid) as refused:
        verify_activation(signed(**change), signer=A, now=NOW)
    assert member in [name for name, _ in refused.value.faults]
    with pytest.raises(ActivationInvalid):
        sign_activation(parse_exchange(exchange_members(**change)), KEY_A)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ActivationInvalid) as refused:
        verify_activation(signed(exchangeId="", delegationControl__maxHops=0), signer=A, now=NOW)
    assert str(refused.value) == (
        "exchangeId must not be empty; delegationControl.maxHops must be greater than 0"
    )


FORMS: list[dict[str, Any]] = [
    {"issuedAt": -1},
    {"issuedAt": True},
    {"expiresAt": "tomorrow"},
    {"exchangeId": 1},
    {"extra": 1},
    {"scope": None},
    {"scope__extra": 1},
    {"scope__namespaces": ["a"]},
    {"scope__allowedActorKinds": ["robot"]},
    {"scope__allowedActorKinds": "tool_server"},
    {"activationRef__kind": "rumour"},
    {"activationRef__schema": None},
    {"delegationControl__maxHops": None},
    {"delegationControl__maxHops": -1},
    {"delegationControl__maxAutonomyTier": "TIER_2_DELEGATED"},
    {"delegationControl__attenuationRequired": 1},
    {"importControl__manualReviewRequired": None},
    {"importControl__manualReviewRequired": "true"},
    {"note": 1},
    {"note": "x" * 5000},
]


@pytest.mark.parametrize("change", FORMS, ids=[json.dumps(change)[:60] for change in FORMS])
def test_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedDocument):
        verify_activation(signed(**change), signer=A, now=NOW)


@pytest.mark.parametrize("member", ["governingCharterRef", "note"])
def test_null_is_not_absent(member: str) -> None:
    document = json.dumps(sign_document({**exchange_members(), member: None}, KEY_A)).encode()
    with pytest.raises(MalformedDocument):
        read_activation(document, signer=A)


@pytest.mark.parametrize(
    ("now", "holds"),
    [(1_714_291_199, False), (1_714_291_200, True), (1_716_883_199, True), (1_716_883_200, False)],
)
def test_an_exchange_is_in_force_from_its_first_second_up_to_its_last(now: int, holds: bool) -> None:
    if holds:
        verify_activation(signed(), signer=A, now=now)
        return
    with pytest.raises(ActivationExpired):
        verify_activation(signed(), signer=A, now=now)


def test_the_signer_is_the_one_that_was_asked_for() -> None:
    verify_activation(signed(), signer=None, now=NOW)
    with pytest.raises(UnexpectedSigner):
        verify_activation(signed(), signer=KEY_B.public_key, now=NOW)
    weak = {**json.loads(signed()), "signerKey": "01" + "00" * 31}
    with pytest.raises(WeakKey):
        verify_activation(weak, signer=None, now=NOW)


def test_another_artifact_of_chio_is_not_an_activation() -> None:
    document = sign_document({**exchange_members(), "schema": "chio.federation-quorum-report.v1"}, KEY_A)
    with pytest.raises(UnsupportedSchema):
        verify_activation(document, signer=A, now=NOW)


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    written = sign_activation(parse_exchange(exchange_members()), KEY_A)
    place = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != written[place]))
    changed = written[:place] + bytes([byte]) + written[place + 1 :]
    try:
        found = verify_activation(changed, signer=A, now=NOW)
    except ProtocolError:
        return
    assert found == verify_activation(written, signer=A, now=NOW)


def test_the_documented_example_is_read_as_what_it_is() -> None:
    envelope = documented_envelope()
    assert is_documented(envelope)
    found = read_documented(json.dumps(envelope).encode())
    assert found.namespaces == ("billing.org-b.internal",)
    assert found.tools == ("billing.read",)
    assert found.max_autonomy_tier == "TIER_2_DELEGATED"
    assert found.activation_ref.sha256 == "ad81...c4"
    assert found.judge_signature() is SignatureState.UNREADABLE


def test_a_documented_signature_that_can_be_read_is_judged() -> None:
    envelope = documented_envelope()
    envelope["signerPublicKey"] = A.canonical
    envelope["signature"] = "ed25519:" + KEY_A.sign(canonical_bytes(envelope["body"])).hex()
    assert read_documented(envelope).judge_signature() is SignatureState.VERIFIED
    envelope["body"]["listingId"] = "another"
    assert read_documented(envelope).judge_signature() is SignatureState.INVALID


def test_neither_shape_is_taken_for_the_other() -> None:
    envelope = documented_envelope()
    with pytest.raises(ProtocolError):
        verify_activation(envelope, signer=None, now=NOW)
    # Nor in the other's envelope.
    with pytest.raises(UnsupportedSchema):
        verify_activation(sign_document(envelope["body"], KEY_A), signer=None, now=NOW)
    relabelled = sign_document({**envelope["body"], "schema": ACTIVATION_SCHEMA}, KEY_A)
    with pytest.raises(MalformedDocument):
        verify_activation(relabelled, signer=None, now=NOW)
    assert not is_documented(json.loads(signed()))
    with pytest.raises(MalformedDocument):
        read_documented(signed())


@pytest.mark.parametrize(
    "change",
    [
        {"body": 1},
        {"more": 1},
        {"signature": 1},
        {"body": {**documented_envelope()["body"], "more": 1}},
        {"body": {**documented_envelope()["body"], "scope": {"namespaces": []}}},
        {"body": {**documented_envelope()["body"], "scope": {"namespaces": [1], "tools": []}}},
        {"body": {**documented_envelope()["body"], "governingCharterRef": None}},
    ],
    ids=lambda value: json.dumps(value)[-50:],
)
def test_another_documented_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedDocument):
        read_documented({**documented_envelope(), **change})


def test_nothing_that_decides_reads_an_activation() -> None:
    root = Path(bilateral.__file__).parent
    readers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "bilateral.protocol.activation"
            ):
                readers.add(path.relative_to(root).as_posix())
    assert {path for path in readers if not path.startswith("cli/")} == {"protocol/activation_documented.py"}
