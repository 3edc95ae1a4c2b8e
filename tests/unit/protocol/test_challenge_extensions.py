"""Members of newer kernels are tolerated, covered by the signature, and still read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.errors import InvalidSignature, MalformedDocument
from bilateral.protocol.handshake import HANDSHAKE_SCHEMA, accept_envelope, parse_envelope
from support.kernels import KEY_A, NOW, TERMS, A, B

MANIFEST: dict[str, Any] = {
    "manifestId": "ladder-1",
    "sha256": "ab" * 32,
    "issuedAtUnixMs": NOW * 1000,
    "expiresAtUnixMs": NOW * 1000 + 1,
}
CAPABILITIES: dict[str, Any] = {
    "schema": "chio.capabilities.v1",
    "features": {"accepts_hybrid_signatures": True, "accepts_anchor_batch_v1": False},
}


def signed(**extra: Any) -> dict[str, Any]:
    """Sign a challenge with more members as a newer kernel would."""
    challenge = {
        "schema": HANDSHAKE_SCHEMA,
        "localKernelId": A,
        "remoteKernelId": B,
        "nonce": "nonce-1",
        "timestamp": NOW,
        **extra,
    }
    return {
        "challenge": challenge,
        "declaredPublicKey": KEY_A.public_key.hex,
        "signature": KEY_A.sign(canonical_bytes(challenge)).hex(),
    }


TOLERATED = [
    pytest.param({"capabilities": CAPABILITIES}, id="capabilities"),
    pytest.param({"capabilities": {"schema": "chio.capabilities.v1", "features": {}}}, id="no features"),
    pytest.param({"conformanceTier": "bronze"}, id="the default tier, written"),
    pytest.param({"conformanceTier": "gold"}, id="a tier"),
    pytest.param({"ladderManifestRef": MANIFEST}, id="a manifest"),
    pytest.param(
        {"capabilities": CAPABILITIES, "conformanceTier": "silver", "ladderManifestRef": MANIFEST},
        id="all three",
    ),
]


@pytest.mark.parametrize("extra", TOLERATED)
def test_they_are_verified_as_received(extra: dict[str, Any]) -> None:
    document = signed(**extra)
    envelope = parse_envelope(json.dumps(document).encode())
    assert envelope.challenge.to_members() == document["challenge"]
    assert accept_envelope(envelope, TERMS, None, NOW).public_key == KEY_A.public_key
    assert json.loads(envelope.to_json()) == document


@pytest.mark.parametrize("extra", TOLERATED)
def test_they_cannot_be_left_out_or_put_in(extra: dict[str, Any]) -> None:
    with_members, without = signed(**extra), signed()
    with_members["signature"], without["signature"] = without["signature"], with_members["signature"]
    for document in (with_members, without):
        with pytest.raises(InvalidSignature):
            accept_envelope(parse_envelope(json.dumps(document).encode()), TERMS, None, NOW)


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        pytest.param({"conformancetier": "gold"}, "unknown-member", id="another name"),
        pytest.param(
            {"conformanceTier": "gold", "x": 1}, "unknown-member", id="one unknown beside a known one"
        ),
        pytest.param({"conformanceTier": "platinum"}, "conformance-tier", id="unknown tier"),
        pytest.param({"conformanceTier": None}, "conformance-tier", id="tier is null"),
        pytest.param({"conformanceTier": ["gold"]}, "conformance-tier", id="tier is an array"),
        pytest.param({"capabilities": None}, "capabilities", id="capabilities are null"),
        pytest.param({"capabilities": {}}, "capabilities", id="capabilities are empty"),
        pytest.param({"capabilities": {**CAPABILITIES, "x": 1}}, "capabilities", id="capabilities with more"),
        pytest.param(
            {"capabilities": {**CAPABILITIES, "schema": "chio.capabilities.v2"}},
            "capabilities",
            id="their schema",
        ),
        pytest.param(
            {"capabilities": {**CAPABILITIES, "features": []}}, "capabilities", id="features in an array"
        ),
        pytest.param(
            {"capabilities": {**CAPABILITIES, "features": {"a": 1}}},
            "capabilities",
            id="a feature that is a number",
        ),
        pytest.param(
            {"capabilities": {**CAPABILITIES, "features": {"A": True}}},
            "capabilities",
            id="a feature in upper case",
        ),
        pytest.param(
            {"capabilities": {**CAPABILITIES, "features": {"a" * 97: True}}},
            "capabilities",
            id="a long feature",
        ),
        pytest.param({"ladderManifestRef": "x"}, "ladder-manifest-ref", id="manifest is text"),
        *(
            pytest.param({"ladderManifestRef": {**MANIFEST, name: value}}, "ladder-manifest-ref", id=label)
            for label, name, value in (
                ("manifest with one more member", "x", 1),
                ("manifest id is a number", "manifestId", 1),
                ("manifest id is empty", "manifestId", ""),
                ("manifest digest is short", "sha256", "ab"),
                ("manifest digest in upper case", "sha256", "AB" * 32),
                ("manifest digest is null", "sha256", None),
                ("manifest issued is text", "issuedAtUnixMs", "1"),
                ("manifest issued is true", "issuedAtUnixMs", True),
                ("manifest issued is negative", "issuedAtUnixMs", -1),
                ("manifest expires too late", "expiresAtUnixMs", 2**53),
                ("manifest expires when issued", "expiresAtUnixMs", NOW * 1000),
            )
        ),
        pytest.param(
            {"ladderManifestRef": {k: v for k, v in MANIFEST.items() if k != "sha256"}},
            "ladder-manifest-ref",
            id="manifest: no digest",
        ),
    ],
)
def test_what_is_not_of_their_schema_is_refused(extra: dict[str, Any], cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_envelope(json.dumps(signed(**extra)).encode())
    assert refusal.value.cause == cause
