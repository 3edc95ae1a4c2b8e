"""The control endpoint: who calls, what they may do, what is asked; in this order, and nothing before."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator

import pytest

from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.control import MAX_BODY_BYTES, Call, build_control_routes
from bilateral.exchange.errors import Refusal
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.reasons import Reason

from .conftest import Credentials
from .running import Counts
from .wire import Reply, calling

EVALUATE = "/v1/federation/policies/evaluate"
POLICIES = "/v1/federation/policies"
REVOKE = "/v1/revocations"
KERNEL = Caller("system:serviceaccount:tools:kernel")


class Reviews:
    """Knows one caller, who may do what the test says."""

    def __init__(self) -> None:
        self.may: set[Action] = {Action("evaluate", "federationpolicies", "trust")}
        self.asked: list[Action] = []

    async def authenticate(self, token: str) -> Caller:
        if token != "t0ken":
            raise Refusal(Reason.UNAUTHORIZED_BEARER)
        return KERNEL

    async def authorize(self, caller: Caller, action: Action) -> None:
        assert caller == KERNEL
        self.asked.append(action)
        if action not in self.may:
            raise Refusal(Reason.FORBIDDEN)


class Handler:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Call]] = []

    def namespace(self, asked: str) -> str:
        if asked not in ("", "trust"):
            raise Refusal(Reason.NOT_FOUND)
        return "trust"

    def _take(self, what: str, call: Call) -> bytes:
        self.calls.append((what, call))
        return json.dumps({"did": what}).encode()

    async def evaluate(self, call: Call) -> bytes:
        return self._take("evaluate", call)

    async def list_policies(self, call: Call) -> bytes:
        return self._take("list", call)

    async def create_policy(self, call: Call) -> bytes:
        return self._take("create", call)

    async def delete_policy(self, call: Call) -> bytes:
        return self._take("delete", call)

    async def revoke(self, call: Call) -> bytes:
        return self._take("revoke", call)


@dataclasses.dataclass
class Desk:
    port: int
    credentials: Credentials
    handler: Handler
    reviews: Reviews

    async def ask(self, method: str, path: str, body: bytes = b"{}", *, token: str | None = "t0ken") -> Reply:
        head = f"{method} {path} HTTP/1.1\r\nHost: trust.example\r\n"
        if token is not None:
            head += f"Authorization: Bearer {token}\r\n"
        if method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        async with calling(self.port, self.credentials.trust()) as caller:
            await caller.send(head.encode() + b"\r\n" + (body if method == "POST" else b""))
            return await caller.receive()


@contextlib.asynccontextmanager
async def open_control(credentials: Credentials) -> AsyncIterator[Desk]:
    store, handler, reviews = CertificateStore(), Handler(), Reviews()
    store.replace({"trust.example": credentials.pair("trust.example")})
    endpoint = Endpoint(build_control_routes(handler, reviews), store, EndpointSettings(), Counts())
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Desk(port, credentials, handler, reviews)
    finally:
        await endpoint.stop()


@pytest.fixture
async def desk(credentials: Credentials) -> AsyncIterator[Desk]:
    async with open_control(credentials) as opened:
        yield opened


def reason_of(reply: Reply) -> tuple[int, str]:
    assert reply["Content-Type"] == "application/problem+json"
    return reply.status, json.loads(reply.body)["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("method", "path", "did", "action", "call"),
    [
        (
            "POST",
            EVALUATE,
            "evaluate",
            Action("evaluate", "federationpolicies", "trust"),
            Call(KERNEL, "trust", b"{}"),
        ),
        (
            "GET",
            f"{POLICIES}?namespace=trust",
            "list",
            Action("list", "federationpolicies", "trust"),
            Call(KERNEL, "trust"),
        ),
        (
            "POST",
            POLICIES,
            "create",
            Action("create", "federationpolicies", "trust"),
            Call(KERNEL, "trust", b"{}"),
        ),
        (
            "DELETE",
            f"{POLICIES}?partnerId=org%2Da&namespace=trust",
            "delete",
            Action("delete", "federationpolicies", "trust"),
            Call(KERNEL, "trust", partner_id="org-a"),
        ),
        (
            "POST",
            f"{REVOKE}?trustDomain=org-a",
            "revoke",
            Action("revoke", "trustdomains", "trust", "org-a"),
            Call(KERNEL, "trust", b"{}", trust_domain="org-a"),
        ),
    ],
    ids=["evaluate", "list", "create", "delete", "revoke"],
)
async def test_each_route_needs_its_verb(
    desk: Desk, method: str, path: str, did: str, action: Action, call: Call
) -> None:
    desk.reviews.may = set()
    assert reason_of(await desk.ask(method, path)) == (403, "forbidden")
    assert desk.handler.calls == []
    desk.reviews.may = {action}
    reply = await desk.ask(method, path)
    assert (reply.status, json.loads(reply.body)) == (200, {"did": did})
    assert desk.handler.calls == [(did, call)]


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_nobody_is_told_anything_without_a_token(desk: Desk, token: str | None) -> None:
    for method, path in (("POST", EVALUATE), ("GET", f"{POLICIES}?namespace=nowhere"), ("DELETE", POLICIES)):
        reply = await desk.ask(method, path, token=token)
        assert reason_of(reply) == (401, "unauthorized-bearer")
        assert reply["WWW-Authenticate"] == "Bearer"
    assert desk.reviews.asked == []


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{POLICIES}?namespace=elsewhere", (404, "not-found")),
        ("GET", f"{POLICIES}?namespace=trust&namespace=trust", (400, "malformed-document")),
        ("GET", f"{POLICIES}?name=trust", (400, "malformed-document")),
        ("GET", f"{POLICIES}?namespace=tr%FFust", (404, "not-found")),
        ("GET", f"{POLICIES}?namespace=a/b", (400, "malformed-document")),
        ("GET", f"{POLICIES}?partnerId=org-a", (400, "malformed-document")),
        ("DELETE", POLICIES, (400, "malformed-document")),
        ("POST", REVOKE, (400, "malformed-document")),
        ("PUT", POLICIES, (405, "method-not-allowed")),
        ("GET", f"{POLICIES}/org-a", (404, "not-found")),
        ("POST", "/v1/federation/handshake", (404, "not-found")),
    ],
)
async def test_a_question_that_means_nothing_is_refused(
    desk: Desk, method: str, path: str, expected: tuple[int, str]
) -> None:
    desk.reviews.may.add(Action("list", "federationpolicies", "trust"))
    assert reason_of(await desk.ask(method, path)) == expected
    assert desk.handler.calls == []


async def test_a_body_is_bounded(desk: Desk) -> None:
    reply = await desk.ask("POST", EVALUATE, b"x" * (MAX_BODY_BYTES + 1))
    assert reason_of(reply) == (413, "document-too-large")
    assert (await desk.ask("POST", EVALUATE, b"x" * MAX_BODY_BYTES)).status == 200
