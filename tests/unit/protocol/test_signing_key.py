"""Our signing key: it comes from PKCS#8, signs, and never shows itself (R-K5)."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519

from bilateral.protocol.errors import MalformedKey
from bilateral.protocol.keys import SigningKey, verify_signature

SEED = bytes(range(32))
KEY = SigningKey.from_seed(SEED)
PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


def test_pkcs8_reads_back() -> None:
    read = SigningKey.from_pkcs8_pem(KEY.pkcs8_pem())
    assert read.public_key == KEY.public_key
    assert read.sign(b"x") == KEY.sign(b"x")


def test_pkcs8_is_what_other_tools_write() -> None:
    other = ed25519.Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(PEM, PKCS8, PLAIN)
    assert KEY.pkcs8_pem() == other


def test_a_generated_key_signs_and_is_admissible() -> None:
    key = SigningKey.generate()
    verify_signature(key.public_key, b"message", key.sign(b"message"))
    assert key.public_key.is_prime_order
    assert key.public_key != SigningKey.generate().public_key


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(b"", "not-pkcs8", id="nothing"),
        pytest.param(b"not a PEM", "not-pkcs8", id="no PEM"),
        pytest.param(KEY.public_key.spki_pem.encode(), "not-pkcs8", id="a public key"),
        pytest.param(
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "pkcs8", id="no DER inside"
        ),
        pytest.param(KEY.pkcs8_pem()[:-40], "pkcs8", id="cut short"),
        pytest.param(KEY.pkcs8_pem() + b"x" * 4096, "too-long", id="4 KiB and more"),
        pytest.param(
            ed25519.Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(
                PEM, PKCS8, serialization.BestAvailableEncryption(b"password")
            ),
            "not-pkcs8",
            id="encrypted",
        ),
        pytest.param(
            ed25519.Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(
                PEM, serialization.PrivateFormat.OpenSSH, PLAIN
            ),
            "not-pkcs8",
            id="OpenSSH file",
        ),
        pytest.param(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN),
            "not-ed25519",
            id="P-256",
        ),
        pytest.param(
            x25519.X25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN), "not-ed25519", id="X25519"
        ),
        pytest.param(
            ed448.Ed448PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN), "not-ed25519", id="Ed448"
        ),
    ],
)
def test_what_is_no_plain_ed25519_pkcs8_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(MalformedKey) as refusal:
        SigningKey.from_pkcs8_pem(data)
    assert refusal.value.cause == cause
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(MalformedKey, match="seed"):
        SigningKey.from_seed(bytes(size))


def test_the_secret_is_in_no_text_and_does_not_travel() -> None:
    shown = f"{KEY!r} {KEY} {[KEY]}"
    assert SEED.hex() not in shown
    assert repr(SEED)[2:-1] not in shown
    assert KEY.public_key.canonical in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(KEY)
