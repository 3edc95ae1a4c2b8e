"""Distinguished names: the text form is upstream certified's, and what we build can be written."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from bilateral.pki.errors import InvalidName
from bilateral.pki.names import Subject, build_name, rfc4514_name
from bilateral.protocol.reasons import Reason


def name(*attributes: tuple[ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


@pytest.mark.parametrize(
    ("parsed", "text"),
    [
        pytest.param(
            name(
                (NameOID.ORGANIZATION_NAME, "Org2"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "Unit2"),
                (NameOID.PSEUDONYM, "Signing Certificate"),
            ),
            "P=Signing Certificate,OU=Unit2,O=Org2",
            id="the name that certified init gives to a CA",
        ),
        pytest.param(
            name((NameOID.ORGANIZATION_NAME, "Org2"), (NameOID.COMMON_NAME, "Org2 CA")),
            "CN=Org2 CA,O=Org2",
            id="the name in certified's documentation",
        ),
        pytest.param(
            name(*((NameOID.DOMAIN_COMPONENT, part) for part in "abc")),
            "DC=c,DC=b,DC=a",
            id="domain components come out backwards",
        ),
        pytest.param(
            name((NameOID.ORGANIZATION_NAME, "Org2, Inc.")), "O=Org2\\, Inc.", id="a comma is escaped"
        ),
        pytest.param(
            name((NameOID.ORGANIZATION_NAME, '# +"\\;<> ')),
            'O=\\# \\+\\"\\\\\\;\\<\\>\\ ',
            id="all escapes, at the start, inside and at the end",
        ),
        pytest.param(
            name((NameOID.ORGANIZATION_NAME, "a=b:c%d/e")), "O=a=b:c%d/e", id="what is not escaped: = : % /"
        ),
        pytest.param(
            name((NameOID.BUSINESS_CATEGORY, "bc")), "2.5.4.15=bc", id="an unknown type is its dotted OID"
        ),
        pytest.param(
            name(
                (NameOID.DN_QUALIFIER, "q"),
                (NameOID.SERIAL_NUMBER, "s"),
                (NameOID.EMAIL_ADDRESS, "e@x"),
                (NameOID.TITLE, "t"),
                (NameOID.SURNAME, "sur"),
                (NameOID.GIVEN_NAME, "given"),
                (NameOID.INITIALS, "in"),
                (NameOID.GENERATION_QUALIFIER, "gen"),
            ),
            "GEN=gen,IN=in,NAME=given,SUR=sur,T=t,E=e@x,S=s,DQ=q",
            id="certified's own short names",
        ),
        pytest.param(
            name(
                (NameOID.COMMON_NAME, "n"),
                (NameOID.USER_ID, "u"),
                (NameOID.COUNTRY_NAME, "DE"),
                (NameOID.STATE_OR_PROVINCE_NAME, "st"),
                (NameOID.LOCALITY_NAME, "l"),
                (NameOID.STREET_ADDRESS, "street"),
            ),
            "STREET=street,L=l,ST=st,C=DE,UID=u,CN=n",
            id="the standard short names",
        ),
    ],
)
def test_a_name_is_written_as_certified_writes_it(parsed: x509.Name, text: str) -> None:
    assert rfc4514_name(parsed) == text


def test_a_subject_is_stored_organisation_first() -> None:
    subject = Subject(
        common_name="Org A CA",
        organization="Org A",
        organizational_unit="Trust",
        country="DE",
        state_or_province="Hessen",
        locality="Darmstadt",
        pseudonym="Signing Certificate",
    )
    assert (
        rfc4514_name(build_name(subject))
        == "P=Signing Certificate,CN=Org A CA,L=Darmstadt,ST=Hessen,C=DE,OU=Trust,O=Org A"
    )


def test_string_types_are_certifieds() -> None:
    kinds = {a.oid: a._type for a in build_name(Subject(organization="Örg", country="DE"))}
    assert kinds[NameOID.ORGANIZATION_NAME].name == "UTF8String"
    assert kinds[NameOID.COUNTRY_NAME].name == "PrintableString"


@pytest.mark.parametrize(
    ("subject", "cause", "attribute"),
    [
        pytest.param(Subject(), "empty", "", id="no member at all"),
        pytest.param(Subject(organization=""), "empty-attribute", "organization", id="empty member"),
        pytest.param(Subject(common_name=" a"), "surrounding-space", "commonName", id="leading space"),
        pytest.param(Subject(common_name="a\n"), "surrounding-space", "commonName", id="trailing newline"),
        pytest.param(Subject(common_name="a\x00b"), "not-printable", "commonName", id="NUL inside"),
        pytest.param(
            Subject(organization="a\u202eb"), "not-printable", "organization", id="right-to-left override"
        ),
        pytest.param(
            Subject(organizational_unit="x" * 65), "too-long", "organizationalUnit", id="65 characters"
        ),
        pytest.param(Subject(common_name="é" * 33), "too-long", "commonName", id="66 bytes of 33 characters"),
        pytest.param(Subject(country="de"), "country", "country", id="lower-case country"),
        pytest.param(Subject(country="DEU"), "country", "country", id="three-letter country"),
    ],
)
def test_a_subject_that_cannot_be_written_is_refused(subject: Subject, cause: str, attribute: str) -> None:
    with pytest.raises(InvalidName) as caught:
        build_name(subject)
    assert (caught.value.cause, caught.value.attribute) == (cause, attribute)
    assert caught.value.reason is Reason.INVALID_SPEC
