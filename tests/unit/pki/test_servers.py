"""Server certificates: what we issue passes OpenSSL's strict rules; what is provided is judged first."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.errors import AuthorityExpired, InvalidAuthority, InvalidCertificate, InvalidHost
from bilateral.pki.hosts import is_covered, parse_host
from bilateral.pki.names import Subject
from bilateral.pki.servers import (
    IssuedCertificate,
    is_issued_by,
    issue_server_certificate,
    load_server_certificate,
    verify_covers,
)
from bilateral.protocol.reasons import Reason
from unit.pki.material import ED25519_AUTHORITY, NOW, P256_AUTHORITY, SUBJECT, certificate

HOST = "trust.org-a.example"
DAY = 86_400
BOTH = pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)


def shake_hands(issued: IssuedCertificate, anchor: bytes, host: str, folder: Path) -> None:
    """One TLS 1.3 handshake in memory, with the client as strict as OpenSSL can be."""
    (folder / "tls.crt").write_bytes(issued.cert_pem)
    (folder / "tls.key").write_bytes(issued.key_pem)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.minimum_version = ssl.TLSVersion.TLSv1_3
    client_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    client_context.hostname_checks_common_name = False
    client_context.load_verify_locations(cadata=anchor.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.version() == "TLSv1.3"


@BOTH
@pytest.mark.parametrize(
    "host",
    [
        HOST,
        "127.0.0.1",
        "::1",
        pytest.param(".".join(["a" * 40] * 3), id="a host too long for a common name"),
    ],
)
def test_a_strict_client_accepts_what_we_issue(authority: Authority, host: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    fresh = generate_authority(
        SUBJECT,
        algorithm="ECDSAP256" if authority is P256_AUTHORITY else "Ed25519",
        validity_seconds=DAY,
        now=now,
    )
    issued = issue_server_certificate(fresh, [host], validity_seconds=DAY, now=now)
    shake_hands(issued, fresh.certificate_pem, host, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issued, fresh.certificate_pem, "other.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issued, authority.certificate_pem, host, tmp_path)


@BOTH
def test_the_profile_of_a_server_certificate(authority: Authority) -> None:
    issued = issue_server_certificate(authority, [HOST, "10.0.0.7", HOST], validity_seconds=DAY, now=NOW)
    leaf = x509.load_pem_x509_certificate(issued.cert_pem)
    get = leaf.extensions.get_extension_for_class
    names = get(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(HOST), x509.IPAddress(ip_address("10.0.0.7"))]
    assert list(get(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert get(x509.BasicConstraints).critical
    assert not get(x509.BasicConstraints).value.ca
    assert get(x509.KeyUsage).critical
    assert get(x509.KeyUsage).value.digital_signature
    assert not get(x509.KeyUsage).value.key_cert_sign
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert get(x509.AuthorityKeyIdentifier).value.key_identifier == identifier.key_identifier
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == HOST
    assert leaf.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == NOW.replace(microsecond=0) + timedelta(days=1)
    assert is_issued_by(leaf, authority)
    assert "PRIVATE" not in repr(issued)


def test_it_never_outlives_nor_precedes_its_ca() -> None:
    issued = issue_server_certificate(P256_AUTHORITY, [HOST], validity_seconds=10**9, now=NOW)
    leaf = x509.load_pem_x509_certificate(issued.cert_pem)
    assert leaf.not_valid_after_utc == P256_AUTHORITY.not_after
    early = P256_AUTHORITY.not_before + timedelta(seconds=1)
    first = issue_server_certificate(P256_AUTHORITY, [HOST], validity_seconds=DAY, now=early)
    assert x509.load_pem_x509_certificate(first.cert_pem).not_valid_before_utc == P256_AUTHORITY.not_before


def test_an_expired_authority_signs_nothing() -> None:
    with pytest.raises(AuthorityExpired):
        issue_server_certificate(
            P256_AUTHORITY, [HOST], validity_seconds=DAY, now=P256_AUTHORITY.not_after + timedelta(seconds=1)
        )


def test_an_authority_does_not_sign_its_own_name() -> None:
    namesake = generate_authority(
        Subject(common_name=HOST), algorithm="Ed25519", validity_seconds=DAY, now=NOW
    )
    with pytest.raises(InvalidAuthority) as caught:
        issue_server_certificate(namesake, [HOST], validity_seconds=DAY, now=NOW)
    assert caught.value.cause == "same-subject"


def test_another_authority_of_the_same_name_did_not_sign_it() -> None:
    issued = issue_server_certificate(P256_AUTHORITY, [HOST], validity_seconds=DAY, now=NOW)
    leaf = x509.load_pem_x509_certificate(issued.cert_pem)
    assert not is_issued_by(leaf, ED25519_AUTHORITY)


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param("Trust.Org-A.example", "upper-case", id="upper case"),
        pytest.param("a_b.example", "not-a-name", id="underscore"),
        pytest.param("trust.example.", "not-a-name", id="trailing dot"),
        pytest.param("-a.example", "not-a-name", id="leading hyphen"),
        pytest.param("*.example.org", "not-a-name", id="wildcard"),
        pytest.param("münchen.example", "not-a-name", id="not ASCII"),
        pytest.param("1.2.3", "not-a-name", id="a number as last label"),
        pytest.param("127.1", "not-a-name", id="a short address"),
        pytest.param("010.0.0.1", "not-a-name", id="an octal address"),
        pytest.param("[::1]", "not-a-name", id="brackets"),
        pytest.param("host:443", "not-a-name", id="port"),
        pytest.param("fe80::1%eth0", "zone", id="zone"),
        pytest.param("a\n", "not-a-name", id="newline"),
        pytest.param("a" * 64 + ".example", "not-a-name", id="label of 64"),
        pytest.param("a." * 127, "too-long", id="254 characters"),
    ],
)
def test_a_host_that_is_none_is_refused(host: str, cause: str) -> None:
    with pytest.raises(InvalidHost) as caught:
        issue_server_certificate(P256_AUTHORITY, [host], validity_seconds=DAY, now=NOW)
    assert caught.value.cause == cause


def test_no_host_at_all_is_refused() -> None:
    with pytest.raises(InvalidHost):
        issue_server_certificate(P256_AUTHORITY, [], validity_seconds=DAY, now=NOW)


@pytest.mark.parametrize(
    ("host", "name", "covered"),
    [
        ("a.org.example", x509.DNSName("a.org.example"), True),
        ("a.org.example", x509.DNSName("A.Org.Example"), True),
        ("a.org.example", x509.DNSName("*.org.example"), True),
        ("a.b.org.example", x509.DNSName("*.org.example"), False),
        ("org.example", x509.DNSName("*.org.example"), False),
        ("org.example", x509.DNSName("*.example"), False),
        ("a.org.example", x509.DNSName("a*.org.example"), False),
        ("10.0.0.7", x509.IPAddress(ip_address("10.0.0.7")), True),
        ("10.0.0.7", x509.DNSName("10.0.0.7"), False),
        ("::1", x509.IPAddress(ip_address("0:0:0:0:0:0:0:1")), True),
    ],
)
def test_a_host_is_covered_by_subject_alternative_names_only(
    host: str, name: x509.GeneralName, covered: bool
) -> None:
    assert is_covered(parse_host(host), x509.SubjectAlternativeName([name])) is covered


ISSUED = issue_server_certificate(P256_AUTHORITY, [HOST], validity_seconds=DAY, now=NOW)
CHAIN = ISSUED.cert_pem + P256_AUTHORITY.certificate_pem


def test_a_sound_chain_is_loaded_with_what_status_shows() -> None:
    loaded = load_server_certificate(CHAIN, ISSUED.key_pem, host=HOST, now=NOW)
    assert loaded.chain_pem == CHAIN
    assert loaded.fingerprint.startswith("SHA256:")
    assert loaded.not_before < loaded.renewal_due < loaded.not_after
    assert loaded.renewal_due - loaded.not_before == (loaded.not_after - loaded.not_before) * 2 / 3
    assert "PRIVATE" not in repr(loaded)


@pytest.mark.parametrize(
    ("chain", "key", "cause"),
    [
        pytest.param(b"junk", ISSUED.key_pem, "malformed-certificate", id="junk"),
        pytest.param(ISSUED.cert_pem, b"junk", "malformed-key", id="junk as key"),
        pytest.param(ISSUED.cert_pem, P256_AUTHORITY.key_pem, "key-mismatch", id="another key"),
        pytest.param(
            P256_AUTHORITY.certificate_pem + ISSUED.cert_pem, ISSUED.key_pem, "key-mismatch", id="wrong order"
        ),
        pytest.param(
            ISSUED.cert_pem + ED25519_AUTHORITY.certificate_pem,
            ISSUED.key_pem,
            "broken-chain",
            id="a link that did not sign",
        ),
        pytest.param(*certificate(subject=HOST, ca=False), "host-not-covered", id="common name only"),
        pytest.param(
            *certificate(names=(x509.DNSName("b.example"),), ca=False), "host-not-covered", id="another host"
        ),
        pytest.param(
            *certificate(names=(x509.DNSName(HOST),), ca=False, extended=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
            "not-for-servers",
            id="clientAuth only",
        ),
        pytest.param(
            *certificate(
                names=(x509.DNSName(HOST),),
                ca=False,
                not_before=NOW - timedelta(days=2),
                not_after=NOW - timedelta(seconds=1),
            ),
            "expired",
            id="expired",
        ),
        pytest.param(
            *certificate(names=(x509.DNSName(HOST),), ca=False, not_before=NOW + timedelta(seconds=1)),
            "not-yet-valid",
            id="not yet valid",
        ),
    ],
)
def test_what_must_not_be_presented_is_refused(chain: bytes, key: bytes, cause: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        load_server_certificate(chain, key, host=HOST, now=NOW)
    assert caught.value.cause == cause
    assert caught.value.reason is Reason.CERTIFICATE_INVALID


def test_a_self_signed_server_certificate_may_be_presented_to_who_pins_it() -> None:
    cert_pem, key_pem = certificate(names=(x509.DNSName(HOST),), ca=False)
    loaded = load_server_certificate(cert_pem, key_pem, host=HOST, now=NOW)
    verify_covers(loaded.leaf, HOST)
