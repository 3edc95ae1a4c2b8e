"""Text forms that ``certified`` reads and writes: certificates in base64, texts in YAML.

Rules: base64 is padded, on one line; the standard and the URL-safe alphabet are read, the URL-safe one is
written. Trailing bits that no encoder writes are refused: one value has one text in each alphabet. YAML
texts are in double quotes with ASCII escapes, so that no name, whatever is in it, is taken for another
type or ends the line; every YAML 1.1 and 1.2 parser reads them alike.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.pem import UNREADABLE, read_whole

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_TO_STANDARD = str.maketrans("-_", "+/")
_PRINTABLE = range(0x20, 0x7F)
_PLAIN = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n"})
_BMP_END = 0xFFFF


def decode_base64(text: str) -> bytes:
    """Decode padded base64 of either alphabet, without white space; ValueError for anything else."""
    if _BASE64.fullmatch(text) is None:
        raise ValueError("not base64")
    standard = text.translate(_TO_STANDARD)
    try:
        data = base64.b64decode(standard, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode("ascii") != standard:
        raise ValueError("not canonical base64")
    return data


def encode_certificate(certificate: x509.Certificate) -> str:
    """Write a certificate as ``certified`` does: one line of URL-safe, padded base64 of DER."""
    return base64.urlsafe_b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def decode_certificate(text: str) -> x509.Certificate:
    """Read a certificate from base64 of DER; ValueError for anything else."""
    der = decode_base64(text)
    try:
        certificate = x509.load_der_x509_certificate(der)
        read_whole(certificate)
    except (*UNREADABLE, UnsupportedAlgorithm):
        raise ValueError("not a certificate") from None
    return certificate


def quote_yaml(text: str) -> str:
    """Write ``text`` as a YAML scalar in double quotes, ASCII only."""
    if text.isascii() and text.replace("\n", "").isprintable():  # as nearly all is
        return f'"{text.translate(_PLAIN)}"'
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if code in _PRINTABLE:
        return character
    # Not in pairs of surrogates, as JSON writes it: YAML parsers read those as two characters.
    return f"\\u{code:04x}" if code <= _BMP_END else f"\\U{code:08x}"
