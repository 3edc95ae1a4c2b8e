"""Asking a partner with our client, and what every refusal must keep to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from bilateral.exchange.client import (
    CertificateAuthority,
    Fingerprint,
    Outbound,
    OutboundSettings,
    Target,
)
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.errors import OutboundError
from bilateral.exchange.tls import build_server_context
from bilateral.pki.servers import IssuedCertificate

from .conftest import Credentials
from .wire import Answer, http, partner

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


def good(credentials: Credentials) -> IssuedCertificate:
    return credentials.issue("partner.example")


async def ask(credentials: Credentials, answer: Answer, settings: OutboundSettings = QUICK) -> OutboundError:
    async with partner(answer, served_by(good(credentials))) as other:
        target = Target(
            f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem), "t0ken"
        )
        return await refused(outbound(settings), target)
