"""Requests for introductions: strict forms, one signature, the contract's order of refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bilateral.protocol.acceptance import Pin
from bilateral.protocol.canonical import JSON
from bilateral.protocol.documents import sign_document
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    InvalidSignature,
    KernelIdMismatch,
    MalformedDocument,
    PeerNotPinned,
    PeerStale,
    ProtocolError,
    UnexpectedSigner,
    UnsupportedSchema,
)
from bilateral.protocol.handshake import parse_envelope
from bilateral.protocol.introduction_request import (
    MAX_INTRODUCTION_CHARACTERS,
    REQUEST_SCHEMA,
    STATUS_SCHEMA,
    Claims,
    Granted,
    IntroductionRequest,
    RequestState,
    StatusRequest,
    Waiting,
    build_answer_body,
    build_introduction_request,
    build_status_request,
    parse_answer_body,
    parse_introduction_request,
    parse_status_request,
    verify_caller,
)
from bilateral.protocol.publickey import PublicKey
from support.kernels import KEY_A, NOW, OTHER_KEY, A, B, envelope_of_a, pin_of_a

CSR = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
CLAIMS = Claims(A, B, NOW, "nonce-1")
ID = "0123456789abcdef0123456789abcdef"


def request(**changes: Any) -> bytes:
    arguments = {"csr": CSR, "services": ("org-b-api", "x.org-b"), "validity_seconds": 3600, "key": KEY_A}
    return build_introduction_request(CLAIMS, **{**arguments, **changes})


def body_of(data: bytes) -> dict[str, JSON]:
    body: dict[str, JSON] = json.loads(data)["body"]
    return body


def signed(body: dict[str, JSON]) -> bytes:
    return json.dumps(sign_document(body, KEY_A)).encode()


def test_a_request_is_read_as_it_was_written() -> None:
    assert parse_introduction_request(request()) == IntroductionRequest(
        CLAIMS, KEY_A.public_key, CSR, ("org-b-api", "x.org-b"), 3600
    )
    assert parse_status_request(build_status_request(CLAIMS, ID, KEY_A)) == StatusRequest(
        CLAIMS, KEY_A.public_key, ID
    )


def test_a_kind_is_read_as_itself_only() -> None:
    asked, status = request(), build_status_request(CLAIMS, ID, KEY_A)
    with pytest.raises(UnsupportedSchema):
        parse_status_request(asked)
    with pytest.raises(UnsupportedSchema):
        parse_introduction_request(status)
    for data in (asked, status):
        with pytest.raises(ProtocolError):
            parse_envelope(data)
    for read in (parse_introduction_request, parse_status_request):
        with pytest.raises(ProtocolError):
            read(envelope_of_a().to_json())


@pytest.mark.parametrize("kind", [REQUEST_SCHEMA, STATUS_SCHEMA])
def test_with_the_members_of_the_other_kind_it_is_malformed(kind: str) -> None:
    asked, status = body_of(request()), body_of(build_status_request(CLAIMS, ID, KEY_A))
    body = {**(status if kind == REQUEST_SCHEMA else asked), "schema": kind}
    read: Callable[[bytes], object] = (
        parse_introduction_request if kind == REQUEST_SCHEMA else parse_status_request
    )
    with pytest.raises(MalformedDocument):
        read(signed(body))


BAD: dict[str, tuple[dict[str, JSON], str]] = {
    "a sender that is no kernel id": ({"sender": "a b"}, "sender"),
    "an empty addressee": ({"addressee": ""}, "addressee"),
    "a time that is true": ({"timestamp": True}, "timestamp"),
    "a time before all time": ({"timestamp": -1}, "timestamp"),
    "a nonce of 129 characters": ({"nonce": "n" * 129}, "nonce"),
    "a request that is no text": ({"csr": ["x"]}, "csr"),
    "an empty request": ({"csr": ""}, "csr"),
    "a request beyond ASCII": ({"csr": CSR + "\u00e4"}, "csr"),
    "a request of 8193 characters": ({"csr": "A" * 8193}, "csr"),
    "services in one text": ({"services": "org-b-api"}, "services"),
    "a service outside its directory": ({"services": ["../x"]}, "services"),
    "a service in upper case": ({"services": ["API"]}, "services"),
    "a service of 254 characters": ({"services": ["a" * 254]}, "services"),
    "a service twice": ({"services": ["a", "a"]}, "services"),
    "65 services": ({"services": [f"a{n}" for n in range(65)]}, "services"),
    "a service that is a number": ({"services": [1]}, "services"),
    "no time at all": ({"validitySeconds": 0}, "validity-seconds"),
    "599 seconds": ({"validitySeconds": 599}, "validity-seconds"),
    "more than a year": ({"validitySeconds": 31_536_001}, "validity-seconds"),
    "a validity that is true": ({"validitySeconds": True}, "validity-seconds"),
    "a member too many": ({"approval": "Approved"}, "unknown-member"),
}


@pytest.mark.parametrize(("change", "cause"), BAD.values(), ids=BAD)
def test_a_malformed_request_is_refused(change: dict[str, JSON], cause: str) -> None:
    with pytest.raises(MalformedDocument) as caught:
        parse_introduction_request(signed({**body_of(request()), **change}))
    assert caught.value.cause == cause


@pytest.mark.parametrize("member", sorted(body_of(request())))
def test_every_member_is_demanded(member: str) -> None:
    body = body_of(request())
    del body[member]
    # Without a schema a document cannot be signed by us at all.
    data = json.dumps({"body": body, "signerKey": KEY_A.public_key.hex, "signature": "0" * 128}).encode()
    with pytest.raises(MalformedDocument):
        parse_introduction_request(data if member == "schema" else signed(body))


@pytest.mark.parametrize("request_id", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "../" + "0" * 29])
def test_an_id_is_32_hex_digits(request_id: str) -> None:
    with pytest.raises(MalformedDocument, match="id"):
        build_status_request(CLAIMS, request_id, KEY_A)
    with pytest.raises(MalformedDocument, match="id"):
        parse_answer_body(json.dumps({"id": request_id, "state": "Pending"}).encode())


def test_what_would_be_refused_is_not_sent() -> None:
    with pytest.raises(MalformedDocument):
        request(services=("a", "a"))
    with pytest.raises(MalformedDocument):
        request(services=[f"{'a' * 240}{n}" for n in range(64)], csr="A" * 8192)  # more than 16 KiB


def test_a_changed_body_is_not_signed() -> None:
    document = json.loads(request())
    document["body"]["validitySeconds"] = 7200
    with pytest.raises(InvalidSignature):
        parse_introduction_request(json.dumps(document).encode())


def verify(signer: PublicKey = KEY_A.public_key, *, claims: Claims = CLAIMS, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "local_kernel_id": B,
        "remote_kernel_id": A,
        "max_clock_skew_seconds": 300,
        "pin": pin_of_a(),
        "now": NOW,
    }
    verify_caller(claims, signer, **{**arguments, **changes})


def test_a_fresh_partner_is_heard_up_to_the_limit_of_the_skew() -> None:
    verify()
    verify(now=NOW + 300)
    verify(now=NOW - 300)


STALE: Pin = pin_of_a(rotation_due=NOW)
REFUSED: dict[str, tuple[dict[str, Any], type[ProtocolError]]] = {
    "addressed to another": ({"local_kernel_id": "org-c-kernel"}, AddressMismatch),
    "of another sender": ({"remote_kernel_id": "org-c-kernel"}, KernelIdMismatch),
    "from ourselves": ({"claims": Claims(B, B, NOW, "n"), "remote_kernel_id": B}, KernelIdMismatch),
    "too old": ({"now": NOW + 301}, ClockSkewExceeded),
    "from the future": ({"now": NOW - 301}, ClockSkewExceeded),
    "never pinned": ({"pin": None}, PeerNotPinned),
    "stale since this second": ({"pin": STALE}, PeerStale),
    "by another key": ({"signer": OTHER_KEY.public_key}, UnexpectedSigner),
    # The order: the earlier cause speaks.
    "of another, and old": ({"remote_kernel_id": "x", "now": NOW + 301}, KernelIdMismatch),
    "old, and stale": ({"now": NOW + 301, "pin": STALE}, ClockSkewExceeded),
    "stale, by another key": ({"pin": STALE, "signer": OTHER_KEY.public_key}, UnexpectedSigner),
}


@pytest.mark.parametrize(("changes", "error"), REFUSED.values(), ids=REFUSED)
def test_anybody_else_is_refused(changes: dict[str, Any], error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        verify(**changes)


@pytest.mark.parametrize(
    "answer",
    [
        Waiting(ID, RequestState.PENDING),
        Waiting(ID, RequestState.APPROVED),
        Granted(ID, '{"signed_cert": ""}\n'),
    ],
    ids=["pending", "approved", "granted"],
)
def test_an_answer_is_read_as_it_was_written(answer: Waiting | Granted) -> None:
    assert parse_answer_body(build_answer_body(answer)) == answer


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"id": ID},
        {"id": ID, "state": "Denied"},
        {"id": ID, "state": ["Pending"]},
        {"id": ID, "state": "Pending", "introduction": "x"},
        {"id": ID, "introduction": ""},
        {"id": ID, "introduction": {"signed_cert": ""}},
        {"id": ID, "introduction": "x" * (MAX_INTRODUCTION_CHARACTERS + 1)},
        {"id": 1, "state": "Pending"},
    ],
    ids=lambda document: json.dumps(document)[:40],
)
def test_any_other_answer_is_malformed(document: JSON) -> None:
    with pytest.raises(MalformedDocument):
        parse_answer_body(json.dumps(document).encode())
