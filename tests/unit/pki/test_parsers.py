"""R-D4: whatever bytes a stranger sends, a parser answers with an object or with our own error.

The library reads a certificate lazily, and raises from attributes: ValueError, and four kinds that are none.
Each case here once came out of a decision as an error that nobody expected; the mutations look for more.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.authority import load_authority, load_authority_certificate
from bilateral.pki.errors import InvalidCertificate, PkiError
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.identities import load_identity
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.pem import parse_certificates, parse_der_certificate, private_key_pem
from bilateral.pki.revocations import Revocation, parse_revocation_list, renew_revocation_list
from bilateral.pki.servers import issue_server_certificate, load_server_certificate
from unit.pki.material import NOW, P256_AUTHORITY, request

pytestmark = [
    # Both are cryptography's, of mutated names and serial numbers.
    pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning"),
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive"),
]

KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = x509.load_pem_x509_csr(request(KEY, names=["a.example"])).public_bytes(Encoding.DER)
INTRODUCTION = issue_introduction(P256_AUTHORITY, request(KEY), (), 600, NOW, dns_names=["a.example"])
LEAF = INTRODUCTION.certificate.public_bytes(Encoding.DER)
NUMBER = INTRODUCTION.certificate.serial_number
SERIAL = NUMBER.to_bytes(NUMBER.bit_length() // 8 + 1, "big").hex()
AUTHORITY = P256_AUTHORITY.certificate.public_bytes(Encoding.DER)
ISSUED = issue_server_certificate(P256_AUTHORITY, ["a.example", "10.0.0.1"], validity_seconds=600, now=NOW)
SERVER = x509.load_pem_x509_certificate(ISSUED.cert_pem).public_bytes(Encoding.DER)
LIST = renew_revocation_list(P256_AUTHORITY, [Revocation(5, NOW)], None, lifetime_seconds=600, now=NOW).der
MUTATIONS = 400


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def text(der: bytes) -> str:
    return base64.urlsafe_b64encode(der).decode()


def accept(signed: bytes, authority: bytes) -> object:
    introduction = parse_introduction(json.dumps({"signed_cert": text(signed), "ca_cert": text(authority)}))
    # What a command shows of an introduction before anybody accepted it.
    shown = (introduction.subject, introduction.authority_name, introduction.slug, introduction.not_after)
    pinned = {introduction.authority_fingerprint}
    return shown, accept_introduction(introduction, KEY.public_key(), pinned, NOW)


def introduce(subject: str | bytes) -> object:
    made = issue_introduction(P256_AUTHORITY, subject, (), 600, NOW)
    return made.subject, made.to_json()


DOORS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "a request to be introduced": (REQUEST, lambda der: introduce(pem("CERTIFICATE REQUEST", der))),
    "a certificate to be introduced": (LEAF, lambda der: introduce(text(der))),
    "an introduction's certificate": (LEAF, lambda der: accept(der, AUTHORITY)),
    "an introduction's authority": (AUTHORITY, lambda der: accept(LEAF, der)),
    "a partner's authority": (AUTHORITY, lambda der: load_authority_certificate(pem("CERTIFICATE", der))),
    "our authority": (AUTHORITY, lambda der: load_authority(pem("CERTIFICATE", der), P256_AUTHORITY.key_pem)),
    "a server's certificate": (
        SERVER,
        lambda der: load_server_certificate(
            pem("CERTIFICATE", der), ISSUED.key_pem, host="a.example", now=NOW
        ),
    ),
    "an identity": (LEAF, lambda der: load_identity(pem("CERTIFICATE", der), private_key_pem(KEY))),
    "a presented certificate": (LEAF, lambda der: parse_der_certificate(der, InvalidCertificate)),
    "a fingerprint's certificate": (LEAF, certificate_fingerprint),
    "a revocation list": (LIST, lambda der: parse_revocation_list(der, P256_AUTHORITY.certificate)),
}


def mutate(der: bytes, dice: random.Random) -> bytes:
    changed = bytearray(der)
    for _ in range(dice.choice((1, 1, 2, 4))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed[: dice.randrange(len(changed))] if dice.random() < 0.1 else changed)


@pytest.mark.parametrize(("der", "door"), DOORS.values(), ids=DOORS)
def test_a_mutation_is_read_or_refused_with_our_error(der: bytes, door: Callable[[bytes], object]) -> None:
    dice = random.Random(7)
    door(der)
    for _ in range(MUTATIONS):
        changed = mutate(der, dice)
        try:
            door(changed)
        except PkiError:
            continue


def replaced(der: bytes, old: str, new: str) -> bytes:
    changed = der.replace(bytes.fromhex(old), bytes.fromhex(new), 1)
    assert changed != der
    return changed


@pytest.mark.parametrize(
    ("der", "cause"),
    [
        pytest.param(replaced(LEAF, "a003020102", "a003020109"), "malformed-certificate", id="version 10"),
        pytest.param(
            replaced(LEAF, "06082a8648ce3d030107", "06082a8648ce3d030163"),
            "unsupported-key",
            id="an unknown curve",
        ),
        pytest.param(
            replaced(LEAF, "06072a8648ce3d0201", "06072a8648ce3d0263"),
            "unsupported-key",
            id="an unknown kind of key",
        ),
        pytest.param(
            replaced(LEAF, f"{len(SERIAL) // 2:02x}{SERIAL}", f"{len(SERIAL) // 2:02x}ff{SERIAL[2:]}"),
            "malformed-certificate",
            id="a negative serial number",
        ),
        pytest.param(
            replaced(LEAF, "0603551d0e", "0603551d23"), "malformed-certificate", id="an extension twice"
        ),
        pytest.param(
            replaced(LEAF, "0c07636c69656e74", "0307636c69656e74"), "malformed-certificate", id="a bit string"
        ),
    ],
)
def test_what_the_library_raises_late_is_refused_at_the_door(der: bytes, cause: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        parse_certificates(pem("CERTIFICATE", der), InvalidCertificate)
    assert caught.value.cause == cause
    with pytest.raises(InvalidCertificate) as caught:
        parse_der_certificate(der, InvalidCertificate)
    assert caught.value.cause == cause
