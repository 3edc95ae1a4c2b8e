"""A server's own side: what it needs to start and to go on, and what a change of its mounts does."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.client import (
    LayoutInvalid,
    PeerNotVerified,
    RefusedByServer,
    peer_identity,
    server_ssl_context,
)
from bilateral.client.callers import Callers
from bilateral.pki.directory import NOBODY_PEM
from support.waiting import wait_for
from unit.client.calling import ask, asynchronously, calling
from unit.client.pod import Organisation, Pod, Volume
from unit.client.serving import SECONDS, serving


def test_a_server_that_nobody_may_call_starts_and_refuses(
    server: Pod, introduced: Pod, org_b: Organisation
) -> None:
    assert server.clients.files == {"nobody.crt": NOBODY_PEM}
    with (
        serving(server_ssl_context(server.root)) as api,
        calling(introduced, api.port, org_b) as http,
        pytest.raises(RefusedByServer),
    ):
        http.get("/")


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        pytest.param({}, "no-authority", id="nothing"),
        pytest.param({"self.crl": b""}, "no-authority", id="no certificate"),
        pytest.param({"a.crt": b"broken"}, "no-authority", id="broken"),
    ],
)
def test_a_server_that_knows_no_authority_does_not_start(
    known: dict[str, bytes], cause: str, server: Pod
) -> None:
    server.clients.replace(known)
    with pytest.raises(LayoutInvalid) as caught:
        server_ssl_context(server.root)
    assert caught.value.cause == cause


def test_a_leaf_among_the_authorities_is_nobodys_authority(
    server: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    held = org_a.identity("client1")
    server.clients.update({"client1.crt": held.identity.certificate_pem})
    with pytest.raises(PeerNotVerified):
        Callers(server.root).identify(held.identity.certificate.public_bytes(Encoding.DER))


def test_an_identity_without_host_names_cannot_serve(pod: Pod, org_b: Organisation) -> None:
    pod.accept(org_b)
    with pytest.raises(LayoutInvalid, match="dnsNames") as caught:
        server_ssl_context(pod.root)
    assert caught.value.cause == "not-for-servers"


@pytest.mark.parametrize(
    ("missing", "cause"), [("tls.key", "no-key"), ("tls.crt", "no-certificate")], ids=["key", "certificate"]
)
def test_a_server_without_its_identity_does_not_start(
    missing: str, cause: str, server: Pod, org_b: Organisation
) -> None:
    server.accept(org_b)
    server.identity.remove(missing, missing.replace("tls", "id"))
    with pytest.raises(LayoutInvalid) as caught:
        server_ssl_context(server.root)
    assert caught.value.cause == cause


async def test_a_server_whose_mounts_break_refuses_everybody_says_so_once_and_recovers(
    server: Pod, caller: Pod, org_b: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    async with asynchronously(server) as port:
        with calling(caller, port, org_b) as http:
            assert (await ask(http)).text == org_b.slug
        server.clients.replace({})
        for _ in range(3):
            with calling(caller, port, org_b) as http, pytest.raises(httpx.TransportError):
                await ask(http)
        assert caplog.text.count("no caller is accepted") == 1
        server.accept(org_b)
        with calling(caller, port, org_b) as http:
            assert (await ask(http)).text == org_b.slug


def test_a_renewed_certificate_is_served_without_a_restart(
    server: Pod, caller: Pod, org_b: Organisation
) -> None:
    from bilateral.pki.directory import build_identity_files

    def presented(port: int) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as connection:
            return connection.getpeercert(binary_form=True) or b""

    with serving(server_ssl_context(server.root)) as api:
        first = presented(api.port)
        renewed = org_b.identity("api", "localhost")
        server.identity.replace(build_identity_files(renewed, org_b.certificate))
        second = presented(api.port)
    assert first != second == renewed.identity.certificate.public_bytes(Encoding.DER)


def test_a_provided_key_is_served_and_while_it_is_replaced_the_last_pair(
    server: Pod, org_b: Organisation
) -> None:
    server.accept(org_b)
    key = server.mount_key_apart()
    callers = Callers(server.root)
    first = callers.accepting().own
    assert first == (server.held.identity.certificate_pem, server.held.key_pem)
    renewed = org_b.identity("api", "localhost")
    # Its owner replaces the key; the operator certifies it a moment later.
    key.replace({"tls.key": renewed.key_pem})
    assert callers.accepting().own == first
    with pytest.raises(LayoutInvalid) as caught:
        server_ssl_context(server.root)
    assert caught.value.cause == "key-mismatch"
    server.identity.update(dict.fromkeys(("tls.crt", "id.crt"), renewed.identity.certificate_pem))
    assert callers.accepting().own == (renewed.identity.certificate_pem, renewed.key_pem)


def test_a_key_that_does_not_fit_in_one_secret_is_not_served(server: Pod, org_b: Organisation) -> None:
    server.accept(org_b)
    callers = Callers(server.root)
    callers.accepting()
    server.identity.update({"tls.key": org_b.identity("api", "localhost").key_pem, "id.key": b""})
    with pytest.raises(LayoutInvalid):
        callers.accepting()


def test_a_listening_socket_that_was_wrapped_once_sees_changes_too(
    server: Pod, introduced: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    """As ``http.server`` and others do: wrap the listener, then accept."""
    server.accept(org_a)
    seen: list[str] = []

    def accept(listener: ssl.SSLSocket, times: int) -> None:
        for _ in range(times):
            try:
                connection, _ = listener.accept()
            except ssl.SSLError as error:
                seen.append(str(error.reason))
                continue
            with connection:
                seen.append(peer_identity(connection).authority)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    raw = socket.create_server(("127.0.0.1", 0))
    with server_ssl_context(server.root).wrap_socket(raw, server_side=True) as listener:
        thread = threading.Thread(target=accept, args=(listener, 2))
        thread.start()
        port = listener.getsockname()[1]
        with calling(introduced, port, org_b) as http, pytest.raises((RefusedByServer, httpx.TransportError)):
            http.get("/")
        server.accept(org_b)
        with calling(introduced, port, org_b) as http:
            assert http.get("/").status_code == 200
        thread.join(SECONDS)
    assert seen[1:] == [org_b.slug]


def test_less_than_tls_1_3_is_not_served(server: Pod, org_b: Organisation) -> None:
    server.accept(org_b)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        serving(server_ssl_context(server.root)) as api,
        socket.create_connection(("127.0.0.1", api.port)) as raw,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(raw)


def test_no_caller_fails_while_known_clients_is_updated(
    server: Pod, caller: Pod, org_b: Organisation, org_a: Organisation
) -> None:
    ended = threading.Event()

    def update() -> None:
        while not ended.is_set():
            server.accept(org_b)
            server.accept(org_a, org_b)

    with serving(server_ssl_context(server.root)) as api:
        thread = threading.Thread(target=update)
        thread.start()
        try:
            for _ in range(60):
                with calling(caller, api.port, org_b) as http:
                    assert http.get("/").text == "ok"
        finally:
            ended.set()
            thread.join(SECONDS)
        wait_for(lambda: not api.open, "every connection has ended")


def test_volumes_that_come_late_are_found_when_the_program_starts_again(tmp_path: Path) -> None:
    with pytest.raises(LayoutInvalid) as caught:
        server_ssl_context(tmp_path / "nowhere")
    assert caught.value.cause == "no-directory"
    Volume(tmp_path / "nowhere" / "identity")
    with pytest.raises(LayoutInvalid):
        server_ssl_context(tmp_path / "nowhere")
