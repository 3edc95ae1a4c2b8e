"""Which certificate a caller is shown, over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bilateral.exchange.errors import InvalidCertificate
from bilateral.exchange.tls import MAX_PEM_BYTES, CertificateStore, build_server_context, normalise_host
from bilateral.pki.authority import Algorithm

from .conftest import Credentials, make_credentials


@contextlib.asynccontextmanager
async def listening(
    store: CertificateStore, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[int]:
    async def goodbye(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(goodbye, "127.0.0.1", 0, ssl=store.build_listener(minimum))
    async with server:
        yield server.sockets[0].getsockname()[1]


async def shown(port: int, context: ssl.SSLContext, name: str | None) -> list[str]:
    """Connect, naming ``name`` (None: nobody), and return the names in the certificate shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    der = cast(bytes, writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.transport.abort()
    extension = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return [str(name.value) for name in extension.value]


def nameless() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_the_certificate_is_chosen_by_name(credentials: Credentials) -> None:
    store = CertificateStore()
    broken = store.replace({host: credentials.pair(host) for host in ("a.example", "b.example")})
    assert broken == ()
    async with listening(store) as port:
        for name in ("a.example", "b.example", "A.Example"):
            assert await shown(port, credentials.trust(), name) == [name.lower()]


@pytest.mark.parametrize("name", ["c.example", "sub.a.example", "a.example.evil"])
async def test_an_unknown_name_is_told_so(credentials: Credentials, name: str) -> None:
    store = CertificateStore()
    store.replace({"a.example": credentials.pair("a.example")})
    async with listening(store) as port:
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await shown(port, credentials.trust(), name)


async def test_a_caller_that_names_nobody_is_shown_the_only_one(credentials: Credentials) -> None:
    store = CertificateStore()
    store.replace({"a.example": credentials.pair("a.example")})
    async with listening(store) as port:
        assert await shown(port, nameless(), None) == ["a.example"]


async def test_or_the_only_literal(credentials: Credentials) -> None:
    store = CertificateStore()
    store.replace(
        {"a.example": credentials.pair("a.example"), "127.0.0.1": credentials.pair("127.0.0.1", "::1")}
    )
    async with listening(store) as port:
        assert await shown(port, nameless(), None) == ["127.0.0.1", "::1"]
        assert await shown(port, credentials.trust(), "127.0.0.1") == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "hosts", [(), ("a.example", "b.example"), ("127.0.0.1", "::1"), ("127.0.0.1", "::1", "a.example")]
)
async def test_and_is_refused_otherwise(credentials: Credentials, hosts: tuple[str, ...]) -> None:
    store = CertificateStore()
    store.replace({host: credentials.pair(host) for host in hosts})
    async with listening(store) as port:
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await shown(port, nameless(), None)


async def test_certificates_are_replaced_while_running(credentials: Credentials) -> None:
    store = CertificateStore()
    async with listening(store) as port:
        store.replace({"a.example": credentials.pair("a.example")})
        assert await shown(port, credentials.trust(), "a.example") == ["a.example"]
        store.replace({"a.example": credentials.pair("a.example", "new.example")})
        assert await shown(port, credentials.trust(), "a.example") == ["a.example", "new.example"]
        store.replace({"b.example": credentials.pair("b.example")})
        assert await shown(port, credentials.trust(), "b.example") == ["b.example"]
        with pytest.raises(ssl.SSLError):
            await shown(port, credentials.trust(), "a.example")


async def test_one_broken_pair_does_not_silence_the_others(credentials: Credentials) -> None:
    store = CertificateStore()
    a, b = credentials.pair("a.example"), credentials.pair("b.example")
    assert store.replace({"a.example": a, "mixed.example": (a[0], b[1]), "z.example": (b"", b"")}) == (
        "mixed.example",
        "z.example",
    )
    assert store.hosts == {"a.example"}


def test_unchanged_pairs_are_kept(credentials: Credentials) -> None:
    store = CertificateStore()
    pair = credentials.pair("a.example")
    store.replace({"a.example": pair})
    before = store.select("a.example")
    store.replace({"a.example": pair, "b.example": credentials.pair("b.example")})
    assert store.select("a.example") is before


def encrypted(chain: bytes, key: bytes) -> tuple[bytes, bytes]:
    private = serialization.load_pem_private_key(key, None)
    return chain, private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda chain, key: (b"", key),
        lambda chain, key: (chain, b""),
        lambda chain, key: (key, chain[:0] + key),
        lambda chain, key: (b"no certificate", key),
        lambda chain, key: (chain, b"no key"),
        lambda chain, key: (chain + b" " * MAX_PEM_BYTES, key),
        encrypted,
    ],
    ids=["no chain", "no key", "key as chain", "text as chain", "text as key", "too long", "encrypted key"],
)
def test_what_cannot_be_served_is_refused_without_its_text(
    credentials: Credentials, spoil: Callable[[bytes, bytes], tuple[bytes, bytes]]
) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        build_server_context(*spoil(*credentials.pair("a.example")))
    assert str(caught.value) == "CertificateInvalid"
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_key_never_touches_a_disk(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkstemp", lambda: pytest.fail("a file was made"))
    build_server_context(*credentials.pair("a.example"))


def test_without_memory_files_a_private_file_is_used_and_removed(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr("os.memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    build_server_context(*credentials.pair("a.example"))
    with pytest.raises(InvalidCertificate):
        build_server_context(b"x", b"y")
    assert list(tmp_path.iterdir()) == []


async def test_tls_1_2_is_refused_unless_set(credentials: Credentials) -> None:
    store = CertificateStore()
    store.replace({"a.example": credentials.pair("a.example")})
    old = credentials.trust(ssl.TLSVersion.TLSv1_2)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(store) as port:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await shown(port, old, "a.example")
    async with listening(store, ssl.TLSVersion.TLSv1_2) as port:
        assert await shown(port, old, "a.example") == ["a.example"]


async def test_no_session_is_resumed(credentials: Credentials) -> None:
    store = CertificateStore()
    store.replace({"a.example": credentials.pair("a.example")})
    context = credentials.trust()
    async with listening(store) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="a.example"
        )
        await reader.read()
        connection = writer.get_extra_info("ssl_object")
        assert connection.session is None or not connection.session.has_ticket
        writer.transport.abort()


async def test_ed25519_authorities_serve_too() -> None:
    credentials = make_credentials(algorithm=Algorithm.ED25519)
    store = CertificateStore()
    store.replace({"a.example": credentials.pair("a.example")})
    async with listening(store) as port:
        assert await shown(port, credentials.trust(), "a.example") == ["a.example"]


async def test_an_expired_certificate_is_shown_and_refused_by_the_caller(credentials: Credentials) -> None:
    """The store serves what it is given: dates are the operator's condition, and the caller's check."""
    issued = credentials.issue("a.example", validity_seconds=60, now=datetime.now(UTC) - timedelta(days=1))
    store = CertificateStore()
    assert store.replace({"a.example": (issued.cert_pem, issued.key_pem)}) == ()
    async with listening(store) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await shown(port, credentials.trust(), "a.example")


@pytest.mark.parametrize(
    ("host", "normal"),
    [("A.Example", "a.example"), ("[::1]", "::1"), ("0:0:0:0:0:0:0:1", "::1"), ("127.0.0.1", "127.0.0.1")],
)
def test_hosts_have_one_form(host: str, normal: str) -> None:
    assert normalise_host(host) == normal
