"""Accepting an introduction: everything that upstream leaves unchecked, each with its own reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.errors import (
    AuthorityNotPinned,
    ForeignIdentity,
    IntroductionExpired,
    InvalidIntroduction,
)
from bilateral.pki.introductions import Introduction, issue_introduction, parse_introduction
from bilateral.pki.pem import PublicKey
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.protocol.reasons import Reason
from unit.pki.material import (
    ALL_EXTENSIONS,
    ED25519_AUTHORITY,
    NOW,
    P256_AUTHORITY,
    SUBJECT,
    YEAR,
    AnyKey,
    certificate,
    key_usage,
    request,
)

KEY = ec.generate_private_key(ec.SECP256R1())
OURS = KEY.public_key()
MONTH = 2_592_000
PINNED = {P256_AUTHORITY.fingerprint, ED25519_AUTHORITY.fingerprint}


def introduce(authority: Authority = P256_AUTHORITY, key: AnyKey = KEY) -> Introduction:
    return issue_introduction(authority, request(key), (), MONTH, NOW)


def accept(introduction: Introduction, *, key: PublicKey = OURS, now: datetime = NOW) -> Introduction:
    return accept_introduction(introduction, key, PINNED | {introduction.authority_fingerprint}, now)


def signed(
    *,
    issuer: Authority = P256_AUTHORITY,
    key: AnyKey = KEY,
    ca: bool = False,
    extended: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    extra: x509.ExtensionType | None = None,
    not_before: datetime = NOW - timedelta(minutes=5),
    not_after: datetime = NOW + timedelta(days=1),
) -> Introduction:
    pem, _ = certificate(
        subject="client1",
        key=key,
        issuer=issuer,
        ca=ca,
        extended=extended,
        extra=extra,
        not_before=not_before,
        not_after=not_after,
    )
    return Introduction(x509.load_pem_x509_certificate(pem), issuer.certificate)


@pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)
def test_what_a_pinned_authority_signed_for_our_key_is_accepted(authority: Authority) -> None:
    introduction = parse_introduction(introduce(authority).to_json())
    assert accept_introduction(introduction, OURS, PINNED, NOW) is introduction


def test_another_name_than_ours_is_the_signers_business() -> None:
    assert accept(signed()).subject == "CN=client1"


def test_a_certificate_without_usages_is_accepted_as_every_server_would() -> None:
    introduction = signed(extended=())
    assert accept(introduction) is introduction


def test_an_authority_that_nobody_pinned_is_refused() -> None:
    stranger = generate_authority(SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW)
    with pytest.raises(AuthorityNotPinned) as caught:
        accept_introduction(introduce(stranger), OURS, PINNED, NOW)
    assert caught.value.reason is Reason.AUTHORITY_NOT_PINNED
    assert caught.value.fingerprint == stranger.fingerprint
    with pytest.raises(AuthorityNotPinned):
        accept_introduction(introduce(), OURS, (), NOW)


def test_a_pinned_authority_that_did_not_sign_is_refused() -> None:
    stranger = generate_authority(SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW)
    swapped = replace(introduce(stranger), authority=P256_AUTHORITY.certificate)
    with pytest.raises(InvalidIntroduction) as caught:
        accept(swapped)
    assert (caught.value.cause, caught.value.reason) == ("foreign-signature", Reason.INTRODUCTION_INVALID)


def test_one_for_another_key_is_refused() -> None:
    with pytest.raises(ForeignIdentity) as caught:
        accept(introduce(key=ec.generate_private_key(ec.SECP256R1())))
    assert caught.value.reason is Reason.IDENTITY_KEY_MISMATCH


def test_an_expired_one_is_refused_after_its_last_second() -> None:
    introduction = introduce()
    assert accept(introduction, now=introduction.not_after) is introduction
    with pytest.raises(IntroductionExpired) as caught:
        accept(introduction, now=introduction.not_after + timedelta(seconds=1))
    assert (caught.value.cause, caught.value.reason) == ("expired", Reason.INTRODUCTION_EXPIRED)
    assert caught.value.not_after == introduction.not_after


def test_one_by_an_expired_authority_is_refused() -> None:
    with pytest.raises(IntroductionExpired) as caught:
        accept(introduce(), now=NOW + timedelta(seconds=YEAR + 1))
    assert caught.value.cause == "authority-expired"


def authority_with(
    *,
    ca: bool = True,
    extensions: frozenset[str] = ALL_EXTENSIONS,
    issuer: Authority | None = None,
    cert_sign: bool = True,
) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    pem, _ = certificate(key=key, ca=ca, extensions=extensions, issuer=issuer, cert_sign=cert_sign)
    return Authority(x509.load_pem_x509_certificate(pem), key)


UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("introduction", "cause"),
    [
        pytest.param(signed(issuer=authority_with(ca=False)), "not-a-ca", id="ca_cert is no CA"),
        pytest.param(
            signed(issuer=authority_with(extensions=frozenset({"usage", "identifier"}))),
            "not-a-ca",
            id="ca_cert does not say that it is a CA",
        ),
        pytest.param(
            signed(issuer=authority_with(cert_sign=False)), "cannot-sign", id="ca_cert may not sign"
        ),
        pytest.param(
            signed(issuer=authority_with(issuer=P256_AUTHORITY)),
            "not-self-signed",
            id="ca_cert is an intermediate",
        ),
        pytest.param(signed(ca=True), "ca", id="signed_cert is a CA"),
        pytest.param(
            signed(extended=(ExtendedKeyUsageOID.SERVER_AUTH,)), "not-for-clients", id="for servers only"
        ),
        pytest.param(signed(extra=UNKNOWN), "unknown-critical-extension", id="an unknown critical extension"),
        pytest.param(
            signed(not_before=LATER, not_after=LATER + timedelta(days=1)), "not-yet-valid", id="begins later"
        ),
        pytest.param(
            signed(key=rsa.generate_private_key(public_exponent=65537, key_size=1024)),
            "weak-key",
            id="RSA of 1024 bits",
        ),
    ],
)
def test_what_upstream_would_install_is_refused(introduction: Introduction, cause: str) -> None:
    with pytest.raises(InvalidIntroduction) as caught:
        accept(introduction)
    assert (caught.value.cause, caught.value.reason) == (cause, Reason.INTRODUCTION_INVALID)


def test_an_authority_that_has_not_begun_is_refused() -> None:
    late = generate_authority(
        SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW + timedelta(days=9)
    )
    introduction = signed(issuer=late)
    with pytest.raises(InvalidIntroduction) as caught:
        accept(introduction)
    assert caught.value.cause == "authority-not-yet-valid"


def test_a_withdrawn_one_is_refused() -> None:
    introduction = introduce()
    entries = [Revocation(introduction.certificate.serial_number, NOW)]
    withdrawn = renew_revocation_list(P256_AUTHORITY, entries, None, lifetime_seconds=MONTH, now=NOW)
    with pytest.raises(InvalidIntroduction) as caught:
        accept_introduction(introduction, OURS, PINNED, NOW, revocations=withdrawn)
    assert caught.value.cause == "revoked"
    other = introduce()
    assert accept_introduction(other, OURS, PINNED, NOW, revocations=withdrawn) is other


def test_every_byte_of_the_certificate_counts() -> None:
    """Whichever byte of the DER is flipped: the certificate cannot be read, or is refused."""
    from cryptography.hazmat.primitives.serialization import Encoding

    good = introduce()
    der = good.certificate.public_bytes(Encoding.DER)
    for position in range(0, len(der), 7):
        flipped = bytearray(der)
        flipped[position] ^= 1
        try:
            changed = x509.load_der_x509_certificate(bytes(flipped))
        except ValueError:
            continue
        with pytest.raises(InvalidIntroduction):
            accept(replace(good, certificate=changed))


def test_key_usage_without_signatures_is_refused() -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(introduce().certificate.subject)
        .issuer_name(P256_AUTHORITY.certificate.subject)
        .public_key(OURS)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(key_usage(cert_sign=False, digital_signature=False), critical=True)
    )
    from cryptography.hazmat.primitives import hashes

    made = builder.sign(P256_AUTHORITY.key, hashes.SHA256())
    with pytest.raises(InvalidIntroduction) as caught:
        accept(Introduction(made, P256_AUTHORITY.certificate))
    assert caught.value.cause == "not-for-clients"
