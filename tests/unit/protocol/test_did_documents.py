"""``did:chio`` resolves locally, to the document that chio publishes."""

from __future__ import annotations

import pytest

from bilateral.protocol.did import build_did_document, resolve_did
from bilateral.protocol.errors import MalformedDocument, MalformedKey, WeakKey
from bilateral.protocol.keys import SigningKey
from support import edwards

KEY = SigningKey.from_seed(b"\x07" * 32).public_key
DID = KEY.did
METHOD = f"{DID}#key-1"


def test_the_document_of_a_key() -> None:
    assert resolve_did(DID) == {
        "@context": "https://www.w3.org/ns/did/v1",
        "id": "did:chio:ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
        "verificationMethod": [
            {
                "id": METHOD,
                "type": "Ed25519VerificationKey2020",
                "controller": DID,
                "publicKeyMultibase": "z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z",
            }
        ],
        "authentication": [METHOD],
        "assertionMethod": [METHOD],
    }


def test_upper_case_is_read_and_lower_case_written() -> None:
    assert resolve_did(f"did:chio:{KEY.hex.upper()}") == resolve_did(DID) == build_did_document(KEY)


def test_services_are_numbered_from_the_second_on() -> None:
    document = resolve_did(DID, ["https://a.example/log", "https://b.example/log"], ["http://c.example:8940"])
    assert document["service"] == [
        {
            "id": f"{DID}#receipt-log",
            "type": "ChioReceiptLogService",
            "serviceEndpoint": "https://a.example/log",
        },
        {
            "id": f"{DID}#receipt-log-2",
            "type": "ChioReceiptLogService",
            "serviceEndpoint": "https://b.example/log",
        },
        {
            "id": f"{DID}#passport-status",
            "type": "ChioPassportStatusService",
            "serviceEndpoint": "http://c.example:8940",
        },
    ]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("", "did-prefix", id="nothing"),
        pytest.param(KEY.hex, "did-prefix", id="no prefix"),
        pytest.param(KEY.did_key, "did-prefix", id="another method"),
        pytest.param(f" {DID}", "did-prefix", id="space before"),
        pytest.param(f"{DID}\n", "spelling", id="line break behind"),
        pytest.param(f"{DID}#key-1", "spelling", id="fragment"),
        pytest.param(DID[:-1], "spelling", id="63 digits"),
        pytest.param("did:chio:p256:00", "spelling", id="another algorithm"),
    ],
)
def test_what_is_no_did_chio_is_refused(text: str, cause: str) -> None:
    with pytest.raises(MalformedKey) as refusal:
        resolve_did(text)
    assert refusal.value.cause == cause


def test_a_weak_key_has_no_document() -> None:
    with pytest.raises(WeakKey):
        resolve_did(f"did:chio:{edwards.encode(edwards.TORSION).hex()}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "/log",
        "ftp://a.example/",
        "javascript:alert(1)",
        "https://",
        "https:///log",
        "https://a b",
        "https://a\n.example",
        "https://[::1",
        "https://a.example:port",
        "https://a.example:99999",
        "https://a.example:0",
        "https://ä.example",
        "https://a.example/" + "x" * 2048,
    ],
)
def test_a_service_needs_a_url(url: str) -> None:
    for arguments in ({"receipt_log_urls": [url]}, {"passport_status_urls": ["https://ok.example", url]}):
        with pytest.raises(MalformedDocument, match="service-endpoint"):
            resolve_did(DID, **arguments)
