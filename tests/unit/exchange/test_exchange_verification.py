"""R-T1 to R-T6: an unverified partner receives nothing, over real TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bilateral.exchange.client import (
    CertificateAuthority,
    Fingerprint,
    Target,
    WebPKI,
)
from bilateral.exchange.verifiers import Contexts, Verifier
from bilateral.pki.servers import IssuedCertificate
from bilateral.protocol.reasons import Reason

from .asking import (
    ENVELOPE,
    GOOD,
    QUICK,
    good,
    outbound,
    refused,
    served_by,
)
from .conftest import Credentials, fingerprint, make_credentials
from .wire import partner


def common_name_only(credentials: Credentials) -> IssuedCertificate:
    """What our authority would never issue: the host in the common name and nowhere else."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = credentials.authority.certificate
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner.example")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(credentials.authority.key, hashes.SHA256())
    )
    return IssuedCertificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def expired(credentials: Credentials) -> IssuedCertificate:
    return credentials.issue(
        "partner.example", validity_seconds=3600, now=datetime.now(UTC) - timedelta(days=2)
    )


def not_yet_valid(credentials: Credentials) -> IssuedCertificate:
    return credentials.issue(
        "partner.example", validity_seconds=3600, now=datetime.now(UTC) + timedelta(days=1)
    )


Case = tuple[Callable[[Credentials], IssuedCertificate], Callable[[Credentials, IssuedCertificate], Verifier]]


def stranger(_: Credentials) -> IssuedCertificate:
    return make_credentials("Stranger").issue("partner.example")


UNVERIFIED: dict[str, Case] = {
    "another authority": (stranger, lambda c, i: CertificateAuthority(c.pem)),
    "an authority of the same name": (
        lambda c: make_credentials("Test CA").issue("partner.example"),
        lambda c, i: CertificateAuthority(c.pem),
    ),
    "not of the system's roots": (good, lambda c, i: WebPKI()),
    "not of the given bundle": (stranger, lambda c, i: WebPKI(c.pem)),
    "another name": (
        lambda c: c.issue("other.example"),
        lambda c, i: CertificateAuthority(c.pem),
    ),
    "another name, web PKI": (lambda c: c.issue("other.example"), lambda c, i: WebPKI(c.pem)),
    "the address instead of the name": (
        lambda c: c.issue("127.0.0.1"),
        lambda c, i: CertificateAuthority(c.pem),
    ),
    "common name only": (common_name_only, lambda c, i: CertificateAuthority(c.pem)),
    "common name only, web PKI": (common_name_only, lambda c, i: WebPKI(c.pem)),
    "expired": (expired, lambda c, i: CertificateAuthority(c.pem)),
    "not yet valid": (not_yet_valid, lambda c, i: CertificateAuthority(c.pem)),
    "another fingerprint": (good, lambda c, i: Fingerprint(("SHA256:" + "0" * 64,))),
    "another certificate of the same authority": (
        good,
        lambda c, i: Fingerprint((fingerprint(c.issue("partner.example")),)),
    ),
    "the authority's fingerprint": (
        good,
        lambda c, i: Fingerprint((fingerprint(IssuedCertificate(c.authority.certificate_pem, b"")),)),
    ),
    "no fingerprint": (good, lambda c, i: Fingerprint(())),
    "only a raw key's": (good, lambda c, i: Fingerprint(("ed25519:" + "0" * 64,))),
    "half a fingerprint": (good, lambda c, i: Fingerprint((fingerprint(i)[:39],))),
    "pinned and expired": (expired, lambda c, i: Fingerprint((fingerprint(i),))),
    "pinned and not yet valid": (not_yet_valid, lambda c, i: Fingerprint((fingerprint(i),))),
}


@pytest.mark.parametrize(("issue", "verifier"), UNVERIFIED.values(), ids=UNVERIFIED)
async def test_an_unverified_partner_receives_nothing(
    credentials: Credentials,
    issue: Callable[[Credentials], IssuedCertificate],
    verifier: Callable[[Credentials, IssuedCertificate], Verifier],
) -> None:
    """R-T6: not one byte of the request, let alone the token."""
    issued = issue(credentials)
    async with partner(GOOD, served_by(issued)) as other:
        target = Target(f"https://partner.example:{other.port}", verifier(credentials, issued), "t0ken")
        error = await refused(outbound(), target)
        assert error.reason is Reason.TLS_VERIFICATION_FAILED
        assert other.connections == 1
    assert other.received == b""


