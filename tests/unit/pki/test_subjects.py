"""Subjects to be introduced: three forms are read, and what must not be signed is refused with its word."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.encoding import decode_base64
from bilateral.pki.errors import SubjectRefused
from bilateral.pki.subjects import MAX_SUBJECT_BYTES, parse_subject
from unit.pki.material import NOW, certificate, request

PEM, _ = certificate(subject="client1", ca=False)
DER = x509.load_pem_x509_certificate(PEM).public_bytes(Encoding.DER)
KEY = ec.generate_private_key(ec.SECP256R1())
STANDARD = base64.b64encode(DER).decode()
URL_SAFE = base64.urlsafe_b64encode(DER).decode()


@pytest.mark.parametrize(
    ("text", "proven"),
    [
        pytest.param(PEM, False, id="a PEM certificate"),
        pytest.param(PEM.decode(), False, id="a PEM certificate as text"),
        pytest.param(b"a comment\n" + PEM, False, id="a PEM certificate after a comment"),
        pytest.param(STANDARD, False, id="standard base64"),
        pytest.param(URL_SAFE + "\n", False, id="URL-safe base64 with a newline at the end"),
        pytest.param(request(KEY), True, id="a signing request"),
        pytest.param(
            request(KEY).replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
            True,
            id="a signing request as old programs mark it",
        ),
        pytest.param(request(ed25519.Ed25519PrivateKey.generate()), True, id="an Ed25519 signing request"),
    ],
)
def test_each_form_is_read(text: str | bytes, proven: bool) -> None:
    candidate = parse_subject(text)
    assert (candidate.subject, candidate.is_proven) == ("CN=client1", proven)


def named(name: x509.Name) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


UNITS = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "u")] * 33)
LONG = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "o" * 5000)])


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param(b"", "malformed-subject", id="nothing"),
        pytest.param("certainly not", "malformed-subject", id="words"),
        pytest.param("é", "malformed-subject", id="not ASCII"),
        pytest.param("\ud800", "malformed-subject", id="a lone surrogate"),
        pytest.param(DER, "malformed-subject", id="bare DER"),
        pytest.param(STANDARD.rstrip("=")[:-1] + "*", "malformed-subject", id="base64 with something else"),
        pytest.param(base64.encodebytes(DER), "malformed-subject", id="base64 over several lines"),
        pytest.param("AAAA", "malformed-subject", id="base64 of something else"),
        pytest.param(PEM[:-40], "malformed-certificate", id="a truncated certificate"),
        pytest.param(PEM + PEM, "several-certificates", id="two certificates"),
        pytest.param(PEM * 11, "too-many-certificates", id="eleven certificates"),
        pytest.param(request(KEY)[:-60], "malformed-request", id="a truncated request"),
        pytest.param(certificate()[1], "malformed-request", id="a private key"),
        pytest.param(request(KEY, tampered=True), "bad-signature", id="a request signed by another key"),
        pytest.param(certificate()[0], "ca", id="an authority"),
        pytest.param(request(KEY, ca=True), "ca", id="a request for an authority"),
        pytest.param(certificate(subject=None, ca=False)[0], "empty-subject", id="no subject"),
        pytest.param(request(KEY, subject=None), "empty-subject", id="a request without a subject"),
        pytest.param(request(rsa_key(1024)), "weak-key", id="RSA of 1024 bits"),
        pytest.param(
            request(ec.generate_private_key(ec.SECP256K1())), "unsupported-key", id="curve secp256k1"
        ),
        pytest.param(
            request(ec.generate_private_key(ec.SECP521R1())), "unsupported-key", id="curve secp521r1"
        ),
        pytest.param(named(UNITS), "name-too-long", id="33 attributes"),
        pytest.param(named(LONG), "name-too-long", id="a name of 5000 bytes"),
        pytest.param(b"x" * (MAX_SUBJECT_BYTES + 1), "too-large", id="too much"),
    ],
)
def test_what_must_not_be_signed_is_refused(text: str | bytes, cause: str) -> None:
    with pytest.raises(SubjectRefused) as caught:
        parse_subject(text)
    assert caught.value.cause == cause


def test_ed448_is_refused() -> None:
    key = ed448.Ed448PrivateKey.generate()
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    with pytest.raises(SubjectRefused) as caught:
        parse_subject(asked.public_bytes(Encoding.PEM))
    assert caught.value.cause == "unsupported-key"


def test_rsa_of_2048_bits_passes() -> None:
    assert parse_subject(request(rsa_key(2048))).is_proven


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(SubjectRefused):
        parse_subject(data)


@given(st.binary(min_size=1, max_size=64))
def test_base64_has_one_text_in_each_alphabet(data: bytes) -> None:
    standard, url_safe = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    assert decode_base64(standard) == decode_base64(url_safe) == data
    for text in (standard + "\n", " " + standard, standard + "=", standard[:-1], "-" + standard):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(text)


def test_trailing_bits_are_refused() -> None:
    assert decode_base64("AA==") == b"\0"
    with pytest.raises(ValueError, match="canonical"):
        decode_base64("AB==")


def test_dates_of_the_subjects_certificate_do_not_matter() -> None:
    pem, _ = certificate(
        subject="old", ca=False, not_before=NOW.replace(year=2001), not_after=NOW.replace(year=2002)
    )
    assert parse_subject(pem).subject == "CN=old"
