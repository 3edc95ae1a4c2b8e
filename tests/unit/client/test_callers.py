"""A server's callers: who may call, who they are, and what a change of the mounts does to them."""

from __future__ import annotations

import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.client import (
    LayoutInvalid,
    PartnerStale,
    PeerIdentity,
    PeerNotVerified,
    RefusedByServer,
    peer_identity,
    server_ssl_context,
)
from bilateral.client.callers import Callers
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.introductions import Introduction
from unit.client.calling import ask, asynchronously, calling
from unit.client.pod import DAY, Organisation, Pod, make_organisation, peers_json
from unit.client.serving import serving

NOW = int(time.time())


def identity_of(pod: Pod, introduction: Introduction, authority: str) -> PeerIdentity:
    return PeerIdentity(
        authority=authority,
        subject="CN=client1,O=Org A",
        peers=(),
        serial=introduction.serial,
        fingerprint=certificate_fingerprint(introduction.certificate),
    )


def introduction_of(pod: Pod, org_b: Organisation) -> Introduction:
    leaf = x509.load_pem_x509_certificate(pod.chains.files[f"{org_b.slug}.crt"])
    return Introduction(certificate=leaf, authority=org_b.certificate)


def test_a_caller_is_its_subject_under_the_authority_that_signed_it(
    server: Pod, caller: Pod, org_b: Organisation
) -> None:
    with (
        serving(server_ssl_context(server.root)) as api,
        calling(caller, api.port, org_b) as http,
    ):
        assert http.get("/").text == "ok"
        (connection,) = api.open
        assert peer_identity(connection) == identity_of(caller, introduction_of(caller, org_b), org_b.slug)


