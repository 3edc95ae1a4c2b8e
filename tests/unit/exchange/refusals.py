"""What every refusal of the endpoint must keep to, and envelopes to be refused."""

from __future__ import annotations

import json

import pytest

from bilateral.exchange.connection import ConnectionSettings
from bilateral.exchange.settings import EndpointSettings
from bilateral.protocol.signatures import SigningKey

from .running import envelope_of
from .wire import Reply

TYPE = "https://chio.dev/errors/federation/"
CANARY = "c4n4ry"
KEY = SigningKey.generate()
BRIEF = EndpointSettings(connection=ConnectionSettings(linger_seconds=0.1))
OTHER = SigningKey.generate()


def expect_problem(reply: Reply, status: int, suffix: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(reply.body)
    assert (reply.status, document["type"]) == (status, TYPE + suffix)
    assert document["status"] == status
    assert document["title"]
    assert reply["Content-Type"] == "application/problem+json"
    assert reply["Server"] is None
    assert reply["Cache-Control"] == "no-store"
    assert CANARY not in reply.body.decode()
    assert CANARY not in str(reply.fields)
    return document


def tampered(data: bytes) -> bytes:
    document = json.loads(data)
    document["challenge"]["nonce"] = "0" * 32
    return json.dumps(document).encode()


JSON = b"Content-Type: application/json\r\n"
BODY = envelope_of(KEY)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


def count_verifications(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    import bilateral.exchange.handshakes as exchange
    import bilateral.protocol.acceptance as acceptance
    from bilateral.protocol.signatures import verify_signature

    verified: list[bool] = []

    def count(*arguments: object) -> None:
        verified.append(True)
        verify_signature(*arguments)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(acceptance, "verify_signature", count)
    monkeypatch.setattr(exchange, "verify_signature", count)
    return verified
