"""The authority statement: what we sign, and what of somebody else's we refuse to read."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from bilateral.protocol.authority_statement import (
    AUTHORITY_STATEMENT_SCHEMA,
    MAX_LIFETIME_SECONDS,
    MAX_STATEMENT_BYTES,
    AuthorityStatement,
    open_statement,
    sign_statement,
)
from bilateral.protocol.documents import sign_document
from bilateral.protocol.errors import (
    DocumentTooLarge,
    InvalidSignature,
    KernelIdMismatch,
    MalformedDocument,
    UnexpectedSigner,
    UnsupportedSchema,
)
from support.kernels import KEY_A, NOW, OTHER_KEY, A, B

STATEMENT = AuthorityStatement(
    kernel_id=A,
    sequence=NOW,
    issued_at=NOW,
    expires_at=NOW + 172_800,
    certificates=(b"new", b"old"),
    revocation_list=b"list of new",
    previous_lists=(b"list of old",),
)


def body(**changes: Any) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(sign_statement(STATEMENT, KEY_A))["body"]
    members.update(changes)
    return {name: value for name, value in members.items() if value is not ...}


def opened(document: bytes) -> AuthorityStatement:
    return open_statement(document, signer=KEY_A.public_key, kernel_id=A)


def test_what_is_signed_is_read_again() -> None:
    assert opened(sign_statement(STATEMENT, KEY_A)) == STATEMENT
    alone = replace(STATEMENT, certificates=(b"new",), previous_lists=())
    assert opened(sign_statement(alone, KEY_A)) == alone


def test_the_members_are_those_of_the_schema() -> None:
    assert body() == {
        "schema": AUTHORITY_STATEMENT_SCHEMA,
        "kernelId": A,
        "sequence": NOW,
        "issuedAt": NOW,
        "expiresAt": NOW + 172_800,
        "certificates": [base64.b64encode(b"new").decode(), base64.b64encode(b"old").decode()],
        "crl": base64.b64encode(b"list of new").decode(),
        "previousCrls": [base64.b64encode(b"list of old").decode()],
    }


def test_another_signer_is_refused() -> None:
    with pytest.raises(UnexpectedSigner):
        opened(sign_statement(STATEMENT, OTHER_KEY))


def test_another_kernel_is_refused_though_the_signer_is_right() -> None:
    with pytest.raises(KernelIdMismatch):
        opened(sign_statement(replace(STATEMENT, kernel_id=B), KEY_A))


def test_a_changed_statement_is_refused() -> None:
    document = json.loads(sign_statement(STATEMENT, KEY_A))
    document["body"]["sequence"] += 1
    with pytest.raises(InvalidSignature):
        opened(json.dumps(document).encode())


def test_a_statement_of_another_version_is_refused() -> None:
    other = sign_document(body(schema="bilateral.authority-statement.v2"), KEY_A)
    with pytest.raises(UnsupportedSchema):
        opened(json.dumps(other).encode())


ONE = base64.b64encode(b"x").decode()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"extra": 1}, "unknown-member"),
        ({"previousCrls": ...}, "missing-member"),
        ({"kernelId": "a b"}, "kernel-id"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"sequence": "1"}, "sequence"),
        ({"issuedAt": None}, "issued-at"),
        ({"expiresAt": NOW}, "lifetime"),
        ({"expiresAt": NOW + MAX_LIFETIME_SECONDS + 1}, "lifetime"),
        ({"certificates": []}, "certificates"),
        ({"certificates": ONE}, "certificates"),
        ({"certificates": [1]}, "certificates"),
        ({"certificates": [""]}, "certificates"),
        ({"certificates": [ONE, ONE]}, "duplicate-certificate"),
        ({"certificates": [base64.b64encode(bytes([i])).decode() for i in range(9)]}, "certificates"),
        ({"certificates": [base64.b64encode(b"x" * 16_385).decode()], "previousCrls": []}, "certificates"),
        ({"certificates": ["eA="]}, "certificates"),
        ({"certificates": ["eB=="]}, "certificates"),
        ({"certificates": ["_w=="]}, "certificates"),
        ({"certificates": ["eA==\n"]}, "certificates"),
        ({"crl": ""}, "crl"),
        ({"crl": None}, "crl"),
        ({"previousCrls": [ONE, ONE]}, "previous-crls"),
    ],
)
def test_what_breaks_a_rule_is_refused(changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(MalformedDocument) as caught:
        opened(json.dumps(sign_document(body(**changes), KEY_A)).encode())
    assert caught.value.cause == cause


def test_we_sign_nothing_that_would_be_refused() -> None:
    with pytest.raises(MalformedDocument):
        sign_statement(replace(STATEMENT, certificates=()), KEY_A)
    with pytest.raises(MalformedDocument):
        sign_statement(replace(STATEMENT, expires_at=NOW - 1), KEY_A)


def test_a_statement_ends_where_a_secret_would() -> None:
    large = replace(STATEMENT, revocation_list=b"x" * (MAX_STATEMENT_BYTES * 3 // 4))
    with pytest.raises(DocumentTooLarge):
        sign_statement(large, KEY_A)
    with pytest.raises(DocumentTooLarge):
        opened(b" " * (MAX_STATEMENT_BYTES + 1))
