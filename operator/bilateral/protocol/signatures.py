"""Ed25519 signatures: our own key signs, everybody's are verified in one strict way.

Rules kept here (requirements R-C1, R-K5):

- strict: S below the group order, R and the key canonical and not of small order, the equation
  without cofactor. libsodium does all of that by itself; the tests pin it with cases of our own;
- the secret is reachable only through :meth:`SigningKey.pkcs8_pem`, which the place that stores it
  calls by name; it is in no ``repr``, is not pickled, and no error carries key material.

libsodium is asked through PyNaCl's plain bindings: an object per key would cost more than all
the rest of a check. Whether a verified key may be trusted is not decided here.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from bilateral.protocol.canonical import JSON, canonical_bytes, older_canonical_bytes
from bilateral.protocol.errors import InvalidSignature, MalformedDocument, MalformedKey
from bilateral.protocol.publickey import PublicKey

SIGNATURE_BYTES: Final = 64

_SEED_BYTES = 32
_LONGEST_PEM = 4096
_WIRE_SIGNATURE = re.compile(r"(?:ed25519:|0x)?([0-9A-Fa-f]{128})")


def parse_signature(text: str) -> bytes:
    """Read a signature of a chio document: 128 hex digits, bare, ``0x`` or ``ed25519:``, either case.

    Raises :class:`MalformedDocument` (``signature``), also for chio's other algorithms.
    """
    digits = text
    if len(text) != 2 * SIGNATURE_BYTES:
        match = _WIRE_SIGNATURE.fullmatch(text)
        digits = "" if match is None else match[1]
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise MalformedDocument("signature") from None
    if len(raw) != SIGNATURE_BYTES:  # nothing, or white space, which fromhex forgives
        raise MalformedDocument("signature")
    return raw


def verify_signature(key: PublicKey, message: bytes, signature: bytes) -> None:
    """Verify a 64-byte Ed25519 signature strictly (RFC 8032, without cofactor).

    Raises :class:`InvalidSignature`, also for a key or an R that is not canonical or of small order.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature
    try:
        crypto_sign_open(signature + message, key.raw)
    except BadSignatureError:
        raise InvalidSignature from None


def verify_canonical(key: PublicKey, value: JSON, signature: bytes) -> None:
    """Verify a signature over the canonical JSON of a chio value, in either style of escapes.

    Both styles are texts of the same one value. For values in chio's own form, whose texts others choose;
    a document of ours has no character that the styles differ in. Raises :class:`InvalidSignature`.
    """
    try:
        verify_signature(key, canonical_bytes(value), signature)
    except InvalidSignature:
        older = older_canonical_bytes(value)
        if older is None:
            raise
        verify_signature(key, older, signature)


class SigningKey:
    """An Ed25519 private key. Built by :meth:`generate`, :meth:`from_pkcs8_pem` or :meth:`from_seed`."""

    __slots__ = ("_secret", "_seed", "public_key")

    public_key: PublicKey

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise MalformedKey("seed")
        self._seed = seed
        raw, self._secret = crypto_sign_seed_keypair(seed)
        self.public_key = PublicKey(raw)

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Take the 32-byte seed of RFC 8032; :class:`MalformedKey` for another length."""
        return cls(seed)

    @classmethod
    def from_pkcs8_pem(cls, data: bytes) -> SigningKey:
        """Read an unencrypted PKCS#8 PEM; :class:`MalformedKey` for anything else."""
        if len(data) > _LONGEST_PEM:
            raise MalformedKey("too-long")
        if b"-----BEGIN PRIVATE KEY-----" not in data:
            raise MalformedKey("not-pkcs8")  # among others encrypted, SEC 1 and OpenSSH files
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # "from None": the library's text may quote what it read.
            raise MalformedKey("pkcs8") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise MalformedKey("not-ed25519")
        return cls(key.private_bytes_raw())

    def pkcs8_pem(self) -> bytes:
        """Write the key as unencrypted PKCS#8 PEM (RFC 8410). The result is a secret."""
        return Ed25519PrivateKey.from_private_bytes(self._seed).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``; 64 bytes, the same ones every time (RFC 8032)."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self.public_key.canonical!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled or copied")
