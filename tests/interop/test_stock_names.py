"""Names: whatever is in a DN, our text and upstream's are the same, and ours fits into a directory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from certified.encode import append_pseudonym, org_name, person_name, rfc4514name
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.slugs import build_slug

pytestmark = pytest.mark.interop

KEY = ec.generate_private_key(ec.SECP256R1())
# Their values have a length or a form of their own, at which cryptography warns.
LIMITED = {
    NameOID.COUNTRY_NAME,
    NameOID.JURISDICTION_COUNTRY_NAME,
    NameOID.COMMON_NAME,
    NameOID.X500_UNIQUE_IDENTIFIER,
}
TYPES = [oid for oid in vars(NameOID).values() if isinstance(oid, ObjectIdentifier) and oid not in LIMITED]
NASTY = [
    "Org2, Inc.", 'the "Org"', "a'b", "a+b", "a\\b", "a;b", "<a>", "#a", " a", "a ", "a=b", "a:b", "a%b", "a/b", "../a",
    "/etc/passwd", "a\0b", "a\nb", "a\tb", "Örg", "O\u0308rg", "株式会社", "😀", "\u202eabc", "\u200b", "\ufeffa",
    "a\x7f", "a" * 250, "é" * 130, "CN=Org2 CA\\,O=Org2", "-----BEGIN CERTIFICATE-----",
]  # fmt: skip


def name(*attributes: tuple[ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in attributes])


def through_a_certificate(subject: x509.Name) -> x509.Certificate:
    """What a peer sees: the name after DER and back."""
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    return x509.load_der_x509_certificate(made.public_bytes(Encoding.DER))


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("oid", [NameOID.ORGANIZATION_NAME, NameOID.PSEUDONYM], ids=["O", "P"])
def test_a_nasty_name_is_written_alike(oid: ObjectIdentifier, value: str) -> None:
    seen = through_a_certificate(name((NameOID.ORGANIZATIONAL_UNIT_NAME, "u"), (oid, value)))
    assert rfc4514_name(seen.subject) == rfc4514name(seen.subject)
    slug = build_slug(seen)
    assert len(slug) <= 63
    assert slug.replace("-", "").isalnum()


@pytest.mark.parametrize("oid", TYPES, ids=lambda oid: oid._name)
def test_every_type_of_attribute_is_written_alike(oid: ObjectIdentifier) -> None:
    seen = name((NameOID.ORGANIZATION_NAME, "o"), (oid, "value"))
    assert rfc4514_name(seen) == rfc4514name(seen)


def test_attributes_in_one_group_are_written_alike() -> None:
    group = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "a,b"), x509.NameAttribute(NameOID.USER_ID, "u")]
    )
    seen = x509.Name(
        [group, x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.LOCALITY_NAME, "l")])]
    )
    assert rfc4514_name(seen) == rfc4514name(seen)


@pytest.mark.parametrize(
    "made",
    [
        org_name("Org2, Inc.", "Unit2", domain=["a", "b", "c"], location=("DE", "Hessen", "Darmstadt")),
        person_name("Client One", uname="c1", domain=["example"], location=("US", None, None)),
    ],
    ids=["an organisation", "a person"],
)
def test_names_that_upstream_makes_are_written_alike(made: x509.Name) -> None:
    authority = append_pseudonym(made, "Signing Certificate")
    assert rfc4514_name(authority) == rfc4514name(authority)
    assert rfc4514_name(authority).startswith("P=Signing Certificate,")


@pytest.mark.filterwarnings(
    "ignore:Attribute's length must be:UserWarning"
)  # cryptography's, of a foreign CN
def test_a_common_name_beyond_its_limit_is_written_alike() -> None:
    seen = through_a_certificate(name((NameOID.COMMON_NAME, "Org2, " + "a" * 240)))
    assert rfc4514_name(seen.subject) == rfc4514name(seen.subject)
    assert build_slug(seen).startswith("org2-aaa")


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
        min_size=1,
        max_size=6,
    )
)
def test_any_name_is_written_alike(attributes: list[tuple[ObjectIdentifier, str]]) -> None:
    seen = name(*attributes)
    assert rfc4514_name(seen) == rfc4514name(seen)


def test_two_generations_under_one_name_have_one_text_and_two_slugs() -> None:
    one, two = (
        generate_authority(
            Subject(organization="Org2"), algorithm="Ed25519", validity_seconds=60, now=datetime.now(UTC)
        )
        for _ in range(2)
    )
    assert rfc4514name(one.certificate.subject) == rfc4514name(two.certificate.subject) == one.subject
    assert build_slug(one.certificate) != build_slug(two.certificate)
