"""Signing requests of our own, and those from outside as they are passed on."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.errors import InvalidName, SubjectRefused
from bilateral.pki.names import Subject
from bilateral.pki.pem import PrivateKey
from bilateral.pki.profiles import spki_der
from bilateral.pki.requests import build_request, normalise_request
from bilateral.pki.subjects import parse_request

KEYS: dict[str, PrivateKey] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA-2048": rsa.generate_private_key(65537, 2048),
}
CLIENT = Subject(common_name="client1", organization="Org B")


@pytest.mark.parametrize("kind", KEYS)
def test_a_request_proves_the_key_and_says_the_name_and_nothing_else(kind: str) -> None:
    pem = build_request(CLIENT, KEYS[kind])
    candidate = parse_request(pem.encode())
    assert candidate.is_proven
    assert candidate.subject == "CN=client1,O=Org B"
    assert spki_der(candidate.public_key) == spki_der(KEYS[kind].public_key())
    request = x509.load_pem_x509_csr(pem.encode())
    assert not list(request.extensions)
    assert not list(request.attributes)


def test_an_impossible_name_is_refused() -> None:
    with pytest.raises(InvalidName):
        build_request(Subject(common_name=""), KEYS["P-256"])


def test_what_stands_around_a_request_is_not_passed_on() -> None:
    pem = build_request(CLIENT, KEYS["P-256"])
    written, candidate = normalise_request("a remark of theirs\r\n" + pem + "and another\n")
    assert written == pem
    assert candidate.subject == "CN=client1,O=Org B"


def test_a_request_with_a_wrong_signature_is_refused() -> None:
    der = bytearray(
        x509.load_pem_x509_csr(build_request(CLIENT, KEYS["Ed25519"]).encode()).public_bytes(Encoding.DER)
    )
    der[-1] ^= 1
    broken = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(SubjectRefused) as caught:
        normalise_request(broken)
    assert caught.value.cause == "bad-signature"


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE REQUEST-----\n", "\udc80", "x" * 40_000])
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(SubjectRefused):
        normalise_request(text)
