"""Ed25519 public keys: one parser for every spelling.

Rules kept here (requirements R-C1, R-C2, R-C6):

- inside there is one form of a key, its 32 bytes; in statuses one spelling, ``ed25519:<hex>``;
- a key that a person or a document brings is admitted only if it is a canonical point of prime
  order (:func:`parse_public_key`), so that no signature holds for messages nobody signed.

Spellings read: bare hex, ``0x``, ``ed25519:`` (hex digits of either case), ``did:chio:``,
``did:key:``, multibase ``z6Mk…``, SPKI PEM, and an OpenSSH ``ssh-ed25519`` line without comment.
No white space is forgiven, except the line breaks of PEM. Other algorithms are not read at all:
which algorithm to use never comes from a message. Signatures are the business of ``signatures``.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_core_ed25519_is_valid_point

from bilateral.protocol.base58 import decode_base58, encode_base58
from bilateral.protocol.errors import MalformedDocument, MalformedKey, WeakKey

PUBLIC_KEY_BYTES: Final = 32

_MULTICODEC_ED25519 = b"\xed\x01"
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: the only DER form of this key
_OPENSSH_PREFIX = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
_PEM = re.compile(
    r"-----BEGIN PUBLIC KEY-----\r?\n((?:[A-Za-z0-9+/=]{1,76}\r?\n){1,60})-----END PUBLIC KEY-----(?:\r?\n)?"
)
_LONGEST_SPELLING = 512

_HEX_KEY = re.compile(r"(?:ed25519:|0x|did:chio:)?([0-9A-Fa-f]{64})")
_WIRE_KEY = re.compile(r"(?:ed25519:|0x)?([0-9A-Fa-f]{64})")


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """32 bytes that are used as an Ed25519 public key.

    Building one checks the length only (``ValueError``): the bytes of a message become a key before
    anybody vouches for them. :func:`parse_public_key` is the way in for keys that shall be trusted.
    """

    raw: bytes

    def __post_init__(self) -> None:
        # The binding that verifies reads 32 bytes without asking how many there are.
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @property
    def hex(self) -> str:
        """64 lower-case hex digits, as chio documents carry a key."""
        return self.raw.hex()

    @property
    def canonical(self) -> str:
        """``ed25519:`` + 64 lower-case hex digits: how we show a key; also alknet's fingerprint."""
        return f"ed25519:{self.raw.hex()}"

    @property
    def did(self) -> str:
        """``did:chio:`` + 64 lower-case hex digits."""
        return f"did:chio:{self.raw.hex()}"

    @property
    def multibase(self) -> str:
        """Multibase ``z`` (base58) of the multicodec key: ``z6Mk…``."""
        return f"z{encode_base58(_MULTICODEC_ED25519 + self.raw)}"

    @property
    def did_key(self) -> str:
        """``did:key:z6Mk…``."""
        return f"did:key:{self.multibase}"

    @property
    def spki_der(self) -> bytes:
        """SubjectPublicKeyInfo, 44 bytes (RFC 8410)."""
        return _SPKI_PREFIX + self.raw

    @property
    def spki_pem(self) -> str:
        """SubjectPublicKeyInfo as PEM with a final line break."""
        body = base64.b64encode(self.spki_der).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"

    @property
    def openssh(self) -> str:
        """``ssh-ed25519 AAAA…`` without a comment."""
        return f"ssh-ed25519 {base64.b64encode(_OPENSSH_PREFIX + self.raw).decode()}"

    @property
    def is_prime_order(self) -> bool:
        """Whether the key is a canonical encoding of a point of prime order."""
        return _is_prime_order(self.raw)

    def __str__(self) -> str:
        return self.canonical

    def __repr__(self) -> str:
        return f"PublicKey({self.canonical!r})"


@lru_cache(maxsize=32_768)
def _is_prime_order(raw: bytes) -> bool:
    # About as dear as a verification, and the same few anchors are read at every look at a peer.
    return crypto_core_ed25519_is_valid_point(raw)


def parse_public_key(text: str) -> PublicKey:
    """Read a key in any spelling and admit it.

    Raises :class:`MalformedKey` where the text is no spelling of an Ed25519 key, :class:`WeakKey`
    where the point is not canonical, of small order, of mixed order or not on the curve.
    """
    key = PublicKey(_decode_spelling(text))
    if not key.is_prime_order:
        raise WeakKey
    return key


def _decode_spelling(text: str) -> bytes:
    if len(text) > _LONGEST_SPELLING:
        raise MalformedKey("too-long")
    match = _HEX_KEY.fullmatch(text)
    if match is not None:
        return bytes.fromhex(match[1])
    if text.startswith("did:key:"):
        return _decode_multibase(text.removeprefix("did:key:"))
    if text.startswith("z"):
        return _decode_multibase(text)
    if text.startswith("-----BEGIN "):
        match = _PEM.fullmatch(text)
        if match is None:
            raise MalformedKey("pem")
        body = match[1].replace("\r", "").replace("\n", "")
        return _strip_prefix(_decode_base64(body, "pem"), _SPKI_PREFIX, "not-ed25519")
    if text.startswith("ssh-ed25519 "):
        blob = _decode_base64(text.removeprefix("ssh-ed25519 "), "openssh")
        return _strip_prefix(blob, _OPENSSH_PREFIX, "openssh")
    raise MalformedKey("spelling")


def _decode_multibase(text: str) -> bytes:
    if not text.startswith("z"):
        raise MalformedKey("multibase")
    try:
        data = decode_base58(text[1:], len(_MULTICODEC_ED25519) + PUBLIC_KEY_BYTES)
    except ValueError:
        raise MalformedKey("multibase") from None
    return _strip_prefix(data, _MULTICODEC_ED25519, "not-ed25519")


def _decode_base64(text: str, cause: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedKey(cause) from None
    if base64.b64encode(data).decode() != text:
        raise MalformedKey(cause)  # left-over bits: a second spelling of the same bytes
    return data


def _strip_prefix(data: bytes, prefix: bytes, cause: str) -> bytes:
    if not data.startswith(prefix) or len(data) != len(prefix) + PUBLIC_KEY_BYTES:
        raise MalformedKey(cause)
    return data[len(prefix) :]


@lru_cache(maxsize=1024)
def parse_wire_key(text: str) -> PublicKey:
    """Read the key that a chio document declares: bare hex, ``0x`` or ``ed25519:``, either case.

    A chain names each of its keys several times, which is what the cache is for.

    The key is *not* admitted: its meaning comes from being equal to an anchor or a pin.
    Raises :class:`MalformedDocument` (``public-key``).
    """
    digits = text
    if len(text) != 2 * PUBLIC_KEY_BYTES:
        match = _WIRE_KEY.fullmatch(text)
        digits = "" if match is None else match[1]
    try:
        # Nothing, and white space, which fromhex forgives, leave too few bytes for a key.
        return PublicKey(bytes.fromhex(digits))
    except ValueError:
        raise MalformedDocument("public-key") from None
