"""Authorities: certified's profile when made, and nothing admitted that a strict verifier refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ObjectIdentifier

from bilateral.pki.authority import (
    Algorithm,
    Authority,
    generate_authority,
    load_authority,
    load_authority_certificate,
    verify_authority_dates,
)
from bilateral.pki.errors import AuthorityExpired, InvalidAuthority
from bilateral.pki.pem import private_key_pem
from bilateral.protocol.reasons import Reason
from unit.pki.material import (
    ALL_EXTENSIONS,
    ED25519_AUTHORITY,
    NOW,
    P256_AUTHORITY,
    SUBJECT,
    YEAR,
    certificate,
)

BOTH = pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)


@BOTH
def test_a_generated_authority_has_the_profile_of_certified(authority: Authority) -> None:
    made = authority.certificate
    shown = [(extension.oid._name, extension.critical) for extension in made.extensions]
    assert shown == [("subjectKeyIdentifier", False), ("basicConstraints", True), ("keyUsage", True)]
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.key_encipherment
    identifier = made.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    assert made.version is x509.Version.v3
    assert made.serial_number.bit_length() > 64
    made.verify_directly_issued_by(made)


@BOTH
def test_a_generated_authority_begins_five_minutes_ago_and_ends_when_asked(authority: Authority) -> None:
    second = NOW.replace(microsecond=0)
    assert authority.not_before == second - timedelta(minutes=5)
    assert authority.not_after == second + timedelta(seconds=YEAR)


@BOTH
def test_what_was_made_is_loaded_again(authority: Authority) -> None:
    loaded = load_authority(authority.certificate_pem, authority.key_pem)
    assert loaded.certificate == authority.certificate
    assert loaded.key_pem == authority.key_pem
    assert loaded.subject == "CN=Org A CA,OU=Trust,O=Org A"
    assert loaded.fingerprint.startswith("SHA256:")


@BOTH
def test_a_key_is_unencrypted_pkcs8_and_never_in_a_repr(authority: Authority) -> None:
    assert authority.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert "key" not in repr(authority).lower().replace("keyidentifier", "")


def test_two_generations_differ_in_key_and_serial() -> None:
    first, second = (
        generate_authority(SUBJECT, algorithm="Ed25519", validity_seconds=60, now=NOW) for _ in range(2)
    )
    assert first.fingerprint != second.fingerprint
    assert first.key_pem != second.key_pem


def test_an_unknown_algorithm_or_no_validity_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="RSA"):
        generate_authority(SUBJECT, algorithm="RSA", validity_seconds=60, now=NOW)
    with pytest.raises(ValueError, match="positive"):
        generate_authority(SUBJECT, algorithm=Algorithm.ED25519, validity_seconds=0, now=NOW)
    with pytest.raises(ValueError, match="time zone"):
        generate_authority(
            SUBJECT, algorithm=Algorithm.ED25519, validity_seconds=60, now=NOW.replace(tzinfo=None)
        )


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(rsa.generate_private_key(public_exponent=65537, key_size=2048), id="RSA 2048"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519"),
    ],
)
def test_a_provided_authority_of_another_sound_type_is_admitted(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    cert_pem, key_pem = certificate(key=key)
    assert load_authority(cert_pem, key_pem).subject == "CN=Org B CA"


GOOD_CERT, GOOD_KEY = certificate()
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
LEGACY_CURVE = ec.generate_private_key(ec.SECP256K1())
ENCRYPTED = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
)
ED448 = ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


@pytest.mark.parametrize(
    ("pair", "cause"),
    [
        pytest.param((b"", GOOD_KEY), "malformed-certificate", id="no certificate"),
        pytest.param((b"junk", GOOD_KEY), "malformed-certificate", id="junk as certificate"),
        pytest.param((GOOD_CERT[:200], GOOD_KEY), "malformed-certificate", id="cut off certificate"),
        pytest.param((GOOD_CERT + b"\n" * 65536, GOOD_KEY), "too-large", id="certificate past 64 KiB"),
        pytest.param((GOOD_CERT * 11, GOOD_KEY), "too-many-certificates", id="eleven certificates"),
        pytest.param((GOOD_CERT * 2, GOOD_KEY), "several-certificates", id="two certificates"),
        pytest.param((GOOD_CERT, b"junk"), "malformed-key", id="junk as key"),
        pytest.param((GOOD_CERT, GOOD_KEY + b" " * 65536), "too-large", id="key past 64 KiB"),
        pytest.param((GOOD_CERT, ENCRYPTED), "encrypted-key", id="encrypted key"),
        pytest.param((GOOD_CERT, ED448), "unsupported-key", id="key type of no use"),
        pytest.param((GOOD_CERT, certificate()[1]), "key-mismatch", id="another key"),
        pytest.param((GOOD_CERT, ED25519_AUTHORITY.key_pem), "key-mismatch", id="key of another type"),
        pytest.param((GOOD_CERT, private_key_pem(WEAK_RSA)), "weak-key", id="RSA 1024"),
        pytest.param((GOOD_CERT, private_key_pem(LEGACY_CURVE)), "unsupported-key", id="secp256k1"),
        pytest.param(certificate(subject=None), "empty-subject", id="empty subject"),
        pytest.param(certificate(ca=False), "not-a-ca", id="CA:FALSE"),
        pytest.param(
            certificate(extensions=ALL_EXTENSIONS - {"constraints"}), "not-a-ca", id="no BasicConstraints"
        ),
        pytest.param(certificate(constraints_critical=False), "not-a-ca", id="BasicConstraints not critical"),
        pytest.param(certificate(extensions=ALL_EXTENSIONS - {"usage"}), "cannot-sign", id="no KeyUsage"),
        pytest.param(certificate(cert_sign=False), "cannot-sign", id="KeyUsage without keyCertSign"),
        pytest.param(
            certificate(extensions=ALL_EXTENSIONS - {"identifier"}), "no-key-identifier", id="no SKI"
        ),
        pytest.param(
            certificate(extra=UNKNOWN), "unknown-critical-extension", id="unknown critical extension"
        ),
        pytest.param(certificate(issuer=P256_AUTHORITY), "not-self-signed", id="an intermediate"),
        pytest.param(
            certificate(subject="Org A CA", issuer=ED25519_AUTHORITY),
            "not-self-signed",
            id="signed by another key",
        ),
    ],
)
def test_what_must_not_sign_is_refused(pair: tuple[bytes, bytes], cause: str) -> None:
    with pytest.raises(InvalidAuthority) as caught:
        load_authority(*pair)
    assert caught.value.cause == cause
    assert caught.value.reason is Reason.AUTHORITY_INVALID
    assert "PRIVATE" not in str(caught.value)


def test_a_partners_certificate_is_judged_the_same_way_without_its_key() -> None:
    assert load_authority_certificate(P256_AUTHORITY.certificate_pem) == P256_AUTHORITY.certificate
    for pem, cause in [
        (GOOD_CERT * 2, "several-certificates"),
        (certificate(ca=False)[0], "not-a-ca"),
        (b"", "malformed-certificate"),
    ]:
        with pytest.raises(InvalidAuthority) as caught:
            load_authority_certificate(pem)
        assert caught.value.cause == cause


def test_dates_are_judged_to_the_second() -> None:
    authority = load_authority(P256_AUTHORITY.certificate_pem, P256_AUTHORITY.key_pem)
    verify_authority_dates(authority, authority.not_before)
    verify_authority_dates(authority, authority.not_after)
    with pytest.raises(AuthorityExpired) as expired:
        verify_authority_dates(authority, authority.not_after + timedelta(seconds=1))
    assert expired.value.reason is Reason.AUTHORITY_EXPIRED
    assert "2027-11-21T14:31:07Z" in str(expired.value)
    with pytest.raises(InvalidAuthority) as early:
        verify_authority_dates(authority, authority.not_before - timedelta(seconds=1))
    assert early.value.cause == "not-yet-valid"
