"""The handshake envelope: read strictly, written so that upstream reads it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.errors import DocumentTooLarge, MalformedDocument, ProtocolError, UnsupportedSchema
from bilateral.protocol.handshake import HANDSHAKE_SCHEMA, Challenge, Envelope, build_envelope, parse_envelope
from bilateral.protocol.keys import verify_signature
from bilateral.protocol.reasons import Reason
from support.kernels import KEY_A, KEY_B, NOW, A, B, envelope_of_a

ENVELOPE = envelope_of_a()
WIRE = ENVELOPE.to_json()


def changed(path: str, value: object) -> bytes:
    """Return the envelope with the member at ``path`` set to ``value``, or removed if it is ``...``."""
    document: dict[str, Any] = json.loads(WIRE)
    *parents, name = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[name]
    else:
        target[name] = value
    return json.dumps(document).encode()


def test_the_sample_is_signed_as_everybody_signs_it() -> None:
    # Derived independently from the contract: seed 0x0b, org-a-kernel to org-b-kernel, nonce-1.
    assert NOW == 1714291200
    message = ENVELOPE.challenge.canonical_bytes()
    assert message == (
        b'{"localKernelId":"org-a-kernel","nonce":"nonce-1","remoteKernelId":"org-b-kernel",'
        b'"schema":"chio.federation-kernel-handshake.v1","timestamp":1714291200}'
    )
    digest = "02cdc190b572d27be554d7ac211cf90276dac967834bb060888d79bae4f4068e"
    assert hashlib.sha256(message).hexdigest() == digest
    assert ENVELOPE.signature.hex() == (
        "79f9bc3788484a1bb4df4d5c642103037199315c6a70a0a90a0e18a14116a215"
        "60d3883510d483b56443422ca5d1310c52f87c13af1e10ad956026af4b23e307"
    )


def test_what_is_written_is_what_upstream_reads() -> None:
    document = json.loads(WIRE)
    assert list(document) == ["challenge", "declaredPublicKey", "signature"]
    assert list(document["challenge"]) == ["schema", "localKernelId", "remoteKernelId", "nonce", "timestamp"]
    assert document["declaredPublicKey"] == KEY_A.public_key.hex
    assert document["signature"] == ENVELOPE.signature.hex()
    assert b" " not in WIRE


def test_it_reads_back() -> None:
    assert parse_envelope(WIRE) == ENVELOPE
    verify_signature(KEY_A.public_key, ENVELOPE.challenge.canonical_bytes(), ENVELOPE.signature)


KEY_HEX = KEY_A.public_key.hex
SIGNATURE_HEX = ENVELOPE.signature.hex()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(changed("declaredPublicKey", f"ed25519:{KEY_HEX}"), id="key with ed25519"),
        pytest.param(changed("declaredPublicKey", f"0x{KEY_HEX}"), id="key with 0x"),
        pytest.param(changed("declaredPublicKey", KEY_HEX.upper()), id="key in upper case"),
        pytest.param(changed("signature", f"ed25519:{SIGNATURE_HEX}"), id="signature with ed25519"),
        pytest.param(changed("signature", SIGNATURE_HEX.upper()), id="signature in upper case"),
        pytest.param(
            json.dumps(json.loads(WIRE), indent=4, sort_keys=True).encode(), id="indented and sorted"
        ),
        pytest.param(WIRE.replace(b'"nonce"', b'"\\u006eonce"'), id="a name with an escape"),
    ],
)
def test_other_spellings_of_the_same_envelope_read_the_same(data: bytes) -> None:
    assert parse_envelope(data) == ENVELOPE


MALFORMED = [
    pytest.param(b"", "syntax", id="nothing"),
    pytest.param(b"null", "not-an-object", id="null"),
    pytest.param(b"[]", "not-an-object", id="array"),
    pytest.param(b"{}", "missing-member", id="empty object"),
    pytest.param(changed("challenge", ...), "missing-member", id="no challenge"),
    pytest.param(changed("declaredPublicKey", ...), "missing-member", id="no key"),
    pytest.param(changed("signature", ...), "missing-member", id="no signature"),
    pytest.param(changed("extra", 1), "unknown-member", id="a fourth member"),
    pytest.param(WIRE.replace(b'"signature"', b'"signed"'), "missing-member", id="another third member"),
    pytest.param(changed("challenge", "x"), "challenge", id="challenge is text"),
    pytest.param(changed("challenge", None), "challenge", id="challenge is null"),
    pytest.param(changed("challenge", []), "challenge", id="challenge is an array"),
    pytest.param(changed("challenge.schema", ...), "missing-member", id="no schema"),
    pytest.param(changed("challenge.nonce", ...), "missing-member", id="no nonce"),
    pytest.param(changed("challenge.timestamp", ...), "missing-member", id="no timestamp"),
    pytest.param(changed("challenge.localKernelId", ...), "missing-member", id="no sender"),
    pytest.param(changed("challenge.remoteKernelId", ...), "missing-member", id="no addressee"),
    pytest.param(changed("challenge.extra", 1), "unknown-member", id="unknown member of the challenge"),
    pytest.param(changed("challenge.schema", 1), "schema", id="schema is a number"),
    pytest.param(changed("challenge.schema", None), "schema", id="schema is null"),
    pytest.param(changed("challenge.timestamp", "1714291200"), "timestamp", id="timestamp is text"),
    pytest.param(WIRE.replace(b"1714291200", b"true"), "timestamp", id="timestamp is true"),
    pytest.param(changed("challenge.timestamp", -1), "timestamp", id="timestamp before 1970"),
    pytest.param(changed("challenge.timestamp", 2**53), "timestamp", id="timestamp 2^53"),
    pytest.param(changed("challenge.timestamp", 12345678901234567), "timestamp", id="timestamp of 17 digits"),
    pytest.param(changed("challenge.timestamp", 1.5), "timestamp", id="timestamp is a double"),
    pytest.param(
        changed("challenge.timestamp", float(NOW)), "timestamp", id="timestamp is an integral double"
    ),
    pytest.param(changed("challenge.timestamp", 1e20), "timestamp", id="timestamp 1e20"),
    pytest.param(changed("challenge.timestamp", 2**64), "integer-out-of-range", id="timestamp 2^64"),
    pytest.param(changed("challenge.timestamp", None), "timestamp", id="timestamp is null"),
    pytest.param(changed("challenge.nonce", ""), "nonce", id="empty nonce"),
    pytest.param(changed("challenge.nonce", "x" * 129), "nonce", id="nonce of 129 characters"),
    pytest.param(changed("challenge.nonce", "a\nb"), "nonce", id="nonce with a line break"),
    pytest.param(changed("challenge.nonce", "a\x7f"), "nonce", id="nonce with U+007F"),
    pytest.param(changed("challenge.nonce", "é"), "nonce", id="nonce beyond ASCII"),
    pytest.param(changed("challenge.nonce", 1), "nonce", id="nonce is a number"),
    pytest.param(changed("challenge.localKernelId", ""), "local-kernel-id", id="empty sender"),
    pytest.param(
        changed("challenge.localKernelId", "a" * 254), "local-kernel-id", id="sender of 254 characters"
    ),
    pytest.param(
        changed("challenge.localKernelId", f"{A}\n"), "local-kernel-id", id="sender with a line break"
    ),
    pytest.param(changed("challenge.localKernelId", "a/b"), "local-kernel-id", id="sender with a slash"),
    pytest.param(
        changed("challenge.localKernelId", "a%2fb"), "local-kernel-id", id="sender with a percent sign"
    ),
    pytest.param(changed("challenge.localKernelId", "örg"), "local-kernel-id", id="sender beyond ASCII"),
    pytest.param(changed("challenge.localKernelId", ["a"]), "local-kernel-id", id="sender is an array"),
    pytest.param(changed("challenge.remoteKernelId", "a b"), "remote-kernel-id", id="addressee with a space"),
    pytest.param(changed("challenge.remoteKernelId", 7), "remote-kernel-id", id="addressee is a number"),
    pytest.param(changed("declaredPublicKey", None), "public-key", id="key is null"),
    pytest.param(changed("declaredPublicKey", KEY_HEX[:-1]), "public-key", id="key of 63 digits"),
    pytest.param(changed("declaredPublicKey", f"{KEY_HEX}\n"), "public-key", id="key with a line break"),
    pytest.param(
        changed("declaredPublicKey", f"p256:{KEY_HEX}"), "public-key", id="key of another algorithm"
    ),
    pytest.param(changed("declaredPublicKey", KEY_A.public_key.did), "public-key", id="key as a DID"),
    pytest.param(changed("signature", ""), "signature", id="empty signature"),
    pytest.param(
        changed("signature", f"p256:{SIGNATURE_HEX}"), "signature", id="signature of another algorithm"
    ),
    pytest.param(changed("signature", 5), "signature", id="signature is a number"),
    pytest.param(WIRE.replace(b'"nonce":', b'"nonce":"x","nonce":'), "duplicate-member", id="member twice"),
    pytest.param(
        WIRE.replace(b'"nonce":', b'"\\u006eonce":"x","nonce":'),
        "duplicate-member",
        id="member twice, once escaped",
    ),
    pytest.param(WIRE.replace(b"nonce-1", b"\\ud800"), "lone-surrogate", id="lone surrogate"),
    pytest.param(WIRE.replace(b"1714291200", b"NaN"), "number", id="NaN"),
    pytest.param(b"\xef\xbb\xbf" + WIRE, "byte-order-mark", id="byte order mark"),
    pytest.param(WIRE + WIRE, "syntax", id="two envelopes"),
    pytest.param(b"[" * 17 + b"]" * 17, "too-deep", id="too deep"),
    pytest.param(b"[" * 1000, "too-deep", id="far too deep"),
]


@pytest.mark.parametrize(("data", "cause"), MALFORMED)
def test_what_is_malformed_is_refused_before_any_cryptography(data: bytes, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_envelope(data)
    assert refusal.value.cause == cause
    assert refusal.value.reason is Reason.MALFORMED_DOCUMENT


def test_16_kib_and_no_more() -> None:
    room = 16 * 1024 - len(WIRE)
    assert parse_envelope(WIRE + b" " * room) == ENVELOPE
    with pytest.raises(DocumentTooLarge):
        parse_envelope(WIRE + b" " * (room + 1))
    with pytest.raises(DocumentTooLarge):
        parse_envelope(b" " * 2**20)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            changed("challenge.schema", "chio.federation-kernel-handshake.v2"), id="the next version"
        ),
        pytest.param(changed("challenge.schema", ""), id="empty"),
        pytest.param(changed("challenge.schema", f"{HANDSHAKE_SCHEMA} "), id="a space behind"),
        pytest.param(changed("challenge.schema", HANDSHAKE_SCHEMA.upper()), id="upper case"),
        pytest.param(
            changed("challenge", {"schema": "x.v9", "other": [1]}), id="another version with other members"
        ),
    ],
)
def test_another_schema_is_named_as_such(data: bytes) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        parse_envelope(data)
    assert refusal.value.expected == HANDSHAKE_SCHEMA


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"local_kernel_id": "a b"}, id="sender"),
        pytest.param({"remote_kernel_id": ""}, id="addressee"),
        pytest.param({"nonce": "\n"}, id="nonce"),
        pytest.param({"timestamp": -1}, id="timestamp below"),
        pytest.param({"timestamp": 2**53}, id="timestamp above"),
    ],
)
def test_we_do_not_sign_what_we_would_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedDocument):
        envelope_of_a(**changes)


@pytest.mark.parametrize("timestamp", [0, 2**53 - 1])
def test_the_ends_of_time_read_back(timestamp: int) -> None:
    envelope = envelope_of_a(timestamp=timestamp)
    assert parse_envelope(envelope.to_json()) == envelope


KERNEL_ID = st.from_regex(r"[A-Za-z0-9._:-]{1,253}", fullmatch=True)


@given(
    local=KERNEL_ID,
    remote=KERNEL_ID,
    nonce=st.from_regex(r"[ -~]{1,128}", fullmatch=True),
    timestamp=st.integers(0, 2**53 - 1),
)
def test_every_envelope_reads_back_and_verifies(local: str, remote: str, nonce: str, timestamp: int) -> None:
    envelope = build_envelope(
        local_kernel_id=local, remote_kernel_id=remote, nonce=nonce, timestamp=timestamp, key=KEY_B
    )
    received = parse_envelope(envelope.to_json())
    assert received == envelope
    verify_signature(KEY_B.public_key, received.challenge.canonical_bytes(), received.signature)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(schema=TEXT, local=TEXT, remote=TEXT, nonce=TEXT, timestamp=st.integers(0, 2**53 - 1))
def test_the_signed_bytes_are_canonical_whatever_the_members_hold(
    schema: str, local: str, remote: str, nonce: str, timestamp: int
) -> None:
    challenge = Challenge(schema, local, remote, nonce, timestamp)
    assert challenge.canonical_bytes() == canonical_bytes(challenge.to_members())


@given(at=st.integers(0, len(WIRE) - 1), byte=st.integers(0, 255))
def test_no_changed_byte_goes_unnoticed(at: int, byte: int) -> None:
    data = WIRE[:at] + bytes([byte]) + WIRE[at + 1 :]
    try:
        received = parse_envelope(data)
        verify_signature(
            received.declared_public_key, received.challenge.canonical_bytes(), received.signature
        )
    except ProtocolError:
        return
    assert received == ENVELOPE  # the same byte, or a hex digit in the other case


def test_values_are_frozen_and_comparable() -> None:
    challenge = Challenge(HANDSHAKE_SCHEMA, A, B, "n", 1)
    assert challenge == Challenge(HANDSHAKE_SCHEMA, A, B, "n", 1)
    assert len({ENVELOPE, Envelope(ENVELOPE.challenge, KEY_A.public_key, ENVELOPE.signature)}) == 1
