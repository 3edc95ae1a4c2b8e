"""What is sent, where to, and where not (R-S2, R-T6), over real TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bilateral.exchange.client import (
    CertificateAuthority,
    Fingerprint,
    Outbound,
    Target,
    WebPKI,
)
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.verifiers import Verifier
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


@pytest.mark.parametrize("kind", ["authority", "bundle", "fingerprint"])
async def test_an_envelope_is_sent_to_a_verified_partner(credentials: Credentials, kind: str) -> None:
    issued = credentials.issue("partner.example")
    verifiers: dict[str, Verifier] = {
        "authority": CertificateAuthority(credentials.pem),
        "bundle": WebPKI(credentials.pem),
        "fingerprint": Fingerprint(("ed25519:" + "0" * 64, "SHA256:" + "0" * 64, fingerprint(issued))),
    }
    async with partner(GOOD, served_by(issued)) as other:
        target = Target(f"https://partner.example:{other.port}/base/", verifiers[kind], "t0ken")
        assert await outbound().post_handshake(target, ENVELOPE) == b'{"answer":1}'
    head, _, body = other.received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/v1/federation/handshake HTTP/1.1"
    assert f"Host: partner.example:{other.port}" in lines
    assert "Authorization: Bearer t0ken" in lines
    assert "Accept-Encoding: identity" in lines
    assert "Content-Type: application/json" in lines
    assert body == ENVELOPE


async def test_without_a_token_none_is_sent(credentials: Credentials) -> None:
    async with partner(GOOD, served_by(credentials.issue("127.0.0.1"))) as other:
        target = Target(f"https://127.0.0.1:{other.port}", CertificateAuthority(credentials.pem))
        await outbound().post_handshake(target, ENVELOPE)
    assert b"authorization" not in other.received.lower()


async def test_the_resolver_of_this_machine_is_the_default(credentials: Credentials) -> None:
    destinations = Destinations.parse(["localhost", "127.0.0.0/8", "::1"])
    async with (
        partner(GOOD, served_by(credentials.issue("localhost"))) as other,
        Outbound(destinations, QUICK) as client,
    ):
        target = Target(f"https://localhost:{other.port}", CertificateAuthority(credentials.pem))
        assert await client.post_handshake(target, ENVELOPE) == b'{"answer":1}'


async def test_a_flipping_resolver_reaches_only_what_was_vetted(credentials: Credentials) -> None:
    """R-S2: the answer that was checked is the answer that is connected to; it is asked once."""
    asked: list[str] = []

    async def flip(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    async with partner(GOOD, served_by(good(credentials))) as other:
        client = Outbound(Destinations.parse(["127.0.0.2"]), QUICK, resolver=flip)
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert (await refused(client, target)).reason is Reason.CONNECTION_FAILED
        assert asked == ["partner.example."]
        assert (await refused(client, target)).reason is Reason.DESTINATION_REFUSED
        assert other.connections == 0


@pytest.mark.parametrize(
    ("url", "answers", "reason"),
    [
        ("https://127.0.0.1:{port}", [], Reason.DESTINATION_REFUSED),
        ("https://localhost:{port}", ["127.0.0.1"], Reason.DESTINATION_REFUSED),
        ("https://partner.example:{port}", ["127.0.0.1"], Reason.DESTINATION_REFUSED),
        ("https://partner.example:{port}", ["1.1.1.1", "127.0.0.1"], Reason.DESTINATION_REFUSED),
        ("https://partner.example:{port}", ["::ffff:127.0.0.1"], Reason.DESTINATION_REFUSED),
        ("https://partner.example:{port}", [], Reason.NAME_NOT_RESOLVED),
        ("http://127.0.0.1:{port}", ["127.0.0.1"], Reason.DESTINATION_REFUSED),
    ],
)
async def test_nothing_is_connected_to_that_was_not_allowed(
    url: str, answers: list[str], reason: Reason, credentials: Credentials
) -> None:
    async with partner(GOOD, served_by(good(credentials))) as other:
        client = outbound(destinations=Destinations.parse([]), answers=answers)
        target = Target(url.format(port=other.port), CertificateAuthority(credentials.pem), "t0ken")
        assert (await refused(client, target)).reason is reason
        assert other.connections == 0


async def test_the_next_address_is_tried_when_one_does_not_answer(credentials: Credentials) -> None:
    async with partner(GOOD, served_by(good(credentials))) as other:
        client = outbound(answers=["127.0.0.9", "127.0.0.8", "127.0.0.1"])
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert await client.post_handshake(target, ENVELOPE) == b'{"answer":1}'


async def test_an_address_that_is_silent_leaves_time_for_the_next(credentials: Credentials) -> None:
    # The port is chosen where others have ports, too; nobody else uses 127.0.0.2.
    async with partner(GOOD, served_by(good(credentials))) as other:
        with socket.socket() as silent, contextlib.ExitStack() as waiting:
            # Nobody accepts here: once the queue is full, a connection attempt is not even refused.
            silent.bind(("127.0.0.2", other.port))
            silent.listen(0)
            for _ in range(3):
                early = waiting.enter_context(socket.socket())
                early.settimeout(0)
                early.connect_ex(("127.0.0.2", other.port))
            client = outbound(replace(QUICK, connect_seconds=0.4), answers=["127.0.0.2", "127.0.0.1"])
            target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
            assert await client.post_handshake(target, ENVELOPE) == b'{"answer":1}'


async def test_the_environments_proxy_is_not_used(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = good(credentials)
    async with partner(GOOD, served_by(issued)) as other, partner(GOOD, None) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert await outbound().post_handshake(target, ENVELOPE) == b'{"answer":1}'
        assert proxy.connections == 0


async def test_the_environments_roots_are_for_the_web_only(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """SSL_CERT_FILE speaks for the system's roots; a configured authority does not hear it."""
    stranger_ca = make_credentials("Stranger")
    roots = f"{tmp_path}/roots.pem"
    with open(roots, "wb") as file:  # noqa: ASYNC230, PTH123 - a few bytes, before anything runs
        file.write(stranger_ca.pem)
    monkeypatch.setenv("SSL_CERT_FILE", roots)
    issued = stranger_ca.issue("partner.example")
    async with partner(GOOD, served_by(issued)) as other:
        url = f"https://partner.example:{other.port}"
        assert await outbound().post_handshake(Target(url, WebPKI()), ENVELOPE) == b'{"answer":1}'
        for verifier in (CertificateAuthority(credentials.pem), WebPKI(credentials.pem)):
            assert (await refused(outbound(), Target(url, verifier))).reason is Reason.TLS_VERIFICATION_FAILED


async def test_nobody_listening_is_a_failed_connection(credentials: Credentials) -> None:
    async with partner(GOOD, None) as gone:
        port = gone.port
    target = Target(f"https://127.0.0.1:{port}", CertificateAuthority(credentials.pem))
    assert (await refused(outbound(), target)).reason is Reason.CONNECTION_FAILED
