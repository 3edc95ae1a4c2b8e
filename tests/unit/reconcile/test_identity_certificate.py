"""An identity's key is made once, its certificate is renewed, and nothing is signed that must not be."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.pki.directory import NOBODY_PEM, TrustedAuthority
from bilateral.pki.identities import issue_identity
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import (
    LOOK_AGAIN_SECONDS,
)
from bilateral.reconcile.identity_view import IdentityView, OwnTrust
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.reconcile.services import OWN

from .conftest import NOW
from .identity_world import (
    DAY,
    FOUR,
    MONTH,
    NEXT,
    OURS,
    PARTNER,
    SERVICE,
    THEIRS,
    World,
    authority,
    moment,
    settled_world,
)


@pytest.fixture
def settled() -> World:
    return settled_world()


# The key and the certificate


def test_at_first_one_certificate_is_made_and_nothing_else_before_it() -> None:
    world = World()
    _, material = world.read()
    assert material.issue is not None
    assert material.issue.authority is OURS
    assert material.issue.private_key is None, "a key is made"
    assert world.look().outputs == (), "no Secret before there is an identity"
    world.settle()
    assert tuple(world.written) == FOUR
    assert len(world.issued) == 1
    assert world.condition("IdentityIssued") == ("True", "Issued")
    assert world.condition("OutputsWritten") == ("True", "OutputsWritten")


def test_the_identitys_secret_is_as_tls_and_as_certified_name_it(settled: World) -> None:
    files = settled.files("identity")
    assert settled.secrets["client1-identity"].type == "kubernetes.io/tls"
    assert set(files) == {"tls.crt", "tls.key", "ca.crt", "id.crt", "id.key"}
    assert files["ca.crt"] == OURS.certificate_pem
    assert rfc4514_name(settled.held.identity.certificate.subject) == "CN=client1"


def test_the_status_shows_the_certificate_and_no_secret(settled: World) -> None:
    identity = settled.held.identity
    assert settled.status["fingerprint"] == identity.fingerprint
    assert settled.status["serial"] == identity.serial
    assert settled.status["chains"] == [
        {
            "authority": rfc4514_name(OURS.certificate.subject),
            "slug": build_slug(OURS.certificate),
            "notAfter": identity.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    ]
    assert base64.b64encode(settled.files("identity")["tls.key"]).decode()[:40] not in str(settled.status)


def test_a_second_look_changes_nothing(settled: World) -> None:
    before = settled.status
    settled.settle()
    assert (settled.written, settled.issued) == ([], [])
    assert settled.status == before


def test_it_is_renewed_at_two_thirds_and_not_before_and_keeps_its_key(settled: World) -> None:
    key, due = settled.held.key_pem, int(settled.held.identity.renewal_due.timestamp())
    settled.now = due - 1
    next_at = settled.settle()
    assert settled.issued == []
    assert next_at == due
    settled.now = due
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.written == ["client1-identity"], "nothing else follows from a renewal"
    assert settled.held.key_pem == key
    assert settled.held.identity.not_after == moment(due + MONTH)


def test_it_never_outlives_the_authority_and_is_then_not_renewed_again_and_again() -> None:
    short = authority("OrgA CA", validity=10 * DAY)
    world = World()
    world.own(authority=short, generations=(TrustedAuthority(short.certificate),))
    world.settle()
    assert world.held.identity.not_after == short.not_after
    world.now = int(world.held.identity.renewal_due.timestamp()) + DAY
    world.settle()
    assert len(world.issued) == 1, "a new one would end when this one does"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dnsNames": ["client1.trust.svc"]}, id="names"),
        pytest.param({"subject": {"commonName": "client2"}}, id="subject"),
    ],
)
def test_it_is_issued_anew_when_the_spec_asks_for_another(settled: World, change: dict[str, Any]) -> None:
    key = settled.held.key_pem
    settled.spec |= change
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.held.key_pem == key


def test_it_is_issued_anew_by_the_next_generation_and_both_are_trusted(settled: World) -> None:
    settled.own(
        authority=NEXT, generations=(TrustedAuthority(NEXT.certificate), TrustedAuthority(OURS.certificate))
    )
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("identity")["ca.crt"] == NEXT.certificate_pem
    older = f"{build_slug(OURS.certificate)}.crt"
    for secret in ("known-clients", "known-servers"):
        assert settled.files(secret)["self.crt"] == NEXT.certificate_pem
        assert settled.files(secret)[older] == OURS.certificate_pem
    settled.own(generations=(TrustedAuthority(NEXT.certificate),))
    settled.settle()
    assert older not in settled.files("known-clients")


@pytest.mark.parametrize("file", ["tls_crt", "id_crt"])
def test_of_two_good_certificates_the_one_that_lasts_longer_counts(settled: World, file: str) -> None:
    longer = settled.held.identity
    shorter = issue_identity(
        OURS,
        Subject(common_name="client1"),
        settled.held.key.public_key(),
        validity_seconds=DAY,
        now=moment(),
    )
    settled.edit("client1-identity", **{file: shorter.certificate_pem})
    settled.settle()
    assert settled.held.identity.fingerprint == longer.fingerprint
    assert settled.issued == []


def test_a_withdrawn_certificate_is_replaced(settled: World) -> None:
    withdrawn = Revocation(settled.held.identity.certificate.serial_number, moment())
    listed = renew_revocation_list(OURS, [withdrawn], None, lifetime_seconds=DAY, now=moment())
    settled.own(generations=(TrustedAuthority(OURS.certificate, listed),))
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("known-clients")["self.crl"] == listed.pem


# What stands in the way


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        pytest.param(None, "TrustDomainNotFound", id="no trust domain"),
        pytest.param(OwnTrust(Reason.TRUST_DOMAIN_NOT_READY, None), "TrustDomainNotReady", id="not ready"),
        pytest.param(OwnTrust(Reason.AUTHORITY_EXPIRED, OURS), "AuthorityExpired", id="authority expired"),
        pytest.param(OwnTrust(None, None), "TrustDomainNotReady", id="no authority, no word why"),
    ],
)
def test_nothing_is_made_while_the_trust_domain_cannot_sign(own: OwnTrust | None, reason: str) -> None:
    world = World(view=IdentityView(own=own, clients=(PARTNER,)))
    next_at = world.settle()
    assert (world.written, world.issued) == ([], [])
    assert world.condition() == ("False", reason)
    assert world.condition("OutputsWritten") == ("Unknown", "IdentityPending")
    assert next_at == NOW + LOOK_AGAIN_SECONDS


def test_a_good_certificate_stays_good_while_the_trust_domain_cannot_sign(settled: World) -> None:
    settled.own(problem=Reason.AUTHORITY_DRIFT, authority=None)
    settled.settle()
    assert settled.condition() == ("True", "Ready")
    settled.now = int(settled.held.identity.renewal_due.timestamp())
    settled.settle()
    assert settled.condition("IdentityIssued") == ("True", "AuthorityDrift"), "the renewal is overdue"
    assert settled.condition() == ("True", "Ready")
    settled.now = int(settled.held.identity.not_after.timestamp()) + 1
    settled.settle()
    assert settled.condition() == ("False", "AuthorityDrift")
    assert settled.written == []


def test_without_a_trust_domain_our_own_parties_are_nobody(settled: World) -> None:
    settled.view = replace(settled.view, own=None, clients=())
    settled.settle()
    assert settled.files("known-clients") == {"nobody.crt": NOBODY_PEM}
    assert settled.files("known-servers") == {}
    assert settled.condition() == ("False", "TrustDomainNotFound")


def test_a_clock_that_went_back_signs_nothing() -> None:
    world = World()
    world.view = replace(world.view, clock_regressed=True, latest_time=NOW + DAY)
    world.settle()
    assert world.issued == []
    assert world.condition() == ("False", "ClockRegressed")


def test_an_expired_certificate_is_not_made_younger_by_the_clock(settled: World) -> None:
    ended = int(settled.held.identity.not_after.timestamp()) + 1
    settled.view = replace(settled.view, clock_regressed=True, latest_time=ended)
    settled.settle()
    assert settled.condition("IdentityIssued") == ("False", "ClockRegressed")


def test_the_authoritys_own_name_is_refused() -> None:
    world = World()
    world.spec["subject"] = {"organization": "ORGA", "commonName": "orga ca"}
    world.settle()
    assert world.condition() == ("False", "SubjectRefused")
    assert world.issued == []


# Provided keys


def request_of(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wanted")])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def provided(data: dict[str, bytes], *, referenced: bool = True) -> World:
    world = World()
    world.spec["key"] = {"source": "Provided", "secretName": "theirs"}
    world.put(WrittenSecret("theirs", data), owner=None, referenced=referenced)
    world.written.clear()
    return world


@pytest.mark.parametrize("form", ["request", "certificate"])
def test_a_provided_key_is_certified_and_never_held(form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    held = issue_identity(
        THEIRS, Subject(common_name="x"), key.public_key(), validity_seconds=DAY, now=moment()
    )
    data = {"tls.csr": request_of(key)} if form == "request" else {"tls.crt": held.certificate_pem}
    world = provided(data)
    world.settle()
    files = world.files("identity")
    assert set(files) == {"tls.crt", "id.crt", "ca.crt"}
    assert world.secrets["client1-identity"].type == "Opaque"
    made = x509.load_pem_x509_certificate(files["tls.crt"])
    assert made.public_key() == key.public_key()
    assert rfc4514_name(made.subject) == "CN=client1", "the subject is the spec's"
    world.settle()
    assert len(world.issued) == 1
    assert world.condition() == ("True", "Ready")


def test_without_the_key_there_is_no_secret_for_a_service() -> None:
    world = provided({"tls.csr": request_of(ec.generate_private_key(ec.SECP256R1()))})
    world.spec["perServiceTLS"] = "Enabled"
    world.view = replace(world.view, services=(replace(SERVICE, presents=(OWN,)),))
    world.settle()
    assert set(world.written) == set(FOUR)
    assert world.status["boundServices"] == 1


def test_another_provided_key_gets_another_certificate() -> None:
    world = provided({"tls.csr": request_of(ec.generate_private_key(ec.SECP256R1()))})
    world.settle()
    key = ec.generate_private_key(ec.SECP256R1())
    world.edit("theirs", tls_csr=request_of(key))
    world.settle()
    made = x509.load_pem_x509_certificate(world.files("identity")["tls.crt"])
    assert made.public_key() == key.public_key()


@pytest.mark.parametrize(
    ("data", "referenced", "reason"),
    [
        pytest.param({"tls.csr": b"?"}, True, "SubjectRefused", id="no request"),
        pytest.param({}, True, "SecretNotFound", id="nothing in it"),
        pytest.param({"tls.csr": b"?"}, False, "SecretNotFound", id="not labelled"),
        pytest.param(
            {"tls.csr": request_of(rsa.generate_private_key(65537, 1024))},
            True,
            "SubjectRefused",
            id="weak key",
        ),
    ],
)
def test_a_provided_key_that_cannot_be_certified(
    data: dict[str, bytes], referenced: bool, reason: str
) -> None:
    world = provided(data, referenced=referenced)
    world.settle()
    assert world.condition() == ("False", reason)
    assert (world.written, world.issued) == ([], [])


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    good = x509.load_pem_x509_csr(request_of(ec.generate_private_key(ec.SECP256R1())))
    spoiled = bytearray(good.public_bytes(Encoding.DER))
    spoiled[-1] ^= 1
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n"
    pem += base64.encodebytes(bytes(spoiled)) + b"-----END CERTIFICATE REQUEST-----\n"
    world = provided({"tls.csr": pem})
    world.settle()
    assert world.condition() == ("False", "SubjectRefused")
