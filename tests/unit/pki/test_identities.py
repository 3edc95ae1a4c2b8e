"""Identities: for clients, for servers only where names were approved, never more than the record says."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.errors import (
    AuthorityExpired,
    InvalidCertificate,
    InvalidHost,
    InvalidName,
    SubjectRefused,
)
from bilateral.pki.identities import (
    Identity,
    generate_identity_key,
    is_current,
    issue_identity,
    issue_requested_identity,
    load_identity,
)
from bilateral.pki.names import Subject
from bilateral.protocol.reasons import Reason
from unit.pki.material import (
    ED25519_AUTHORITY,
    NOW,
    P256_AUTHORITY,
    SUBJECT,
    YEAR,
    certificate,
    key_usage,
    machine_now,
    request,
    shake_hands,
)

CLIENT = Subject(organization="Org A", common_name="client1", user_id="c1")
KEY = generate_identity_key("ECDSAP256")
MONTH = 2_592_000
BOTH = pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)


def issue(authority: Authority = P256_AUTHORITY, *names: str, seconds: int = MONTH) -> Identity:
    return issue_identity(
        authority, CLIENT, KEY.public_key(), dns_names=names, validity_seconds=seconds, now=NOW
    )


@BOTH
def test_a_client_is_for_clients_only(authority: Authority) -> None:
    made = issue(authority).certificate
    shown = [(extension.oid._name, extension.critical) for extension in made.extensions]
    assert shown == [
        ("subjectKeyIdentifier", False),
        ("authorityKeyIdentifier", False),
        ("basicConstraints", True),
        ("keyUsage", True),
        ("extendedKeyUsage", False),
    ]
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value == key_usage(cert_sign=False)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    identifier = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert (
        identifier.key_identifier
        == x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key()).digest
    )


def test_names_make_it_a_servers_certificate_too() -> None:
    made = issue(P256_AUTHORITY, "client1.org-a.svc", "client1").certificate
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    ]
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["client1.org-a.svc", "client1"]
    assert not names.critical


@pytest.mark.parametrize("ca_algorithm", ["ECDSAP256", "Ed25519"])
@pytest.mark.parametrize("algorithm", ["ECDSAP256", "Ed25519"])
def test_it_serves_and_calls_under_strict_verification(ca_algorithm: str, algorithm: str) -> None:
    now = machine_now()
    authority = generate_authority(SUBJECT, algorithm=ca_algorithm, validity_seconds=MONTH, now=now)
    key = generate_identity_key(algorithm)
    made = issue_identity(
        authority, CLIENT, key.public_key(), dns_names=["a.test"], validity_seconds=MONTH, now=now
    )
    held = load_identity(made.certificate_pem, load_pem(key))
    anchor = authority.certificate_pem
    assert shake_hands(server=(held, anchor), client=(held, anchor), host="a.test") == "TLSv1.3"


def test_a_client_cannot_pose_as_a_server() -> None:
    now = machine_now()
    authority = generate_authority(SUBJECT, algorithm="Ed25519", validity_seconds=MONTH, now=now)
    made = issue_identity(authority, CLIENT, KEY.public_key(), validity_seconds=MONTH, now=now)
    held = load_identity(made.certificate_pem, load_pem(KEY))
    anchor = authority.certificate_pem
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server=(held, anchor), client=(held, anchor), host="a.test")


def load_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    from bilateral.pki.pem import private_key_pem

    return private_key_pem(key)


def test_it_begins_five_minutes_ago_and_is_renewed_at_two_thirds() -> None:
    made = issue()
    start = NOW.replace(microsecond=0)
    assert made.certificate.not_valid_before_utc == start - timedelta(minutes=5)
    assert made.not_after == start + timedelta(seconds=MONTH)
    assert made.renewal_due == start - timedelta(minutes=5) + timedelta(seconds=MONTH + 300) * 2 / 3


def test_it_never_outlives_or_precedes_its_authority() -> None:
    made = issue(seconds=2 * YEAR)
    assert made.not_after == P256_AUTHORITY.not_after
    young = generate_authority(SUBJECT, algorithm="Ed25519", validity_seconds=60, now=NOW)
    assert issue(young).certificate.not_valid_before_utc == young.not_before


def test_what_status_shows() -> None:
    made = issue()
    assert made.subject == "UID=c1,CN=client1,O=Org A"
    assert made.serial == f"{made.certificate.serial_number:040x}"
    assert made.fingerprint.startswith("SHA256:")
    assert made.certificate_pem.endswith(b"-----END CERTIFICATE-----\n")


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        pytest.param(["10.0.0.1"], "address", id="an address"),
        pytest.param(["*.example"], "not-a-name", id="a wildcard"),
        pytest.param(["Client1"], "upper-case", id="upper case"),
        pytest.param([f"n{n}.example" for n in range(65)], "too-many", id="65 names"),
    ],
)
def test_names_that_are_no_dns_names_are_refused(names: list[str], cause: str) -> None:
    with pytest.raises(InvalidHost) as caught:
        issue(P256_AUTHORITY, *names)
    assert caught.value.cause == cause


def test_no_subject_is_refused() -> None:
    with pytest.raises(InvalidName):
        issue_identity(P256_AUTHORITY, Subject(), KEY.public_key(), validity_seconds=MONTH, now=NOW)


def test_the_authoritys_own_name_is_refused_in_any_case_and_spacing() -> None:
    for name in ("Org A CA", "org a ca", "ORG  A  CA"):
        with pytest.raises(SubjectRefused) as caught:
            issue_identity(
                P256_AUTHORITY,
                Subject(organization="Org A", organizational_unit="Trust", common_name=name),
                KEY.public_key(),
                validity_seconds=MONTH,
                now=NOW,
            )
        assert (caught.value.cause, caught.value.reason) == ("same-subject", Reason.SUBJECT_REFUSED)


def test_the_authoritys_own_key_is_refused() -> None:
    with pytest.raises(SubjectRefused) as caught:
        issue_identity(
            P256_AUTHORITY, CLIENT, P256_AUTHORITY.key.public_key(), validity_seconds=MONTH, now=NOW
        )
    assert caught.value.cause == "own-key"


def test_an_expired_authority_signs_nobody() -> None:
    with pytest.raises(AuthorityExpired):
        issue_identity(
            P256_AUTHORITY,
            CLIENT,
            KEY.public_key(),
            validity_seconds=MONTH,
            now=NOW + timedelta(seconds=YEAR + 1),
        )


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_validity_that_is_not_positive_is_a_mistake_of_ours(seconds: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        issue(seconds=seconds)


def test_an_unknown_algorithm_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="RSA"):
        generate_identity_key("RSA")


def test_of_a_request_only_the_proven_key_counts() -> None:
    asked = request(KEY, subject="Org A CA", names=["admin.org-a.svc"])
    made = issue_requested_identity(P256_AUTHORITY, CLIENT, asked, validity_seconds=MONTH, now=NOW)
    assert made.subject == "UID=c1,CN=client1,O=Org A"
    assert made.certificate.public_key() == KEY.public_key()
    assert is_current(made, P256_AUTHORITY.certificate, CLIENT)


def test_a_request_signed_by_another_key_is_refused() -> None:
    with pytest.raises(SubjectRefused) as caught:
        issue_requested_identity(
            P256_AUTHORITY, CLIENT, request(KEY, tampered=True), validity_seconds=MONTH, now=NOW
        )
    assert caught.value.cause == "bad-signature"


def test_is_current_tells_every_change() -> None:
    made = issue(P256_AUTHORITY, "a.test")
    assert is_current(made, P256_AUTHORITY.certificate, CLIENT, dns_names=["a.test"])
    assert not is_current(made, P256_AUTHORITY.certificate, CLIENT)
    assert not is_current(made, P256_AUTHORITY.certificate, CLIENT, dns_names=["a.test", "b.test"])
    assert not is_current(
        made, P256_AUTHORITY.certificate, Subject(common_name="client2"), dns_names=["a.test"]
    )
    next_generation = generate_authority(SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW)
    assert not is_current(made, next_generation.certificate, CLIENT, dns_names=["a.test"])


def test_a_renewal_keeps_the_key_and_changes_the_serial() -> None:
    first, second = issue(), issue()
    assert first.certificate.public_key() == second.certificate.public_key()
    assert first.serial != second.serial


def test_a_held_identity_shows_no_key() -> None:
    held = load_identity(issue().certificate_pem, load_pem(KEY))
    assert "PRIVATE" not in repr(held)
    assert "key" not in repr(held)
    assert held.key_pem == load_pem(KEY)


@pytest.mark.parametrize(
    ("cert", "cause"),
    [
        pytest.param(issue().certificate_pem, "key-mismatch", id="another key"),
        pytest.param(b"", "malformed-certificate", id="nothing"),
        pytest.param(b"x" * 70_000, "too-large", id="too much"),
    ],
)
def test_an_identity_that_does_not_fit_is_refused(cert: bytes, cause: str) -> None:
    _, other = certificate()
    with pytest.raises(InvalidCertificate) as caught:
        load_identity(cert, other)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        pytest.param(certificate(), "ca", id="an authority"),
        pytest.param(
            certificate(ca=False, extended=(ExtendedKeyUsageOID.SERVER_AUTH,)),
            "not-for-clients",
            id="for servers only",
        ),
    ],
)
def test_a_provided_identity_must_be_a_clients(made: tuple[bytes, bytes], cause: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        load_identity(*made)
    assert caught.value.cause == cause


def test_a_provided_identity_without_usages_may_be_presented() -> None:
    pem, key = certificate(ca=False, extensions=frozenset())
    assert load_identity(pem, key).identity.certificate.public_bytes(Encoding.PEM) == pem
