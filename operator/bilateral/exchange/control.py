"""The control endpoint: what kernels and people of our own cluster ask, with a token of theirs.

It is a listener of its own, which partners do not reach. Rules:

- Who calls is found out before the body is read, what the caller may do before anything is looked up; both by the
  cluster (:mod:`bilateral.exchange.callers`). Without a token that counts, nothing is told but that.
- A query names the namespace, and what else is meant; each name once, nothing else.

| request | verb, on what | what it does |
| --- | --- | --- |
| ``POST /v1/federation/policies/evaluate`` | ``evaluate`` on ``federationpolicies`` | a decision; a denial is signed |
| ``GET /v1/federation/policies`` | ``list`` on ``federationpolicies`` | the policies of a namespace |
| ``POST /v1/federation/policies`` | ``create`` on ``federationpolicies`` | a policy from the published document |
| ``DELETE /v1/federation/policies?partnerId=`` | ``delete`` on ``federationpolicies`` | retires a partner's policy |
| ``POST /v1/revocations?trustDomain=`` | ``revoke`` on that ``trustdomains`` | revokes capabilities, in our feed |
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.callers import Action, Caller, Reviewer
from bilateral.exchange.errors import Refusal
from bilateral.exchange.paths import EVALUATE_PATH, POLICIES_PATH, REVOCATIONS_PATH
from bilateral.exchange.requests import BodySettings, read_bearer, read_json_body
from bilateral.exchange.routes import Routes
from bilateral.protocol.reasons import Reason

MAX_BODY_BYTES: Final = 256 * 1024
"""A chain of capabilities is larger than an envelope."""
_RETRY_SECONDS = 5
_PARAMETER = re.compile(r"([A-Za-z]{1,32})=((?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2}){1,759})")
_NAMES = frozenset({"namespace", "partnerId", "trustDomain"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, after its caller was let in; a parameter that was not given is empty."""

    caller: Caller
    namespace: str
    body: bytes = b""
    partner_id: str = ""
    trust_domain: str = ""


class ControlHandler(Protocol):
    """Whoever does what is asked; each answers with a JSON document, and refuses by raising Refusal."""

    def namespace(self, asked: str) -> str:
        """The namespace that is meant; an empty one is that of the operator, if it is the only one."""
        ...

    async def evaluate(self, call: Call) -> bytes:
        """Decide about a chain of capabilities."""
        ...

    async def list_policies(self, call: Call) -> bytes:
        """The policies of the namespace."""
        ...

    async def create_policy(self, call: Call) -> bytes:
        """Make a policy."""
        ...

    async def delete_policy(self, call: Call) -> bytes:
        """Retire the policy of a partner."""
        ...

    async def revoke(self, call: Call) -> bytes:
        """Revoke capabilities of a trust domain."""
        ...


@dataclass(frozen=True, slots=True)
class _Route:
    reviewer: Reviewer
    namespace: Callable[[str], str]
    handle: Callable[[Call], Awaitable[bytes]]
    verb: str
    resource: str
    wanted: frozenset[str]
    body: BodySettings | None
    handler_seconds: float

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        token = read_bearer(request)
        if token is None:
            raise Refusal(Reason.UNAUTHORIZED_BEARER)
        try:
            async with asyncio.timeout(self.handler_seconds):
                caller = await self.reviewer.authenticate(token)
                given = _parse_query(request.raw_path.partition("?")[2])
                if given.keys() - {"namespace"} != self.wanted:
                    raise Refusal(Reason.MALFORMED_DOCUMENT)
                call = Call(
                    caller,
                    self.namespace(given.get("namespace", "")),
                    partner_id=given.get("partnerId", ""),
                    trust_domain=given.get("trustDomain", ""),
                )
                action = Action(self.verb, self.resource, call.namespace, call.trust_domain)
                await self.reviewer.authorize(caller, action)
                if self.body is not None:
                    call = replace(call, body=await read_json_body(request, self.body))
                return build_answer(await self.handle(call))
        except TimeoutError:
            raise Refusal(Reason.NOT_READY, retry_after=_RETRY_SECONDS) from None


def build_control_routes(
    handler: ControlHandler, reviewer: Reviewer, *, body_seconds: float = 5.0, handler_seconds: float = 8.0
) -> Routes:
    """Build the table of routes of the control endpoint."""
    body = BodySettings(MAX_BODY_BYTES, body_seconds)

    def route(
        handle: Callable[[Call], Awaitable[bytes]],
        verb: str,
        *,
        reads: BodySettings | None = body,
        resource: str = "federationpolicies",
        wanted: str = "",
    ) -> _Route:
        names = frozenset({wanted} - {""})
        return _Route(reviewer, handler.namespace, handle, verb, resource, names, reads, handler_seconds)

    return {
        EVALUATE_PATH: {"POST": route(handler.evaluate, "evaluate")},
        POLICIES_PATH: {
            "GET": route(handler.list_policies, "list", reads=None),
            "POST": route(handler.create_policy, "create"),
            "DELETE": route(handler.delete_policy, "delete", reads=None, wanted="partnerId"),
        },
        REVOCATIONS_PATH: {
            "POST": route(handler.revoke, "revoke", resource="trustdomains", wanted="trustDomain")
        },
    }


def _parse_query(text: str) -> Mapping[str, str]:
    """The parameters of a query. Raises Refusal: MalformedDocument."""
    found: dict[str, str] = {}
    for part in text.split("&") if text else ():
        match = _PARAMETER.fullmatch(part)
        if match is None or match[1] not in _NAMES or match[1] in found:
            raise Refusal(Reason.MALFORMED_DOCUMENT)
        found[match[1]] = unquote(match[2], errors="replace")
    return found
