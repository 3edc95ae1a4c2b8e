"""DID documents: for everybody, by one exact question."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bilateral.exchange.errors import Refusal
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.did import build_did_document
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.reasons import Reason
from support.kernels import KEY_A

from .conftest import Credentials
from .refusals import expect_problem
from .running import US, Counts, Judge, Running

DOCUMENT = json.dumps(
    build_did_document(KEY_A.public_key, ["https://log.org-a.example/v1/receipts"])
).encode()


class Registry:
    """A handler with one document, and the questions that reached it."""

    def __init__(self, error: Refusal | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.error = error

    def did_document(self, kernel_id: str) -> bytes:
        self.asked[kernel_id] += 1
        if self.error is not None:
            raise self.error
        if kernel_id != US:
            raise Refusal(Reason.NOT_FOUND)
        return DOCUMENT


@contextlib.asynccontextmanager
async def serving(
    credentials: Credentials, registry: Registry | None, refusals: str = "Documented"
) -> AsyncIterator[Running]:
    store, judge, counts = CertificateStore(), Judge(), Counts()
    store.replace({"trust.example": credentials.pair("trust.example")})
    settings = EndpointSettings(refusals=refusals)  # type: ignore[arg-type]
    endpoint = Endpoint(build_partner_routes(judge, settings, dids=registry), store, settings, counts)
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Running(endpoint, port, judge, counts, store, credentials.trust())
    finally:
        await endpoint.stop()


def get(query: str, method: str = "GET") -> bytes:
    return f"{method} /v1/federation/did{query} HTTP/1.1\r\nHost: trust.example\r\n\r\n".encode()


async def test_everybody_gets_the_document(credentials: Credentials) -> None:
    async with serving(credentials, Registry()) as run, run.call() as caller:
        reply = await caller.ask(get(f"?kernelId={US}"))
        assert (reply.status, reply.body) == (200, DOCUMENT)
        assert reply["Content-Type"] == "application/json"
        assert parse_public_key(json.loads(reply.body)["id"]) == KEY_A.public_key


@pytest.mark.parametrize("refusals", ["Documented", "Uniform"])
async def test_a_kernel_id_that_is_not_ours_is_not_found(credentials: Credentials, refusals: str) -> None:
    async with serving(credentials, Registry(), refusals) as run, run.call() as caller:
        expect_problem(await caller.ask(get("?kernelId=somebody")), 404, "not-found")


async def test_without_a_usable_key_one_is_to_come_back(credentials: Credentials) -> None:
    registry = Registry(Refusal(Reason.NOT_READY, retry_after=5))
    async with serving(credentials, registry) as run, run.call() as caller:
        reply = await caller.ask(get(f"?kernelId={US}"))
        assert (reply.status, reply["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    "query", ["", "?kernelId=", "?kernelId=a&x=1", "?kernelId=a%2Fb", "?did=did:chio:00"]
)
async def test_any_other_question_is_malformed(credentials: Credentials, query: str) -> None:
    registry = Registry()
    async with serving(credentials, registry) as run, run.call() as caller:
        expect_problem(await caller.ask(get(query)), 400, "malformed-document")
        assert not registry.asked


async def test_it_is_for_reading_only(credentials: Credentials) -> None:
    async with serving(credentials, Registry()) as run, run.call() as caller:
        reply = await caller.ask(get(f"?kernelId={US}", "POST"))
        assert (reply.status, reply["Allow"]) == (405, "GET")


async def test_without_a_handler_there_is_no_such_path(credentials: Credentials) -> None:
    async with serving(credentials, None) as run, run.call() as caller:
        expect_problem(await caller.ask(get(f"?kernelId={US}")), 404, "not-found")
