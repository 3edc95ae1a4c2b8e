"""Distinguished names: built from a subject's members, shown as upstream ``certified`` shows them.

Rules:

* The text form is RFC 4514 with the short names of ``certified``: the standard ones (CN, L, ST, O, OU,
  C, STREET, DC, UID) and nine of its own (P, DQ, S, E, T, SUR, NAME, IN, GEN); any other type is its
  dotted OID. ``openssl x509 -subject`` writes some of them differently, and then names do not match.
* The text lists attributes in the reverse of their order in the certificate (RFC 4514 section 2.1). Ours
  are stored organisation first, as ``certified`` stores them, so the common name comes first in text.
* Names are compared as bytes: no case folding, no Unicode normalisation.

A name with ``/`` in it is allowed (``Example A/S`` is a company), although stock ``certified
add-intro`` cannot store a file under such a name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields

from cryptography import x509
from cryptography.x509.oid import NameOID

from bilateral.pki.errors import InvalidName

# RFC 5280, appendix A: ub-common-name and its siblings. cryptography enforces two of them only.
MAX_ATTRIBUTE_LENGTH = 64
COUNTRY_LENGTH = 2

SHORT_NAMES: Mapping[x509.ObjectIdentifier, str] = {
    NameOID.PSEUDONYM: "P",
    NameOID.DN_QUALIFIER: "DQ",
    NameOID.SERIAL_NUMBER: "S",
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.TITLE: "T",
    NameOID.SURNAME: "SUR",
    NameOID.GIVEN_NAME: "NAME",
    NameOID.INITIALS: "IN",
    NameOID.GENERATION_QUALIFIER: "GEN",
}
"""What ``certified`` adds to the short names of RFC 4514."""

_TYPES: Mapping[str, x509.ObjectIdentifier] = {
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "country": NameOID.COUNTRY_NAME,
    "state_or_province": NameOID.STATE_OR_PROVINCE_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "common_name": NameOID.COMMON_NAME,
    "user_id": NameOID.USER_ID,
    "pseudonym": NameOID.PSEUDONYM,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Members of the name of an authority or an identity; the order of the fields is their order in the certificate."""

    organization: str | None = None
    organizational_unit: str | None = None
    country: str | None = None
    state_or_province: str | None = None
    locality: str | None = None
    common_name: str | None = None
    user_id: str | None = None
    pseudonym: str | None = None


def build_name(subject: Subject) -> x509.Name:
    """Build the X.509 name of ``subject``, leaving out the members that are None.

    String types are those of ``certified``: UTF8String, and PrintableString for the country.
    Raises InvalidName when there is no member at all, or one is empty, too long or not printable.
    """
    attributes: list[x509.NameAttribute[str]] = []
    for field in fields(subject):
        value: str | None = getattr(subject, field.name)
        if value is not None:
            _verify_attribute(field.name, value)
            attributes.append(x509.NameAttribute(_TYPES[field.name], value))
    if not attributes:
        raise InvalidName("empty", "", "subject: expected at least one member, found none")
    return x509.Name(attributes)


def rfc4514_name(name: x509.Name) -> str:
    """Write ``name`` as ``certified`` does: the string that its ``auths`` lists and file names hold."""
    return name.rfc4514_string(SHORT_NAMES)


def shown_name(name: x509.Name) -> str:
    r"""Write a stranger's ``name`` for people: as RFC 4514 text in which nothing is invisible.

    What is not printable (controls, direction marks, line ends) is written as its UTF-8 bytes, ``\e2\80\ae``,
    which RFC 4514 section 2.4 reads as the same name.
    """
    return "".join(
        character
        if character.isprintable()
        else "".join(f"\\{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in rfc4514_name(name)
    )


def _verify_attribute(member: str, value: str) -> None:
    attribute = _camel(member)
    if not value:
        raise InvalidName("empty-attribute", attribute, "expected text, found none")
    if value != value.strip():
        raise InvalidName("surrounding-space", attribute, "starts or ends with a space")
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in value):
        # Control and direction marks make two different names look the same to the person comparing them.
        raise InvalidName("not-printable", attribute, "holds a control or formatting character")
    if member == "country":
        if not (len(value) == COUNTRY_LENGTH and value.isascii() and value.isalpha() and value.isupper()):
            raise InvalidName("country", attribute, "expected two upper-case letters (ISO 3166-1)")
    elif len(value.encode()) > MAX_ATTRIBUTE_LENGTH:
        raise InvalidName(
            "too-long",
            attribute,
            f"expected at most {MAX_ATTRIBUTE_LENGTH} bytes, found {len(value.encode())}",
        )


def _camel(member: str) -> str:
    head, *rest = member.split("_")
    return head + "".join(part.capitalize() for part in rest)
