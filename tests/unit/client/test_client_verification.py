"""What a service is verified by, over real TLS: one that is another receives not one byte."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bilateral.client import (
    AsyncClient,
    Client,
    PeerNotVerified,
)
from bilateral.pki.identities import HeldIdentity, Identity, generate_identity_key
from bilateral.pki.profiles import authority_key_identifier
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, Verifier, WebPKI
from bilateral.protocol.reasons import Reason
from unit.client.pod import Organisation, Pod, make_organisation, pin
from unit.client.serving import server_context, serving


def verifiers(org_b: Organisation, stranger: Organisation, api_b: HeldIdentity) -> dict[str, Verifier]:
    other = stranger.identity("api", "localhost").identity.certificate
    return {
        "another authority": PeerCA((stranger.certificate,)),
        "another configured authority": ConfiguredCA((stranger.certificate,)),
        "another fingerprint": pin(other),
        "the authority's fingerprint": pin(org_b.certificate),
    }


@pytest.mark.parametrize("token", [None, "secret-token"])
@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("another authority", "other-authority"),
        ("another configured authority", "other-authority"),
        ("another fingerprint", "pin-mismatch"),
        ("the authority's fingerprint", "pin-mismatch"),
    ],
)
async def test_a_server_that_is_another_receives_not_one_byte(
    case: str,
    cause: str,
    token: str | None,
    introduced: Pod,
    org_b: Organisation,
    stranger: Organisation,
    api_b: HeldIdentity,
) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, verifiers(org_b, stranger, api_b)[case], token=token)
        with Client("https://api", config=introduced.root) as http, pytest.raises(PeerNotVerified) as caught:
            http.post("/", content=b"body")
        async with AsyncClient("https://api", config=introduced.root) as asynchronous:
            with pytest.raises(PeerNotVerified) as also:
                await asynchronous.post("/", content=b"body")
    assert caught.value.cause == also.value.cause == cause
    assert caught.value.reason is Reason.TLS_VERIFICATION_FAILED
    assert str(caught.value).startswith("api: ")
    assert api.connections == 2
    assert api.received == b""


def test_a_pinned_server_needs_no_name_and_no_authority(introduced: Pod, stranger: Organisation) -> None:
    held = stranger.identity("api", "elsewhere.example")
    other = stranger.identity("api", "elsewhere.example").identity.certificate
    with serving(server_context(held)) as api:
        introduced.know("api", api.url, pin(other, held.identity.certificate))
        with Client("https://api", config=introduced.root) as http:
            assert http.get("/").text == "ok"


def test_a_pinned_certificate_is_refused_after_its_time(introduced: Pod, org_b: Organisation) -> None:
    held = org_b.identity("api", "localhost", validity=3600)
    with serving(server_context(held)) as api:
        introduced.know("api", api.url, pin(held.identity.certificate))
        end = held.identity.not_after.timestamp()
        with Client("https://api", config=introduced.root, now=lambda: end) as http:
            assert http.get("/").text == "ok"
        with (
            Client("https://api", config=introduced.root, now=lambda: end + 1) as http,
            pytest.raises(PeerNotVerified, match="expired at") as caught,
        ):
            http.get("/")
        assert caught.value.cause == "expired"
        assert api.received.count(b"GET") == 1


def test_the_name_is_verified_by_subject_alternative_name_only(introduced: Pod, org_b: Organisation) -> None:
    # An identity without host names is called localhost by its common name only; an introduced one could
    # pose as any server if names did not count.
    elsewhere = org_b.identity("localhost", "elsewhere.example")
    with serving(server_context(elsewhere)) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http, pytest.raises(PeerNotVerified) as caught:
            http.get("/")
    assert caught.value.cause == "other-host"
    assert api.received == b""


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        pytest.param("names", "other-host", id="no subjectAltName, the host as common name"),
        pytest.param("authority key id", "not-strict", id="no authority key identifier"),
    ],
)
def test_a_certificate_that_breaks_the_rules_is_refused(
    missing: str, cause: str, introduced: Pod, org_b: Organisation
) -> None:
    """R-T4: by the common name nobody is anybody, and RFC 5280 is kept."""
    key = generate_identity_key("ECDSAP256")
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(org_b.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(minutes=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if missing != "names":
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    if missing != "authority key id":
        builder = builder.add_extension(authority_key_identifier(org_b.certificate), critical=False)
    signed = builder.sign(org_b.authority.key, hashes.SHA256())
    with serving(server_context(HeldIdentity(Identity(signed), key))) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http, pytest.raises(PeerNotVerified) as caught:
            http.get("/")
    assert caught.value.cause == cause
    assert api.received == b""


def test_an_introduced_client_cannot_pose_as_a_server(
    introduced: Pod, org_b: Organisation, org_a: Organisation
) -> None:
    client = org_b.identity("localhost")
    with serving(server_context(client)) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http, pytest.raises(PeerNotVerified) as caught:
            http.get("/")
    assert caught.value.cause in {"wrong-purpose", "other-host"}
    assert api.received == b""


def test_old_and_new_authority_are_both_good_while_one_replaces_the_other(introduced: Pod) -> None:
    old, new = make_organisation("Org C"), make_organisation("Org C")
    for current in (old, new):
        with serving(server_context(current.identity("api", "localhost"))) as api:
            introduced.know("api", api.url, PeerCA((new.certificate, old.certificate)))
            with Client("https://api", config=introduced.root) as http:
                assert http.get("/").text == "ok"


@pytest.mark.parametrize(
    ("verifier", "cause"),
    [
        pytest.param("bundle", None, id="public authorities by a bundle"),
        pytest.param("another bundle", "other-authority", id="another bundle"),
        pytest.param("system", "other-authority", id="the system's roots do not have ours"),
        pytest.param("known", None, id="certified's null: any authority of known-servers"),
    ],
)
def test_the_other_ways_to_know_a_server(
    verifier: str,
    cause: str | None,
    introduced: Pod,
    org_b: Organisation,
    stranger: Organisation,
    api_b: HeldIdentity,
) -> None:
    ways: dict[str, Verifier | None] = {
        "bundle": WebPKI((stranger.certificate, org_b.certificate)),
        "another bundle": WebPKI((stranger.certificate,)),
        "system": WebPKI(),
        "known": None,
    }
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, ways[verifier])
        introduced.servers.update({"org-b.crt": org_b.authority.certificate_pem})
        with Client("https://api", config=introduced.root) as http:
            if cause is None:
                assert http.get("/").text == "ok"
            else:
                with pytest.raises(PeerNotVerified) as caught:
                    http.get("/")
                assert caught.value.cause == cause
                assert api.received == b""


def test_less_than_tls_1_3_is_not_spoken(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> None:
    context = server_context(api_b)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(context) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http, pytest.raises(httpx.ConnectError):
            http.get("/")
        assert api.handshakes == 0


def test_every_connection_is_a_whole_handshake(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    context = server_context(api_b)
    with serving(context) as api:
        introduced.know("api", api.url, org_b)
        for _ in range(3):
            with Client("https://api", config=introduced.root) as http:
                http.get("/", headers={"Connection": "close"})
    assert context.session_stats()["hits"] == 0
