"""Signatures are verified strictly (R-C1), whatever the library below thinks of it."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature as OpenSSLInvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.errors import InvalidSignature, MalformedDocument
from bilateral.protocol.keys import PublicKey, SigningKey, parse_signature, verify_signature
from support import edwards

SEED = b"\x07" * 32
SIGNER = SigningKey.from_seed(SEED)
KEY = SIGNER.public_key
SECRET = edwards.secret_scalar(SEED)
MESSAGE = b"a message"
GOOD = SIGNER.sign(MESSAGE)


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify_signature(PublicKey(key), message, signature)
    except InvalidSignature:
        return False
    return True


def openssl_says(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except OpenSSLInvalidSignature:
        return False
    return True


def test_a_good_signature_verifies() -> None:
    verify_signature(KEY, MESSAGE, GOOD)
    assert SIGNER.sign(MESSAGE) == GOOD


def test_our_own_arithmetic_makes_good_signatures() -> None:
    assert is_valid(KEY.raw, MESSAGE, edwards.sign_with(SECRET, KEY.raw, MESSAGE, nonce=12345))


def _with_r(encoding: bytes) -> bytes:
    """Sign with R being ``encoding`` of a point of small order: S holds h times the secret."""
    h = edwards.challenge_scalar(encoding, KEY.raw, MESSAGE)
    return encoding + (h * SECRET % edwards.ORDER).to_bytes(32, "little")


def _moved_s(multiple: int) -> bytes:
    s = int.from_bytes(GOOD[32:], "little") + multiple * edwards.ORDER
    return GOOD[:32] + s.to_bytes(32, "little")


BAD = [
    pytest.param(b"", id="empty"),
    pytest.param(GOOD[:-1], id="63 bytes"),
    pytest.param(GOOD + b"\0", id="65 bytes"),
    pytest.param(bytes(64), id="zeros"),
    pytest.param(GOOD[32:] + GOOD[:32], id="halves swapped"),
    pytest.param(bytes([GOOD[0] ^ 1]) + GOOD[1:], id="one bit of R"),
    pytest.param(GOOD[:63] + bytes([GOOD[63] ^ 1]), id="one bit of S"),
    *(pytest.param(_moved_s(n), id=f"S + {n} L") for n in range(1, 15)),
    *(
        pytest.param(_with_r(edwards.encode(point)), id=f"R of small order, point {n}")
        for n, point in enumerate(edwards.SMALL_ORDER)
    ),
    *(
        pytest.param(
            edwards.sign_with(SECRET, KEY.raw, MESSAGE, nonce=n, shift=point),
            id=f"R moved by small order, point {n}",
        )
        for n, point in enumerate(edwards.SMALL_ORDER)
        if n
    ),
    pytest.param(_with_r((edwards.P + 1).to_bytes(32, "little")), id="neutral R not canonical"),
    pytest.param(
        _with_r((edwards.P + 1 | 1 << 255).to_bytes(32, "little")), id="neutral R not canonical, sign"
    ),
    pytest.param(_with_r((1 | 1 << 255).to_bytes(32, "little")), id="neutral R with a sign"),
    pytest.param(_with_r(edwards.P.to_bytes(32, "little")), id="R of order 4 not canonical"),
]


@pytest.mark.parametrize("signature", BAD)
def test_a_bad_signature_is_refused(signature: bytes) -> None:
    assert not is_valid(KEY.raw, MESSAGE, signature)


SMALL_KEYS = [
    *(edwards.encode(point) for point in edwards.SMALL_ORDER),
    *((edwards.P + y | sign << 255).to_bytes(32, "little") for y in (0, 1) for sign in (0, 1)),
    (1 | 1 << 255).to_bytes(32, "little"),
]


@pytest.mark.parametrize("raw", SMALL_KEYS, ids=lambda raw: raw.hex()[:8] + raw.hex()[-2:])
def test_no_small_order_key_verifies_anything(raw: bytes) -> None:
    forged = edwards.encode(edwards.NEUTRAL) + bytes(32)
    assert not any(is_valid(raw, b"message %d" % n, forged) for n in range(64))


def test_the_forgery_is_real_elsewhere() -> None:
    # What the strictness is for: OpenSSL takes this one for a signature of any message.
    forged = edwards.encode(edwards.NEUTRAL) + bytes(32)
    assert openssl_says(edwards.encode(edwards.NEUTRAL), b"any message", forged)


@pytest.mark.parametrize("n", range(1, 8))
def test_a_mixed_order_key_verifies_only_without_cofactor(n: int) -> None:
    # Such a key is never admitted; in an envelope it is never equal to an anchor. Where the small part
    # vanishes both libraries agree that the equation holds, where it does not, both refuse.
    raw = edwards.encode(edwards.add(edwards.multiply(SECRET, edwards.BASE), edwards.SMALL_ORDER[n]))
    for nonce in range(1, 9):
        signature = edwards.sign_with(SECRET, raw, MESSAGE, nonce=nonce)
        vanishes = edwards.challenge_scalar(signature[:32], raw, MESSAGE) * n % 8 == 0
        assert is_valid(raw, MESSAGE, signature) is vanishes
        assert openssl_says(raw, MESSAGE, signature) is vanishes


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80), bit=st.integers(0, 511))
def test_we_agree_with_openssl_about_honest_keys(seed: bytes, message: bytes, bit: int) -> None:
    signer = SigningKey.from_seed(seed)
    key, signature = signer.public_key.raw, signer.sign(message)
    assert is_valid(key, message, signature)
    assert openssl_says(key, message, signature)
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not is_valid(key, message, bytes(changed))
    assert not openssl_says(key, message, bytes(changed))


def test_another_message_or_key_is_refused() -> None:
    assert not is_valid(KEY.raw, MESSAGE + b"\0", GOOD)
    assert not is_valid(SigningKey.from_seed(b"\x08" * 32).public_key.raw, MESSAGE, GOOD)


@pytest.mark.parametrize("prefix", ["", "0x", "ed25519:"])
@pytest.mark.parametrize("upper", [False, True], ids=["lower case", "upper case"])
def test_a_signature_is_read_in_chio_spellings(prefix: str, upper: bool) -> None:
    digits = GOOD.hex().upper() if upper else GOOD.hex()
    assert parse_signature(prefix + digits) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(GOOD.hex()[:-1], id="127 digits"),
        pytest.param(GOOD.hex() + "0", id="129 digits"),
        pytest.param(GOOD.hex() + "\n", id="line break behind"),
        pytest.param("0X" + GOOD.hex(), id="0X"),
        pytest.param(GOOD.hex()[:-2] + "  ", id="spaces for digits"),
        pytest.param(GOOD.hex()[:-2] + "\uff11\uff11", id="full-width digits"),
        pytest.param("p256:" + GOOD.hex(), id="another algorithm"),
        pytest.param("ed25519:ed25519:" + GOOD.hex(), id="two prefixes"),
        pytest.param("none", id="none"),
    ],
)
def test_what_is_no_signature_is_malformed(text: str) -> None:
    with pytest.raises(MalformedDocument, match="signature"):
        parse_signature(text)
