"""Entries and pages of a revocation feed, and the answer of a plain chio service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import JSON, canonical_bytes
from bilateral.protocol.documents import sign_document
from bilateral.protocol.errors import MalformedDocument, ProtocolError, UnsupportedSchema
from bilateral.protocol.keys import PublicKey, parse_signature, verify_signature
from bilateral.protocol.merkle import leaf_hash
from bilateral.protocol.revocations import (
    FEED_SCHEMA,
    MAX_PAGE_ENTRIES,
    REVOCATION_SCHEMA,
    FeedPage,
    InvalidEntry,
    RevocationEntry,
    parse_entry,
    parse_page,
    parse_plain_revocations,
    sign_entry,
    verify_entry,
)
from support.edwards import BASE, ORDER, TORSION, add, encode, multiply, secret_scalar, sign_with
from support.feeds import FEED_KEY, KERNEL, NOW, OTHER_KEY, feed_of


def malleated(signature: bytes) -> bytes:
    """S + L, which verifies in careless libraries."""
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    return signature[:32] + scalar.to_bytes(32, "little")


ENTRY = sign_entry(KERNEL, "cap-1", NOW, FEED_KEY)
PAGE = feed_of(3).page(1, limit=1)


def test_what_is_signed_names_its_schema_and_its_feed() -> None:
    wire = ENTRY.to_wire()
    assert wire.keys() == {"capabilityId", "revokedAt", "signerKey", "signature"}
    body: dict[str, JSON] = {
        "schema": REVOCATION_SCHEMA,
        "kernelId": KERNEL,
        "capabilityId": "cap-1",
        "revokedAt": NOW,
        "signerKey": FEED_KEY.public_key.hex,
    }
    verify_signature(FEED_KEY.public_key, canonical_bytes(body), parse_signature(str(wire["signature"])))
    assert ENTRY.leaf == leaf_hash(canonical_bytes(wire))


def test_an_entry_is_read_as_it_was_written_whatever_spelling_its_key_has() -> None:
    wire = ENTRY.to_wire()
    assert parse_entry(wire) == ENTRY
    spelt = wire | {"signerKey": f"ed25519:{FEED_KEY.public_key.hex.upper()}"}
    assert parse_entry(spelt).leaf == ENTRY.leaf
    verify_entry(ENTRY, KERNEL, 0)


SMALL_ORDER = PublicKey(bytes([1]) + bytes(31))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(ENTRY, capability_id="cap-2"), id="another capability"),
        pytest.param(replace(ENTRY, revoked_at=NOW + 1), id="another time"),
        pytest.param(replace(ENTRY, signer=OTHER_KEY.public_key), id="another signer"),
        pytest.param(replace(ENTRY, signature=bytes(64)), id="no signature"),
        pytest.param(
            replace(ENTRY, signature=malleated(ENTRY.signature)), id="another form of the signature"
        ),
        pytest.param(
            replace(ENTRY, signer=SMALL_ORDER, signature=bytes([1]) + bytes(63)), id="key of small order"
        ),
    ],
)
def test_an_entry_that_its_key_did_not_sign_is_refused(changed: Any) -> None:
    with pytest.raises(InvalidEntry) as caught:
        verify_entry(changed, KERNEL, 7)
    assert caught.value.index == 7


def test_a_key_for_which_others_can_sign_names_nobody() -> None:
    """A key of mixed order: its signature holds, but it is not a key that anybody should vouch for."""
    secret = secret_scalar(b"\x05" * 32)
    key = PublicKey(encode(add(multiply(secret, BASE), TORSION)))
    body: dict[str, JSON] = {
        "schema": REVOCATION_SCHEMA,
        "kernelId": KERNEL,
        "capabilityId": "cap-1",
        "revokedAt": NOW,
        "signerKey": key.hex,
    }
    message = canonical_bytes(body)
    tries = (
        sign_with(secret, key.raw, message, nonce=nonce, shift=multiply(shift, TORSION))
        for nonce in range(1, 50)
        for shift in range(8)
    )
    signature = next(each for each in tries if holds(key, message, each))
    with pytest.raises(InvalidEntry):
        verify_entry(RevocationEntry("cap-1", NOW, key, signature), KERNEL, 0)


def holds(key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        verify_signature(key, message, signature)
    except ProtocolError:
        return False
    return True


def test_an_entry_of_another_kernel_under_the_same_key_is_refused() -> None:
    with pytest.raises(InvalidEntry):
        verify_entry(ENTRY, "org-c-kernel", 0)


def test_a_signed_document_of_the_same_members_is_no_entry() -> None:
    body: dict[str, JSON] = {
        "schema": "other.v1",
        "kernelId": KERNEL,
        "capabilityId": "cap-1",
        "revokedAt": NOW,
    }
    document = sign_document({**body, "signerKey": FEED_KEY.public_key.hex}, FEED_KEY)
    stolen = replace(ENTRY, signature=parse_signature(str(document["signature"])))
    with pytest.raises(InvalidEntry):
        verify_entry(stolen, KERNEL, 0)


@pytest.mark.parametrize(
    ("capability_id", "revoked_at"),
    [("", NOW), ("a b", NOW), ("ü", NOW), ("a\n", NOW), ("a" * 257, NOW), ("a", -1), ("a", 2**53)],
)
def test_what_would_not_be_read_is_not_signed(capability_id: str, revoked_at: int) -> None:
    with pytest.raises(MalformedDocument):
        sign_entry(KERNEL, capability_id, revoked_at, FEED_KEY)


def test_a_page_is_read_as_it_was_written() -> None:
    assert parse_page(PAGE.to_json()) == PAGE
    assert PAGE.to_json().count(b"\n") == 0
    assert len(PAGE.consistency) > 0


def edit(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(PAGE.to_json())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        pytest.param(lambda page: page.pop("entries"), "missing-member", id="no entries"),
        pytest.param(lambda page: page.update(more=1), "unknown-member", id="unknown member"),
        pytest.param(lambda page: page.update({"from": -1}), "from", id="negative start"),
        pytest.param(lambda page: page.update({"from": True}), "from", id="start is no number"),
        pytest.param(lambda page: page.update({"from": 1.0}), "from", id="start is a double"),
        pytest.param(lambda page: page.update(checkpoint=1), "checkpoint", id="head is no text"),
        pytest.param(lambda page: page.update(checkpoint="x" * 20_000), "checkpoint", id="head is long"),
        pytest.param(lambda page: page.update(entries={}), "entries", id="entries are no list"),
        pytest.param(
            lambda page: page.update(entries=page["entries"] * (MAX_PAGE_ENTRIES + 1)),
            "entries",
            id="many entries",
        ),
        pytest.param(lambda page: page.update(consistency="x"), "consistency", id="proof is no list"),
        pytest.param(lambda page: page.update(consistency=["x"] * 65), "consistency", id="proof is long"),
        pytest.param(lambda page: page.update(consistency=[1]), "consistency", id="hash is a number"),
        pytest.param(lambda page: page.update(consistency=["AAAA"]), "consistency", id="hash is short"),
        pytest.param(lambda page: page.update(consistency=["ä"]), "consistency", id="hash is no base64"),
        pytest.param(
            lambda page: page.update(consistency=["A" * 42 + "B="]),
            "consistency",
            id="hash of left-over bits",
        ),
        pytest.param(
            lambda page: page["entries"][0].update(x=1), "unknown-member", id="unknown member of an entry"
        ),
        pytest.param(lambda page: page["entries"][0].pop("signature"), "missing-member", id="unsigned entry"),
        pytest.param(lambda page: page["entries"].append("cap-1"), "not-an-object", id="entry is a text"),
        pytest.param(
            lambda page: page["entries"][0].update(capabilityId=5), "capability-id", id="id is a number"
        ),
        pytest.param(
            lambda page: page["entries"][0].update(capabilityId="a b"), "capability-id", id="space in an id"
        ),
        pytest.param(
            lambda page: page["entries"][0].update(revokedAt="1"), "revoked-at", id="time is a text"
        ),
        pytest.param(lambda page: page["entries"][0].update(signerKey=1), "public-key", id="key is a number"),
        pytest.param(
            lambda page: page["entries"][0].update(signerKey="p256:00"), "public-key", id="other algorithm"
        ),
        pytest.param(
            lambda page: page["entries"][0].update(signature=1), "signature", id="signature is a number"
        ),
    ],
)
def test_a_page_has_exactly_its_members(change: Callable[[dict[str, Any]], object], cause: str) -> None:
    with pytest.raises(MalformedDocument, match=cause):
        parse_page(edit(change))


@pytest.mark.parametrize("schema", ["bilateral.revocation-feed.v2", REVOCATION_SCHEMA, None])
def test_another_schema_is_refused(schema: str | None) -> None:
    with pytest.raises(UnsupportedSchema):
        parse_page(edit(lambda page: page.update(schema=schema)))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'"x"', b"{", b'{"schema":1,"schema":1}', b"\xff"])
def test_what_is_no_page_is_refused_with_a_word(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_page(data)


def test_the_largest_page_fits_the_limits_of_a_document() -> None:
    entry = sign_entry("k" * 253, "c" * 256, 2**53 - 1, FEED_KEY)
    page = FeedPage("x" * 1000, 2**53 - 1, (entry,) * MAX_PAGE_ENTRIES, (bytes(32),) * 64)
    assert parse_page(page.to_json()) == page
    assert FEED_SCHEMA.encode() in page.to_json()


def plain(**changes: object) -> bytes:
    document = {
        "configured": True,
        "backend": "sqlite",
        "count": 2,
        "revocations": [{"capabilityId": "a", "revokedAt": 1}, {"capabilityId": "b", "revokedAt": 2}],
    }
    return json.dumps({**document, **changes}).encode()


LISTED = [{"capabilityId": f"cap-{number}", "revokedAt": 1} for number in range(200)]


@pytest.mark.parametrize(
    ("data", "ids", "is_complete"),
    [
        pytest.param(plain(), ["a", "b"], True, id="everything"),
        pytest.param(plain(count=0, revocations=[]), [], True, id="nothing"),
        pytest.param(plain(capabilityId=None, revoked=None), ["a", "b"], True, id="members that are null"),
        pytest.param(plain(count=3), ["a", "b"], False, id="more than was told"),
        pytest.param(plain(configured=False), ["a", "b"], False, id="keeps no revocations"),
        pytest.param(
            plain(count=200, revocations=LISTED),
            [f"cap-{each}" for each in range(200)],
            False,
            id="as many as fit",
        ),
        pytest.param(
            plain(count=1, revocations=[{"capabilityId": "of no token", "revokedAt": 1}]),
            [],
            True,
            id="odd id",
        ),
    ],
)
def test_a_plain_service_is_read_for_what_it_is(data: bytes, ids: list[str], is_complete: bool) -> None:
    found = parse_plain_revocations(data)
    assert (list(found.capability_ids), found.is_complete) == (ids, is_complete)


@pytest.mark.parametrize(
    "data",
    [
        plain(more=1),
        plain(count="2"),
        plain(count=-1),
        plain(configured=1),
        plain(revocations=None),
        plain(revocations=[*LISTED, LISTED[0]]),
        plain(revocations=[{"capabilityId": 1, "revokedAt": 1}]),
        plain(revocations=[{"capabilityId": "a", "revokedAt": "1"}]),
        plain(revocations=[{"capabilityId": "a"}]),
        b"[]",
    ],
)
def test_what_is_no_plain_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_plain_revocations(data)


@given(st.binary(max_size=200))
def test_parsers_refuse_with_our_errors_only(data: bytes) -> None:
    for parse in (parse_page, parse_plain_revocations):
        with pytest.raises(ProtocolError):
            parse(data)
