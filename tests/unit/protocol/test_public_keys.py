"""Keys: one parser for every spelling (R-C2), and only prime-order points are admitted (R-C1)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.errors import MalformedDocument, MalformedKey, WeakKey
from bilateral.protocol.keys import PublicKey, SigningKey, parse_public_key, parse_wire_key
from bilateral.protocol.reasons import Reason
from support import edwards

HEX = "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6"
KEY = PublicKey(bytes.fromhex(HEX))
MULTIBASE = "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


@pytest.mark.parametrize(
    ("seed", "hex_digits", "multibase"),
    [
        pytest.param(
            0x07,
            "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
            "z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z",
            id="seed 07",
        ),
        pytest.param(
            0x09,
            "fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618",
            "z6MkwVDfCg9LbbY6xjH3EZk8YSFQZujV5Y4y1ZWeER9tDiN3",
            id="seed 09",
        ),
        pytest.param(
            0x0B,
            "66be7e332c7a453332bd9d0a7f7db055f5c5ef1a06ada66d98b39fb6810c473a",
            "z6MkmNL6xksdEJENGk9Z1qqGsY5njKQdjU1UhnUEUvWyQUVX",
            id="seed 0b",
        ),
        pytest.param(
            0x0C,
            "0b513ad9b4924015ca0902ed079044d3ac5dbec2306f06948c10da8eb6e39f2d",
            "z6MkfDSNRs2i9S6LZ5vd4RbpZ6754H7R3btDqRTeHhamqvuJ",
            id="seed 0c",
        ),
        pytest.param(
            0x0D,
            "91a28a0b74381593a4d9469579208926afc8ad82c8839b7644359b9eba9a4b3a",
            "z6MkpFkurpyZgyna5SAfLpvdzp7W6cvdc1fn9YECrwv3AMbF",
            id="seed 0d",
        ),
    ],
)
def test_known_keys_and_their_multibase(seed: int, hex_digits: str, multibase: str) -> None:
    key = SigningKey.from_seed(bytes([seed]) * 32).public_key
    assert (key.hex, key.multibase) == (hex_digits, multibase)


def test_every_spelling_of_one_key() -> None:
    assert KEY.hex == HEX
    assert KEY.canonical == str(KEY) == f"ed25519:{HEX}"
    assert repr(KEY) == f"PublicKey('ed25519:{HEX}')"
    assert KEY.did == f"did:chio:{HEX}"
    assert KEY.did_key == f"did:key:{MULTIBASE}"
    assert KEY.spki_der.hex() == f"302a300506032b6570032100{HEX}"
    assert KEY.spki_pem.splitlines()[0] == "-----BEGIN PUBLIC KEY-----"
    assert KEY.openssh.startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")


PEM = KEY.spki_pem
PEM_BODY = PEM.splitlines()[1]
X25519_DER = KEY.spki_der.replace(bytes.fromhex("2b6570"), bytes.fromhex("2b656e"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEX, id="bare"),
        pytest.param(HEX.upper(), id="upper case"),
        pytest.param(f"0x{HEX}", id="0x"),
        pytest.param(f"ed25519:{HEX}", id="ed25519"),
        pytest.param(f"ed25519:{HEX.upper()}", id="ed25519 upper case"),
        pytest.param(f"did:chio:{HEX}", id="did:chio"),
        pytest.param(f"did:chio:{HEX.upper()}", id="did:chio upper case"),
        pytest.param(f"did:key:{MULTIBASE}", id="did:key"),
        pytest.param(MULTIBASE, id="multibase"),
        pytest.param(PEM, id="PEM"),
        pytest.param(PEM.rstrip("\n"), id="PEM without the last line break"),
        pytest.param(PEM.replace("\n", "\r\n"), id="PEM with CR LF"),
        pytest.param(PEM.replace(PEM_BODY, f"{PEM_BODY[:30]}\n{PEM_BODY[30:]}"), id="PEM in two lines"),
        pytest.param(KEY.openssh, id="OpenSSH"),
    ],
)
def test_every_spelling_is_read(text: str) -> None:
    assert parse_public_key(text) == KEY


def _pem_of(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("", "spelling", id="nothing"),
        pytest.param(HEX[:-1], "spelling", id="63 digits"),
        pytest.param(f"{HEX}0", "spelling", id="65 digits"),
        pytest.param(f"{HEX}\n", "spelling", id="line break behind"),
        pytest.param(f" {HEX}", "spelling", id="space before"),
        pytest.param(f"{HEX[:32]} {HEX[32:]}", "spelling", id="space inside"),
        pytest.param(f"{HEX[:-1]}g", "spelling", id="not a hex digit"),
        pytest.param(f"{HEX[:-1]}\N{ARABIC-INDIC DIGIT SIX}", "spelling", id="Unicode digit"),
        pytest.param(f"0X{HEX}", "spelling", id="0X"),
        pytest.param(f"ED25519:{HEX}", "spelling", id="upper-case prefix"),
        pytest.param(f"ed25519:0x{HEX}", "spelling", id="two prefixes"),
        pytest.param(f"ed25519:{HEX}:", "spelling", id="something behind"),
        pytest.param(f"SHA256:{HEX}", "spelling", id="a certificate's fingerprint"),
        pytest.param(f"p256:04{HEX}{HEX}", "spelling", id="another algorithm"),
        pytest.param("hybrid:" + HEX, "spelling", id="hybrid"),
        pytest.param(f"did:web:{HEX}", "spelling", id="another DID method"),
        pytest.param(f"did:chio:ed25519:{HEX}", "spelling", id="did:chio with a prefix"),
        pytest.param(f"DID:chio:{HEX}", "spelling", id="DID in upper case"),
        pytest.param(f"did:key:{HEX}", "multibase", id="did:key with hex"),
        pytest.param(f"did:key:{MULTIBASE[1:]}", "multibase", id="did:key without z"),
        pytest.param(f"did:key:z{MULTIBASE}", "multibase", id="did:key with two z"),
        pytest.param(f"{MULTIBASE}1", "multibase", id="multibase too long"),
        pytest.param(f"z1{MULTIBASE[1:]}", "multibase", id="multibase with a leading zero byte"),
        pytest.param(MULTIBASE[:-1] + "0", "multibase", id="multibase with a foreign letter"),
        pytest.param(MULTIBASE[:-1], "not-ed25519", id="multibase a letter short"),
        pytest.param(MULTIBASE[:30], "multibase", id="multibase too short"),
        pytest.param("z" + "2" * 400, "multibase", id="multibase far too long"),
        pytest.param(
            "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", "not-ed25519", id="X25519 as multibase"
        ),
        pytest.param(f"{MULTIBASE}\n", "multibase", id="multibase with a line break"),
        pytest.param("x" * 513, "too-long", id="513 characters"),
        pytest.param(PEM_BODY, "spelling", id="base64 without its PEM lines"),
        pytest.param(f"{PEM}\n", "pem", id="PEM and an empty line"),
        pytest.param(f"{PEM}{PEM}", "pem", id="PEM twice"),
        pytest.param(PEM.replace("PUBLIC", "PRIVATE"), "pem", id="PEM of another label"),
        pytest.param(PEM.replace("PUBLIC KEY", "CERTIFICATE"), "pem", id="PEM of a certificate"),
        pytest.param(PEM.replace(PEM_BODY, f"{PEM_BODY} "), "pem", id="PEM with a space"),
        pytest.param(PEM.replace("Y=", "Z="), "pem", id="PEM with left-over bits"),
        pytest.param(_pem_of(KEY.spki_der + b"\0"), "not-ed25519", id="PEM with a byte too many"),
        pytest.param(_pem_of(KEY.spki_der[:-1]), "not-ed25519", id="PEM with a byte too few"),
        pytest.param(
            _pem_of(b"\x30\x81\x2a" + KEY.spki_der[2:]), "not-ed25519", id="PEM with a long-form length"
        ),
        pytest.param(_pem_of(X25519_DER), "not-ed25519", id="PEM of X25519"),
        pytest.param(f"{KEY.openssh} someone@host", "openssh", id="OpenSSH with a comment"),
        pytest.param(f"{KEY.openssh[:-4]}", "openssh", id="OpenSSH cut short"),
        pytest.param("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", "spelling", id="OpenSSH RSA"),
    ],
)
def test_what_is_no_spelling_is_refused(text: str, cause: str) -> None:
    with pytest.raises(MalformedKey) as refusal:
        parse_public_key(text)
    assert refusal.value.cause == cause
    assert refusal.value.reason is Reason.MALFORMED_KEY
    assert refusal.value.__cause__ is None


HONEST = edwards.multiply(edwards.secret_scalar(b"\x07" * 32), edwards.BASE)

WEAK = [
    *(
        pytest.param(edwards.encode(point), id=f"small order, point {n}")
        for n, point in enumerate(edwards.SMALL_ORDER)
    ),
    *(
        pytest.param(edwards.encode(edwards.add(HONEST, point)), id=f"mixed order, point {n}")
        for n, point in enumerate(edwards.SMALL_ORDER)
        if n
    ),
    *(
        pytest.param((edwards.P + y).to_bytes(32, "little"), id=f"not canonical, y = p + {y}")
        for y in range(19)
    ),
    *(
        pytest.param(
            (edwards.P + y | 1 << 255).to_bytes(32, "little"), id=f"not canonical, y = p + {y}, sign"
        )
        for y in range(19)
    ),
    pytest.param((1 | 1 << 255).to_bytes(32, "little"), id="neutral element with a sign"),
    pytest.param((2).to_bytes(32, "little"), id="not on the curve"),
    pytest.param(b"\xff" * 32, id="all ones"),
]


@pytest.mark.parametrize("raw", WEAK)
def test_only_a_prime_order_point_is_admitted_in_any_spelling(raw: bytes) -> None:
    key = PublicKey(raw)
    assert not key.is_prime_order
    for text in (key.hex, key.canonical, key.did, key.did_key, key.multibase, key.spki_pem, key.openssh):
        with pytest.raises(WeakKey) as refusal:
            parse_public_key(text)
        assert refusal.value.reason is Reason.WEAK_KEY


def test_the_honest_point_of_these_cases_is_admitted() -> None:
    assert parse_public_key(edwards.encode(HONEST).hex()) == SigningKey.from_seed(b"\x07" * 32).public_key


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PublicKey(bytes(size))


@given(st.binary(min_size=32, max_size=32))
def test_every_spelling_reads_back(seed: bytes) -> None:
    key = SigningKey.from_seed(seed).public_key
    spellings = {key.hex, key.canonical, key.did, key.did_key, key.multibase, key.spki_pem, key.openssh}
    assert {parse_public_key(text) for text in spellings} == {key}


@given(st.text(max_size=120) | st.from_regex(r"(did:key:)?z[1-9A-HJ-NP-Za-km-z]{40,50}", fullmatch=True))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        key = parse_public_key(text)
    except (MalformedKey, WeakKey):
        return
    assert key.is_prime_order


@pytest.mark.parametrize("text", [HEX, HEX.upper(), f"0x{HEX}", f"ed25519:{HEX}"])
def test_a_document_declares_a_key_in_chio_spellings(text: str) -> None:
    assert parse_wire_key(text) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{HEX}\n",
        KEY.did,
        KEY.did_key,
        KEY.multibase,
        KEY.spki_pem,
        KEY.openssh,
        f"p256:{HEX}",
        "ed25519:",
        HEX[:-2] + "  ",
        HEX[:-2] + "\uff11\uff11",
    ],
)
def test_a_document_declares_a_key_in_no_other_spelling(text: str) -> None:
    with pytest.raises(MalformedDocument, match="public-key"):
        parse_wire_key(text)
