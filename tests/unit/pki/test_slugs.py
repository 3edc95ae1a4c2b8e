"""Slugs: every name has one that a file and a Secret can have, and no two authorities share one."""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.pki.authority import generate_authority
from bilateral.pki.slugs import build_slug
from unit.pki.material import NOW, P256_AUTHORITY, SUBJECT, YEAR

KEY = ec.generate_private_key(ec.SECP256R1())
SLUG = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9a-f]{20}")


def authority(
    *attributes: tuple[ObjectIdentifier, str],
    key: ec.EllipticCurvePrivateKey = KEY,
    identifier: bytes = b"same",
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in attributes])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW.replace(year=2030))
        .add_extension(x509.SubjectKeyIdentifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    ("attributes", "start"),
    [
        pytest.param(
            [(NameOID.COMMON_NAME, "Org2 CA"), (NameOID.ORGANIZATION_NAME, "Org2")],
            "org2-ca",
            id="common name",
        ),
        pytest.param(
            [(NameOID.ORGANIZATION_NAME, "Org2, Inc."), (NameOID.PSEUDONYM, "Signing Certificate")],
            "org2-inc",
            id="certified's own authority",
        ),
        pytest.param([(NameOID.ORGANIZATIONAL_UNIT_NAME, "R&D/Labs")], "r-d-labs", id="a slash"),
        pytest.param([(NameOID.ORGANIZATION_NAME, "a\"b'c\\d")], "a-b-c-d", id="quotes and a backslash"),
        pytest.param([(NameOID.ORGANIZATION_NAME, "../../etc")], "etc", id="a path"),
        pytest.param([(NameOID.ORGANIZATION_NAME, "Örg Ångström")], "org-angstrom", id="accents"),
        pytest.param([(NameOID.ORGANIZATION_NAME, "株式会社")], "ca", id="no Latin letter"),
        pytest.param(
            [(NameOID.COMMON_NAME, "株式会社"), (NameOID.ORGANIZATION_NAME, "KK")], "kk", id="the next best"
        ),
        pytest.param([(NameOID.ORGANIZATION_NAME, "o" * 5000)], "o" * 42, id="5000 bytes"),
        pytest.param([(NameOID.COMMON_NAME, "a" * 41 + " b")], "a" * 41, id="no hyphen where it is cut"),
        pytest.param([(NameOID.DOMAIN_COMPONENT, "example")], "example", id="a domain"),
        pytest.param([], "ca", id="no name"),
        pytest.param([(NameOID.COMMON_NAME, "-- . --")], "ca", id="only punctuation"),
        pytest.param(
            [(NameOID.COMMON_NAME, "self")], "self", id="a name that files have: the key id follows"
        ),
    ],
)
def test_a_slug_tells_whose_it_is(attributes: list[tuple[ObjectIdentifier, str]], start: str) -> None:
    slug = build_slug(authority(*attributes))
    assert slug[:-21] == start
    assert SLUG.fullmatch(slug)
    assert len(slug) <= 63


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_every_name_has_one(text: str) -> None:
    slug = build_slug(authority((NameOID.ORGANIZATION_NAME, text)))
    assert SLUG.fullmatch(slug)
    assert len(slug) <= 63


def test_two_generations_under_one_name_differ() -> None:
    other = generate_authority(SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW)
    assert other.subject == P256_AUTHORITY.subject
    assert build_slug(other.certificate) != build_slug(P256_AUTHORITY.certificate)


def test_a_renewed_certificate_of_one_name_and_key_keeps_it() -> None:
    one, two = authority((NameOID.COMMON_NAME, "a")), authority((NameOID.COMMON_NAME, "a"))
    assert one != two
    assert build_slug(one) == build_slug(two)


def test_one_key_under_two_names_differs() -> None:
    one, two = authority((NameOID.COMMON_NAME, "株")), authority((NameOID.COMMON_NAME, "会"))
    assert build_slug(one)[:-20] == build_slug(two)[:-20]
    assert build_slug(one) != build_slug(two)


def test_a_chosen_key_identifier_takes_over_nobodys_file() -> None:
    victim = authority((NameOID.COMMON_NAME, "a"), identifier=b"taken")
    attacker = authority(
        (NameOID.COMMON_NAME, "a"), key=ec.generate_private_key(ec.SECP256R1()), identifier=b"taken"
    )
    assert build_slug(victim) != build_slug(attacker)