def test_one_subject_under_two_authorities_is_two_callers(
    server: Pod, introduced: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    server.accept(org_a, org_b)
    callers = Callers(server.root)
    own = callers.identify(introduced.held.identity.certificate.public_bytes(Encoding.DER))
    theirs = callers.identify(introduction_of(introduced, org_b).certificate.public_bytes(Encoding.DER))
    assert own.subject == theirs.subject
    assert (own.authority, theirs.authority) == (org_a.slug, org_b.slug)


def test_of_two_generations_with_one_name_the_one_that_signed_counts(server: Pod) -> None:
    old, new = make_organisation("Org C"), make_organisation("Org C")
    assert old.certificate.subject == new.certificate.subject
    server.accept(old, new)
    callers = Callers(server.root)
    for generation in (old, new):
        leaf = generation.identity("client").identity.certificate.public_bytes(Encoding.DER)
        assert callers.identify(leaf).authority == generation.slug


async def test_an_asyncio_server_knows_its_callers(server: Pod, caller: Pod, org_b: Organisation) -> None:
    async with asynchronously(server) as port:
        with calling(caller, port, org_b) as http:
            assert (await ask(http)).text == org_b.slug


async def test_an_authority_that_comes_is_accepted_and_one_that_goes_is_refused_without_a_restart(
    server: Pod, introduced: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    async with asynchronously(server) as port:
        for _ in range(2):
            server.accept(org_a)
            with calling(introduced, port, org_b) as http, pytest.raises(RefusedByServer) as caught:
                await ask(http)
            assert caught.value.alert == "unknown_ca"
            server.accept(org_a, org_b)
            with calling(introduced, port, org_b) as http:
                assert (await ask(http)).text == org_b.slug


async def test_a_caller_without_a_certificate_is_told_that_one_is_required(
    server: Pod, pod: Pod, org_b: Organisation
) -> None:
    pod.identity.replace({})
    async with asynchronously(server) as port:
        with calling(pod, port, org_b, auths=[]) as http, pytest.raises(RefusedByServer) as caught:
            await ask(http)
    assert caught.value.alert == "certificate_required"


async def test_what_is_withdrawn_ends_on_open_connections_at_the_next_question(
    server: Pod, caller: Pod, org_b: Organisation, org_a: Organisation
) -> None:
    def asked(connection: object) -> str:
        try:
            return peer_identity(connection).authority
        except PeerNotVerified as error:
            return error.cause

    async with asynchronously(server, asked) as port:
        with calling(caller, port, org_b) as http:
            assert (await ask(http)).text == org_b.slug
            server.accept(org_a)
            assert (await ask(http)).text == "other-authority"
            server.accept(org_b)
            assert (await ask(http)).text == org_b.slug


@pytest.mark.parametrize("kind", ["asyncio", "socket"])
async def test_a_withdrawn_introduction_is_refused_by_the_list_of_its_authority(
    kind: str, tmp_path: Path, pod: Pod
) -> None:
    org_c = make_organisation("Org C")
    server = Pod(tmp_path / "server", org_c, org_c.identity("api", "localhost"))
    introduction = org_c.introduce(pod.held)
    pod.take(introduction)
    org_c.revoke()
    server.accept(org_c)

    async def ask_thrice(port: int) -> None:
        with calling(pod, port, org_c) as http:
            assert (await ask(http)).status_code == 200
        org_c.revoke(introduction.certificate)
        server.accept(org_c)
        with calling(pod, port, org_c) as http, pytest.raises(httpx.TransportError) as caught:
            await ask(http)
        assert caught.value.__notes__
        # Another introduction of the same key is another matter.
        pod.take(org_c.introduce(pod.held))
        with calling(pod, port, org_c) as http:
            assert (await ask(http)).status_code == 200

    if kind == "asyncio":
        async with asynchronously(server) as port:
            await ask_thrice(port)
    else:
        with serving(server_ssl_context(server.root)) as api:
            await ask_thrice(api.port)
            assert api.received.count(b"GET") == 2


def leaf_of(organisation: Organisation, *, validity: int = DAY, now: datetime | None = None) -> bytes:
    held = organisation.identity("client", validity=validity, now=now)
    return held.identity.certificate.public_bytes(Encoding.DER)


def test_a_list_counts_only_while_it_is_current(server: Pod) -> None:
    org_c, org_d = make_organisation("Org C"), make_organisation("Org D")
    listed = org_c.revoke(lifetime=3600)
    server.accept(org_c, org_d)
    now = float(NOW)
    callers = Callers(server.root, now=lambda: now)
    assert callers.identify(leaf_of(org_c)).authority == org_c.slug
    now = listed.next_update.timestamp()
    with pytest.raises(PeerNotVerified) as caught:
        callers.identify(leaf_of(org_c))
    assert caught.value.cause == "revocation-list-expired"
    # One without a list is not held to one.
    assert callers.identify(leaf_of(org_d)).authority == org_d.slug


@pytest.mark.parametrize("content", [b"", b"no list", "stranger"])
def test_an_authority_whose_list_cannot_be_read_is_not_trusted_and_the_others_are(
    content: bytes | str, server: Pod, stranger: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    org_c, org_d = make_organisation("Org C"), make_organisation("Org D")
    server.accept(org_c, org_d)
    listed = make_organisation("Stranger").revoke().pem if isinstance(content, str) else content
    server.clients.update({f"{org_c.slug}.crl": listed})
    with caplog.at_level(logging.WARNING):
        callers = Callers(server.root)
        with pytest.raises(PeerNotVerified):
            callers.identify(leaf_of(org_c))
    assert callers.identify(leaf_of(org_d)).authority == org_d.slug
    assert f"{org_c.slug}.crt" in caplog.text


def test_an_expired_caller_is_refused(server: Pod, org_b: Organisation) -> None:
    server.accept(org_b)
    early = datetime.now(UTC) - timedelta(days=2)
    with pytest.raises(PeerNotVerified) as caught:
        Callers(server.root).identify(leaf_of(org_b, validity=DAY, now=early))
    assert caught.value.cause == "expired"


@pytest.mark.parametrize("presented", [None, b"", b"\x30\x03\x02\x01\x00"])
def test_what_is_no_certificate_is_nobody(presented: bytes | None, server: Pod, org_b: Organisation) -> None:
    server.accept(org_b)
    with pytest.raises(PeerNotVerified):
        Callers(server.root).identify(presented)


def test_a_victims_certificate_without_its_key_is_worth_nothing(
    server: Pod, caller: Pod, org_b: Organisation, org_a: Organisation
) -> None:
    """R-T2: the thief has the public certificate, and a key of its own."""
    thief = org_a.identity("thief")
    stolen = x509.load_pem_x509_certificate(caller.chains.files[f"{org_b.slug}.crt"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pem = caller.root / "stolen.pem"
    pem.write_bytes(stolen.public_bytes(Encoding.PEM) + thief.key_pem)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(pem)


def test_only_connections_of_ours_have_an_identity(server: Pod) -> None:
    for connection in (None, object(), ssl.SSLObject):
        with pytest.raises(PeerNotVerified) as caught:
            peer_identity(connection)
        assert caught.value.cause == "not-judged"


# --- deadlines, where known-clients says whose authority it is ------------------------------------------


def test_callers_of_a_stale_partner_are_refused_with_no_operator_there_to_say_so(
    server: Pod, org_b: Organisation
) -> None:
    server.accept(org_b)
    server.clients.update({f"{org_b.slug}.yaml": b"peers: [org-x-kernel, org-b-kernel]\n"})
    server.mount_peers(org_b_kernel=NOW + 100)
    now = float(NOW)
    callers = Callers(server.root, now=lambda: now)
    assert callers.identify(leaf_of(org_b)).peers == ("org-x-kernel", "org-b-kernel")
    now = NOW + 100
    with pytest.raises(PartnerStale):
        callers.identify(leaf_of(org_b))
    assert server.peers
    server.peers.replace({"peers.json": peers_json(org_x_kernel=NOW + 200)})
    callers.identify(leaf_of(org_b))


@pytest.mark.parametrize("content", [b"peers: 1", b"[]", b"peers: []", b"{"])
def test_a_file_that_should_say_whose_authority_it_is_must_say_so(
    content: bytes, server: Pod, org_b: Organisation
) -> None:
    server.accept(org_b)
    server.clients.update({f"{org_b.slug}.yaml": content})
    with pytest.raises(LayoutInvalid):
        Callers(server.root).accepting()
