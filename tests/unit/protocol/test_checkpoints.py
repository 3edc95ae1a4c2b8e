"""Signed heads: one text for a head, signatures that count, and those that do not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.checkpoints import (
    MAX_NOTE_BYTES,
    Checkpoint,
    UnknownSigner,
    key_id,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from bilateral.protocol.documents import sign_document
from bilateral.protocol.errors import InvalidSignature, MalformedDocument, ProtocolError
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.merkle import leaf_hash
from support.edwards import ORDER

KEY = SigningKey.from_seed(b"\x01" * 32)
OTHER = SigningKey.from_seed(b"\x02" * 32)
HEAD = Checkpoint("org-b-kernel", 20852, leaf_hash(b"root"), 1_800_000_000)
NOTE = sign_checkpoint(HEAD, KEY)
TEXT, _, LINES = NOTE.partition("\n\n")


def line(name: str, identifier: bytes, signature: bytes) -> str:
    return f"— {name} {base64.b64encode(identifier + signature).decode()}\n"


def test_a_head_is_the_text_that_the_specification_shows() -> None:
    assert NOTE.split("\n") == [
        "org-b-kernel/revocations",
        "20852",
        base64.b64encode(HEAD.root).decode(),
        "published 1800000000",
        "",
        line(HEAD.origin, key_id(HEAD.origin, KEY.public_key), KEY.sign(HEAD.text.encode())).rstrip("\n"),
        "",
    ]


def test_the_key_id_is_that_of_the_note_of_the_go_project() -> None:
    # sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8: name, key id, 0x01 and the key.
    key = PublicKey(base64.b64decode("Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")[1:])
    assert key_id("sum.golang.org", key).hex() == "033de0ae"


def test_what_was_signed_is_read_and_verified() -> None:
    signed = parse_checkpoint(NOTE)
    assert signed.checkpoint == HEAD
    assert verify_checkpoint(signed, [OTHER.public_key, KEY.public_key]) == KEY.public_key


@pytest.mark.parametrize("signers", [[], [OTHER.public_key]], ids=["nobody", "somebody else"])
def test_another_signer_has_said_nothing(signers: list[PublicKey]) -> None:
    with pytest.raises(UnknownSigner):
        verify_checkpoint(parse_checkpoint(NOTE), signers)


def test_the_name_of_the_key_is_the_origin() -> None:
    other_name = line(
        "org-c-kernel/revocations", key_id(HEAD.origin, KEY.public_key), KEY.sign(HEAD.text.encode())
    )
    with pytest.raises(UnknownSigner):
        verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{other_name}"), [KEY.public_key])


@pytest.mark.parametrize("place", ["before", "after"])
def test_signatures_of_others_are_ignored(place: str) -> None:
    witness = line("witness.example/w1", b"\x00\x01\x02\x03", b"\x04" * 73)
    lines = witness + LINES if place == "before" else LINES + witness
    assert verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{lines}"), [KEY.public_key]) == KEY.public_key


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_known_key_that_did_not_sign_refuses_the_head(place: str) -> None:
    forged = line(HEAD.origin, key_id(HEAD.origin, OTHER.public_key), KEY.sign(HEAD.text.encode()))
    lines = forged + LINES if place == "before" else LINES + forged
    with pytest.raises(InvalidSignature):
        verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{lines}"), [KEY.public_key, OTHER.public_key])


@pytest.mark.parametrize("signature", [b"", b"\x00" * 63, b"\x00" * 64, b"\x00" * 65], ids=len)
def test_a_signature_of_another_form_does_not_hold(signature: bytes) -> None:
    if not signature:
        with pytest.raises(MalformedDocument, match="signatures"):
            parse_checkpoint(f"{TEXT}\n\n{line(HEAD.origin, key_id(HEAD.origin, KEY.public_key), signature)}")
        return
    lines = line(HEAD.origin, key_id(HEAD.origin, KEY.public_key), signature)
    with pytest.raises(InvalidSignature):
        verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{lines}"), [KEY.public_key])


def test_a_signature_has_one_form() -> None:
    """S + L verifies in careless libraries."""
    signature = KEY.sign(HEAD.text.encode())
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    lines = line(
        HEAD.origin, key_id(HEAD.origin, KEY.public_key), signature[:32] + scalar.to_bytes(32, "little")
    )
    with pytest.raises(InvalidSignature):
        verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{lines}"), [KEY.public_key])


ROOT_TEXT = base64.b64encode(HEAD.root).decode()


@pytest.mark.parametrize(
    ("found", "replacement", "cause"),
    [
        pytest.param("20852\n", "020852\n", "checkpoint", id="leading zero"),
        pytest.param("20852\n", "+20852\n", "checkpoint", id="sign"),
        pytest.param("20852\n", "-1\n", "checkpoint", id="negative"),
        pytest.param("20852\n", "9007199254740992\n", "checkpoint", id="beyond exact numbers"),
        pytest.param("20852\n", "٣\n", "checkpoint", id="digits of another script"),
        pytest.param("20852\n", "\n", "checkpoint", id="no size"),
        pytest.param(ROOT_TEXT, ROOT_TEXT[:-4], "checkpoint", id="short root"),
        pytest.param(ROOT_TEXT, ROOT_TEXT[:-1], "checkpoint", id="no padding"),
        pytest.param(ROOT_TEXT, "A" * 42 + "B=", "checkpoint", id="left-over bits"),
        pytest.param("published ", "Published ", "checkpoint", id="another extension"),
        pytest.param("published 1800000000\n", "", "checkpoint", id="no extension"),
        pytest.param(
            "published 1800000000\n", "published 1800000000\nmore\n", "checkpoint", id="two extensions"
        ),
        pytest.param("published 18", "published  18", "checkpoint", id="two spaces"),
        pytest.param("\n\n", "\n", "checkpoint", id="no empty line"),
        pytest.param("\n", "\r\n", "checkpoint", id="line breaks of another system"),
        pytest.param("\n\n", "\n\n\n", "checkpoint", id="two empty lines"),
        pytest.param("org-b-kernel/revocations\n20", "org-b-kernel\n20", "origin", id="another kind of log"),
        pytest.param("org-b-kernel/revocations\n20", "org b/revocations\n20", "origin", id="no kernel id"),
        pytest.param("org-b-kernel/revocations\n20", "/revocations\n20", "origin", id="nobody's"),
        pytest.param("— ", "- ", "signatures", id="another dash"),
        pytest.param("— ", "—", "signatures", id="no space"),
        pytest.param("— org-b", "— org+b", "signatures", id="plus in a name"),
        pytest.param("— org-b", "— org\u2003b", "signatures", id="another space in a name"),
        pytest.param(LINES, "", "signatures", id="no signature"),
        pytest.param(LINES, LINES * 33, "signatures", id="too many signatures"),
        pytest.param(LINES, LINES[:-1], "checkpoint", id="no last line break"),
    ],
)
def test_a_head_has_one_text(found: str, replacement: str, cause: str) -> None:
    assert found in NOTE
    with pytest.raises(MalformedDocument, match=cause):
        parse_checkpoint(NOTE.replace(found, replacement))


def test_a_note_is_small() -> None:
    witness = line("w" * 200, b"1234", b"s" * 5000)
    parse_checkpoint(f"{TEXT}\n\n{LINES}{witness}")
    with pytest.raises(MalformedDocument):
        parse_checkpoint(f"{TEXT}\n\n{LINES}{witness * 3}")
    assert len(f"{TEXT}\n\n{LINES}{witness * 3}") > MAX_NOTE_BYTES


def test_sixteen_signatures_are_read() -> None:
    others = "".join(line(f"witness-{number}", b"1234", b"s" * 64) for number in range(15))
    assert (
        verify_checkpoint(parse_checkpoint(f"{TEXT}\n\n{others}{LINES}"), [KEY.public_key]) == KEY.public_key
    )


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_any_change_of_any_letter_is_refused(place: int, letter: str) -> None:
    changed = NOTE[:place] + letter + NOTE[place + 1 :]
    if changed == NOTE:
        return
    with pytest.raises(ProtocolError):
        verify_checkpoint(parse_checkpoint(changed), [KEY.public_key])


@given(st.text(max_size=300))
def test_whatever_the_text_is_it_is_refused_with_a_word(text: str) -> None:
    with pytest.raises(MalformedDocument):
        parse_checkpoint(text)


def test_a_signed_document_is_no_head_and_a_head_no_document() -> None:
    body = canonical_bytes(sign_document({"schema": "a.v1"}, KEY)["body"])
    assert body.startswith(b"{")
    assert not HEAD.text.startswith("{")


@pytest.mark.parametrize(
    ("kernel_id", "size", "root", "published_at"),
    [
        ("a b", 1, HEAD.root, 1),
        ("a", -1, HEAD.root, 1),
        ("a", 2**53, HEAD.root, 1),
        ("a", 1, b"", 1),
        ("a", 1, HEAD.root, -1),
    ],
)
def test_what_cannot_be_read_is_not_written(
    kernel_id: str, size: int, root: bytes, published_at: int
) -> None:
    with pytest.raises(ValueError, match="not"):
        Checkpoint(kernel_id, size, root, published_at)
