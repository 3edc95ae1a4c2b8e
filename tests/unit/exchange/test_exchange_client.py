"""The outbound client against partners that misbehave, over real TLS (R-S2 to R-S4, R-T1 to R-T6)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
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
    Outbound,
    OutboundSettings,
    Target,
    WebPKI,
)
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.errors import OutboundError
from bilateral.exchange.tls import build_server_context
from bilateral.exchange.verifiers import Contexts, Verifier
from bilateral.pki.servers import IssuedCertificate
from bilateral.protocol.reasons import Reason

from .conftest import Credentials, fingerprint, make_credentials
from .wire import Partner, http, partner, until

LOOPBACK = Destinations.parse(["127.0.0.0/8"])
ENVELOPE = b'{"challenge":{}}'
ANOTHER_PIN = Fingerprint(("SHA256:" + "0" * 64,))
CANARY = "c4n4ry-text-of-the-other-side"
GOOD = http(200, b'{"answer":1}')
QUICK = OutboundSettings(connect_seconds=2.0, total_seconds=5.0)


def outbound(
    settings: OutboundSettings = QUICK,
    destinations: Destinations = LOOPBACK,
    answers: Sequence[str] = ("127.0.0.1",),
    now: Callable[[], float] | None = None,
) -> Outbound:
    async def resolve(_: str) -> Sequence[str]:
        return answers

    clock = now or (lambda: datetime.now(UTC).timestamp())
    return Outbound(destinations, settings, resolver=resolve, now=clock)


def served_by(issued: IssuedCertificate) -> ssl.SSLContext:
    return build_server_context(issued.cert_pem, issued.key_pem)


async def refused(client: Outbound, target: Target) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await client.post_handshake(target, ENVELOPE)
    error = caught.value
    assert str(error) == error.reason.value
    assert CANARY not in repr(error)
    assert error.__context__ is None or error.__suppress_context__
    return error


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


# Verification


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


def good(credentials: Credentials) -> IssuedCertificate:
    return credentials.issue("partner.example")


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


# Destinations


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
    with socket.socket() as silent, contextlib.ExitStack() as waiting:
        # Nobody accepts here: once the queue is full, a connection attempt is not even refused.
        silent.bind(("127.0.0.2", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        for _ in range(3):
            early = waiting.enter_context(socket.socket())
            early.settimeout(0)
            early.connect_ex(("127.0.0.2", port))
        async with partner(GOOD, served_by(good(credentials)), port):
            client = outbound(replace(QUICK, connect_seconds=0.4), answers=["127.0.0.2", "127.0.0.1"])
            target = Target(f"https://partner.example:{port}", CertificateAuthority(credentials.pem))
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


# Answers


async def ask(credentials: Credentials, answer: object, settings: OutboundSettings = QUICK) -> OutboundError:
    async with partner(answer, served_by(good(credentials))) as other:  # type: ignore[arg-type]
        target = Target(
            f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem), "t0ken"
        )
        return await refused(outbound(settings), target)


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


BIG = b" " * (1024 * 1024 + 1)

ANSWERS = {
    "another media type": (http(200, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "a media type that begins alike": (
        http(200, b"{}", media_type="application/jsonp"),
        Reason.ANSWER_INVALID,
    ),
    "no media type": (http(200, b"{}", media_type=None), Reason.ANSWER_INVALID),
    "two media types": (http(200, b"{}", "Content-Type: text/html"), Reason.ANSWER_INVALID),
    "gzip": (http(200, b"\x1f\x8b", "Content-Encoding: gzip"), Reason.ANSWER_INVALID),
    "unknown coding": (http(200, b"{}", f"Content-Encoding: {CANARY}"), Reason.ANSWER_INVALID),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Reason.ANSWER_INVALID),
    "201": (http(201, b"{}"), Reason.ANSWER_INVALID),
    "206": (http(206, b"{}"), Reason.ANSWER_INVALID),
    "404": (http(404, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "500": (http(500, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "401 of any kind": (http(401, CANARY.encode(), media_type="text/html"), Reason.REFUSED_BY_PARTNER),
    "403 of any kind": (http(403, b""), Reason.REFUSED_BY_PARTNER),
    "too large, declared": (http(200, BIG), Reason.ANSWER_TOO_LARGE),
    "too large, in chunks": (chunked(*[b" " * 65536] * 17), Reason.ANSWER_TOO_LARGE),
    "no HTTP": (CANARY.encode() + b"\r\n\r\n", Reason.ANSWER_INVALID),
    "HTTP/3.0": (b"HTTP/3.0 200 OK\r\n\r\n", Reason.ANSWER_INVALID),
    "nothing": (b"", Reason.ANSWER_INVALID),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Ty", Reason.ANSWER_INVALID),
    "half a body": (http(200, b"{}" * 9)[:-3], Reason.ANSWER_INVALID),
    "head without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, Reason.ANSWER_INVALID),
    "two lengths": (http(200, b"{}", "Content-Length: 3"), Reason.ANSWER_INVALID),
    "negative length": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{}",
        Reason.ANSWER_INVALID,
    ),
    "protocol switch": (
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Reason.ANSWER_INVALID,
    ),
    "429": (http(429, b"{}"), Reason.TOO_MANY_REQUESTS),
    "503": (http(503, b"{}"), Reason.TOO_MANY_REQUESTS),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none(
    answer: bytes, reason: Reason, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await ask(credentials, answer)
    assert error.reason is reason
    assert CANARY not in caplog.text
    assert "t0ken" not in caplog.text


async def test_exactly_the_limit_is_not_too_large(credentials: Credentials) -> None:
    body = b"1" * 1024 * 1024
    async with partner(http(200, body), served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert await outbound().post_handshake(target, ENVELOPE) == body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, credentials: Credentials) -> None:
    """R-T6: neither the request nor the token goes to where the partner points."""
    issued = good(credentials)
    async with partner(GOOD, served_by(issued)) as elsewhere:
        location = f"Location: https://partner.example:{elsewhere.port}/v1/federation/handshake"
        error = await ask(credentials, http(status, b"{}", location))
        assert error.reason is Reason.ANSWER_INVALID
        assert elsewhere.connections == 0


async def drip(transport: asyncio.Transport) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    while not transport.is_closing():
        transport.write(b" ")
        await asyncio.sleep(0.02)


async def drip_head(transport: asyncio.Transport) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\n")
    while not transport.is_closing():
        transport.write(b"X: y\r\n")
        await asyncio.sleep(0.02)


async def inform(transport: asyncio.Transport) -> None:
    while not transport.is_closing():
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.02)


async def silence(_: asyncio.Transport) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("answer", [drip, drip_head, inform, silence])
async def test_an_answer_that_does_not_end(
    answer: Callable[[asyncio.Transport], Awaitable[None]], credentials: Credentials
) -> None:
    error = await ask(credentials, answer, replace(QUICK, total_seconds=0.3))
    assert error.reason is Reason.ANSWER_TIMEOUT


async def test_a_tls_handshake_that_does_not_end_is_a_failed_connection(credentials: Credentials) -> None:
    async with partner(silence, None) as other:
        target = Target(f"https://127.0.0.1:{other.port}", CertificateAuthority(credentials.pem))
        error = await refused(outbound(replace(QUICK, connect_seconds=0.1)), target)
        assert error.reason is Reason.CONNECTION_FAILED


async def test_a_request_that_is_cancelled_leaves_no_connection(credentials: Credentials) -> None:
    async with partner(silence, served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        task = asyncio.create_task(outbound().post_handshake(target, ENVELOPE))
        await until(lambda: bool(other.received))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Refusals


def problem(suffix: str, status: int, **members: object) -> bytes:
    document = {
        "type": f"https://chio.dev/errors/federation/{suffix}",
        "title": CANARY,
        "status": status,
        "detail": CANARY,
        **members,
    }
    return http(status, json.dumps(document).encode(), media_type="application/problem+json")


REFUSALS = {
    "missing-trust-anchor": (412, Reason.AWAITING_PARTNER),
    "replayed-envelope": (409, Reason.REPLAYED_ENVELOPE),
    "unexpected-peer-key": (403, Reason.REFUSED_BY_PARTNER),
    "invalid-signature": (401, Reason.REFUSED_BY_PARTNER),
    "kernel-id-mismatch": (403, Reason.REFUSED_BY_PARTNER),
    "address-mismatch": (421, Reason.REFUSED_BY_PARTNER),
    "unsupported-schema": (422, Reason.REFUSED_BY_PARTNER),
    "peer-stale": (409, Reason.REFUSED_BY_PARTNER),
    "unauthorized-bearer": (401, Reason.REFUSED_BY_PARTNER),
    "refused": (403, Reason.REFUSED_BY_PARTNER),
    "malformed-document": (400, Reason.REFUSED_BY_PARTNER),
    "too-many-requests": (429, Reason.TOO_MANY_REQUESTS),
    "not-ready": (503, Reason.TOO_MANY_REQUESTS),
    CANARY: (400, Reason.ANSWER_INVALID),
    "ready": (400, Reason.ANSWER_INVALID),
}


@pytest.mark.parametrize("suffix", REFUSALS)
async def test_a_partners_refusal_becomes_a_word_of_ours(suffix: str, credentials: Credentials) -> None:
    status, reason = REFUSALS[suffix]
    assert (await ask(credentials, problem(suffix, status))).reason is reason


@pytest.mark.parametrize(
    ("members", "skew"),
    [
        ({"envelope": 1714290000, "local": 1714291205, "skew": 300}, 1205),
        ({"envelope": 1714291205, "local": 1714290000, "skew": 300}, -1205),
        ({"envelope": 0, "local": 2**62}, None),
        ({"envelope": 2**63, "local": 5}, None),
        ({"envelope": "1714290000", "local": 1714291205}, None),
        ({"envelope": 1714290000.0, "local": 1714291205}, None),
        ({"envelope": True, "local": False}, None),
        ({"envelope": 1714290000}, None),
        ({}, None),
    ],
)
async def test_a_skew_is_computed_and_bounded(
    members: dict[str, object], skew: int | None, credentials: Credentials
) -> None:
    error = await ask(credentials, problem("clock-skew-exceeded", 422, **members))
    assert error.reason is Reason.CLOCK_SKEW_EXCEEDED
    assert error.skew_seconds == skew


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("Retry-After: 7", 7),
        ("Retry-After: 0", 1),
        ("Retry-After: 99999999", 3600),
        ("Retry-After: 99999999999999999999", None),
        ("Retry-After: -1", None),
        ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Retry-After: \N{SUPERSCRIPT TWO}", None),
        ("X-Nothing: 1", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_partner_that_asks_for_patience(
    status: int, field: str, seconds: int | None, credentials: Credentials
) -> None:
    error = await ask(credentials, http(status, CANARY.encode(), field))
    assert error.reason is Reason.TOO_MANY_REQUESTS
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"type":7}',
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","type":"x"}',
        b'{"type":"https://evil.example/missing-trust-anchor"}',
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","a":'
        + b"[" * 64
        + b"]" * 64
        + b"}",
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","a":"' + b"x" * 20000 + b'"}',
    ],
)
async def test_a_problem_that_is_none_is_no_refusal(body: bytes, credentials: Credentials) -> None:
    answer = http(412, body, media_type="application/problem+json")
    assert (await ask(credentials, answer)).reason is Reason.ANSWER_INVALID


async def test_a_hundred_at_once_do_not_disturb_each_other(credentials: Credentials) -> None:
    async with AsyncExitStack() as stack:
        issued = good(credentials)
        partners: list[Partner] = [
            await stack.enter_async_context(partner(http(200, b"%d" % number), served_by(issued)))
            for number in range(10)
        ]
        client = outbound()
        authority = CertificateAuthority(credentials.pem)
        answers = await asyncio.gather(
            *(
                client.post_handshake(Target(f"https://partner.example:{each.port}", authority), ENVELOPE)
                for each in partners
                for _ in range(10)
            )
        )
        assert answers == [b"%d" % number for number in range(10) for _ in range(10)]
