"""Introductions: what an authority of ours says of a stranger, and the document that says it."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.authority import Authority
from bilateral.pki.errors import (
    AuthorityExpired,
    InvalidHost,
    InvalidIntroduction,
    InvalidService,
    SubjectRefused,
)
from bilateral.pki.introductions import Introduction, issue_introduction, parse_introduction
from bilateral.pki.services import Service
from bilateral.protocol.reasons import Reason
from unit.pki.material import (
    ED25519_AUTHORITY,
    NOW,
    P256_AUTHORITY,
    YEAR,
    certificate,
    request,
)

KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = request(KEY, names=["org2-api", "localhost"])
SERVICES = (
    Service("org2-api", "https://api.org2.example:9443"),
    Service("archive", "https://archive.org2.example"),
)
MONTH = 2_592_000
BOTH = pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)


def introduce(authority: Authority = P256_AUTHORITY, subject: str | bytes = REQUEST) -> Introduction:
    return issue_introduction(authority, subject, SERVICES, MONTH, NOW)


@BOTH
def test_it_is_for_clients_and_has_no_names(authority: Authority) -> None:
    made = introduce(authority).certificate
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    made.verify_directly_issued_by(authority.certificate)
    assert made.public_key() == KEY.public_key()


def test_names_are_those_of_the_policy() -> None:
    made = issue_introduction(P256_AUTHORITY, REQUEST, (), MONTH, NOW, dns_names=["client1.partner.example"])
    names = made.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["client1.partner.example"]
    with pytest.raises(InvalidHost):
        issue_introduction(P256_AUTHORITY, REQUEST, (), MONTH, NOW, dns_names=["*.example"])


def test_the_subject_is_copied_grouping_and_all() -> None:
    group = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "client, 1/2"),
            x509.NameAttribute(NameOID.USER_ID, "ünïcødé"),
        ]
    )
    name = x509.Name(
        [x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]), group]
    )
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())
    made = introduce(subject=asked.public_bytes(Encoding.PEM))
    assert made.certificate.subject.public_bytes() == name.public_bytes()


def test_dates_are_back_dated_and_end_with_the_authority() -> None:
    start = NOW.replace(microsecond=0)
    assert introduce().not_before == start - timedelta(minutes=5)
    assert introduce().not_after == start + timedelta(seconds=MONTH)
    late = issue_introduction(P256_AUTHORITY, REQUEST, (), 2 * YEAR, NOW)
    assert late.not_after == P256_AUTHORITY.not_after
    with pytest.raises(AuthorityExpired):
        issue_introduction(P256_AUTHORITY, REQUEST, (), MONTH, NOW + timedelta(seconds=YEAR + 1))


def test_what_the_record_shows() -> None:
    made = introduce()
    assert made.subject == "CN=client1"
    assert made.authority_name == "CN=Org A CA,OU=Trust,O=Org A"
    assert made.authority_fingerprint == P256_AUTHORITY.fingerprint
    assert made.serial == f"{made.certificate.serial_number:040x}"
    assert made.slug.startswith("org-a-ca-")
    assert x509.load_pem_x509_certificates(made.chain_pem) == [made.certificate]


def test_the_authoritys_own_name_and_key_are_refused() -> None:
    own_name = x509.CertificateSigningRequestBuilder().subject_name(P256_AUTHORITY.certificate.subject)
    with pytest.raises(SubjectRefused) as caught:
        introduce(subject=own_name.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert (caught.value.cause, caught.value.reason) == ("same-subject", Reason.SUBJECT_REFUSED)
    with pytest.raises(SubjectRefused) as caught:
        introduce(subject=request(P256_AUTHORITY.key))
    assert caught.value.cause == "own-key"


def test_a_service_twice_is_refused() -> None:
    with pytest.raises(InvalidService) as caught:
        issue_introduction(P256_AUTHORITY, REQUEST, (SERVICES[0], SERVICES[0]), MONTH, NOW)
    assert caught.value.cause == "duplicate"


def test_a_service_that_was_not_checked_is_checked() -> None:
    with pytest.raises(InvalidService) as caught:
        issue_introduction(P256_AUTHORITY, REQUEST, (Service("../x", "https://a.example"),), MONTH, NOW)
    assert caught.value.cause == "alias"


def test_the_document_is_that_of_certified() -> None:
    made = introduce()
    signed = base64.urlsafe_b64encode(made.certificate.public_bytes(Encoding.DER)).decode()
    ca = base64.urlsafe_b64encode(P256_AUTHORITY.certificate.public_bytes(Encoding.DER)).decode()
    assert made.to_json() == (
        "{\n"
        f'  "signed_cert": "{signed}",\n'
        f'  "ca_cert": "{ca}",\n'
        '  "services": {\n'
        '    "org2-api": "https://api.org2.example:9443",\n'
        '    "archive": "https://archive.org2.example"\n'
        "  }\n"
        "}\n"
    )


def test_without_services_the_member_is_left_out() -> None:
    made = issue_introduction(P256_AUTHORITY, REQUEST, (), MONTH, NOW)
    assert list(json.loads(made.to_json())) == ["signed_cert", "ca_cert"]


def test_what_was_written_is_read_again() -> None:
    made = introduce()
    assert parse_introduction(made.to_json()) == made
    assert parse_introduction(made.to_json().encode()) == made


def document(**members: object) -> str:
    return json.dumps({**json.loads(introduce().to_json()), **members})


def test_the_standard_alphabet_and_other_members_are_read() -> None:
    text = document(
        signed_cert=json.loads(document())["signed_cert"].translate(str.maketrans("-_", "+/")), note=[1]
    )
    assert parse_introduction(text).subject == "CN=client1"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("", "syntax", id="nothing"),
        pytest.param("[]", "not-an-object", id="a list"),
        pytest.param("\ud800", "encoding", id="a lone surrogate"),
        pytest.param('{"services": {"a": "x", "a": "y"}}', "duplicate-member", id="one alias twice"),
        pytest.param("[" * 50 + "]" * 50, "too-deep", id="deep nesting"),
        pytest.param(" " * 200_000, "too-large", id="too much"),
        pytest.param("{}", "signed_cert", id="no members"),
        pytest.param(document(signed_cert=None), "signed_cert", id="null for a certificate"),
        pytest.param(document(signed_cert=7), "signed_cert", id="a number for a certificate"),
        pytest.param(document(signed_cert="AAAA"), "signed_cert", id="base64 of something else"),
        pytest.param(document(ca_cert=certificate()[0].decode()), "ca_cert", id="PEM for a certificate"),
        pytest.param(document(services=None), "services", id="null for services"),
        pytest.param(document(services=["a"]), "services", id="a list of services"),
        pytest.param(document(services={"a": 1}), "services", id="a number for a URL"),
        pytest.param(document(services={"../x": "https://a.example"}), "alias", id="an alias that climbs"),
        pytest.param(document(services={"a": "http://a.example"}), "url", id="http"),
        pytest.param(
            document(services={f"a{n}": "https://a.example" for n in range(65)}), "too-many", id="65 services"
        ),
    ],
)
def test_what_is_no_introduction_is_refused(text: str, cause: str) -> None:
    with pytest.raises(InvalidIntroduction) as caught:
        parse_introduction(text)
    assert (caught.value.cause, caught.value.reason) == (cause, Reason.INTRODUCTION_INVALID)


def test_a_strangers_text_is_not_repeated() -> None:
    with pytest.raises(InvalidIntroduction) as caught:
        parse_introduction(document(services={"MARK_OF_A_STRANGER": "https://a.example"}))
    assert "MARK" not in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    with pytest.raises(InvalidIntroduction):
        parse_introduction(data)
