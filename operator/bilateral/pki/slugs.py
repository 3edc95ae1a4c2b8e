"""Slugs: file names for authorities, which may have names that no file can have.

Upstream names the files of a directory after the authority's RFC 4514 name: with a slash in it, past 255
bytes, or with two generations under one name, that ends in an error or an overwritten file, and a Secret's
keys allow none of it. A slug is for those places:

* ``<short name>-<key id>``: at most 42 characters of the common name, or of the organisation or unit, in
  ASCII letters and digits; a hyphen; 20 hex digits. At most 63 characters of ``[a-z0-9-]``.
* The key id is over the authority's **name and key**, computed here. Its SKI extension is not taken: an
  authority writes that itself, and could take over another's file with it.
* One CA generation has one slug: a certificate renewed with the same name and key keeps it, since what
  that key signed stays good; a new key, or a new name, makes another.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

MAX_SLUG = 63
KEY_ID_DIGITS = 20
"""80 bits: who wants another authority's file must make 2^80 keys."""

_NAME_LENGTH = MAX_SLUG - KEY_ID_DIGITS - 1
_TELLING = (
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.DOMAIN_COMPONENT,
    NameOID.USER_ID,
)
_NAMELESS = "ca"


@functools.lru_cache(maxsize=4096)
def build_slug(authority: x509.Certificate) -> str:
    """Build the slug of a CA certificate, whatever its name is; the same on every machine."""
    key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # Both are DER, which says where it ends: no other pair has the same concatenation.
    key_id = hashlib.sha256(authority.subject.public_bytes() + key).hexdigest()[:KEY_ID_DIGITS]
    return f"{build_short_name(authority.subject)}-{key_id}"


def build_short_name(name: x509.Name) -> str:
    """Reduce the most telling attribute to at most 42 of ``a-z``, ``0-9`` and ``-``; ``ca`` where nothing is left."""
    for oid in _TELLING:
        for attribute in name.get_attributes_for_oid(oid):
            if isinstance(attribute.value, str) and (text := _ascii(attribute.value)):
                return text
    return _NAMELESS


def _ascii(text: str) -> str:
    """Reduce to lower-case ASCII letters and digits, single hyphens between; may be empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * _NAME_LENGTH]).encode("ascii", "ignore").decode().lower()
    words = "".join(character if character.isalnum() else " " for character in plain).split()
    return "-".join(words)[:_NAME_LENGTH].strip("-")