async def test_a_leaf_is_no_authority(credentials: Credentials) -> None:
    issued = good(credentials)
    async with partner(GOOD, served_by(issued)) as other:
        for verifier in (CertificateAuthority(issued.cert_pem), WebPKI(issued.cert_pem)):
            error = await refused(outbound(), Target(f"https://partner.example:{other.port}", verifier))
            assert error.reason is Reason.INVALID_SPEC
    assert other.received == b""


async def test_a_pin_asks_for_neither_name_nor_authority(credentials: Credentials) -> None:
    issued = make_credentials("Stranger").issue("other.example")
    async with partner(GOOD, served_by(issued)) as other:
        target = Target(f"https://partner.example:{other.port}", Fingerprint((fingerprint(issued),)))
        assert await outbound().post_handshake(target, ENVELOPE) == b'{"answer":1}'


async def test_a_pinned_certificate_expires_by_our_clock(credentials: Credentials) -> None:
    issued = credentials.issue("partner.example", validity_seconds=3600)
    later = datetime.now(UTC).timestamp() + 3601
    async with partner(GOOD, served_by(issued)) as other:
        target = Target(f"https://partner.example:{other.port}", Fingerprint((fingerprint(issued),)))
        assert (await refused(outbound(now=lambda: later), target)).reason is Reason.TLS_VERIFICATION_FAILED
    assert other.received == b""


@pytest.mark.parametrize(
    "verifier", [CertificateAuthority(b""), CertificateAuthority(b"no PEM"), WebPKI(b"")]
)
async def test_an_empty_bundle_is_an_error_and_no_fallback(
    verifier: Verifier, credentials: Credentials
) -> None:
    async with partner(GOOD, served_by(good(credentials))) as other:
        error = await refused(outbound(), Target(f"https://partner.example:{other.port}", verifier))
        assert error.reason is Reason.INVALID_SPEC
        assert other.connections == 0


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Evil: 1", "é", "x" * 4097])
async def test_a_token_that_cannot_be_sent_is_not(token: str, credentials: Credentials) -> None:
    async with partner(GOOD, served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem), token)
        assert (await refused(outbound(), target)).reason is Reason.INVALID_SPEC
        assert other.connections == 0


def test_a_token_is_in_no_repr() -> None:
    assert "t0ken" not in repr(Target("https://partner.example", WebPKI(), "t0ken"))


async def test_tls_1_2_needs_the_setting(credentials: Credentials) -> None:
    context = served_by(good(credentials))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with partner(GOOD, context) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert (await refused(outbound(), target)).reason is Reason.CONNECTION_FAILED
        assert other.received == b""
        old = replace(QUICK, minimum_tls=ssl.TLSVersion.TLSv1_2)
        assert await outbound(old).post_handshake(target, ENVELOPE) == b'{"answer":1}'


async def test_a_pin_holds_over_tls_1_2_too(credentials: Credentials) -> None:
    context = served_by(good(credentials))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    old = replace(QUICK, minimum_tls=ssl.TLSVersion.TLSv1_2)
    async with partner(GOOD, context) as other:
        target = Target(
            f"https://partner.example:{other.port}", Fingerprint(("SHA256:" + "0" * 64,)), "t0ken"
        )
        assert (await refused(outbound(old), target)).reason is Reason.TLS_VERIFICATION_FAILED
    assert other.received == b""


async def test_a_partner_without_tls_receives_no_request() -> None:
    async with partner(GOOD, None) as other:
        target = Target(f"https://127.0.0.1:{other.port}", Fingerprint(("SHA256:" + "0" * 64,)), "t0ken")
        client = outbound(replace(QUICK, connect_seconds=0.2))
        assert (await refused(client, target)).reason is Reason.CONNECTION_FAILED
    assert b"t0ken" not in other.received
    assert b"POST" not in other.received


def test_contexts_are_kept_and_bounded(credentials: Credentials) -> None:
    contexts = Contexts(size=3)
    first = contexts.build(CertificateAuthority(credentials.pem))
    assert contexts.build(CertificateAuthority(credentials.pem)) is first
    assert contexts.build(WebPKI(credentials.pem)) is not first
    pinned = contexts.build(Fingerprint(("SHA256:" + "0" * 64,)))
    assert contexts.build(Fingerprint(("SHA256:" + "1" * 64,))) is pinned
    for number in range(10):
        contexts.build(CertificateAuthority(credentials.pem + b"# %d\n" % number))
    assert len(contexts) == 3
    assert contexts.build(CertificateAuthority(credentials.pem)) is not first
