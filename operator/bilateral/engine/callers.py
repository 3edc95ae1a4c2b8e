"""Who calls the control endpoint, and what they may do: the API server says, by two kinds of review.

Rules:

- A token is reviewed for our audience alone: one that was made for the API server, or for anybody else, is
  nobody's here. It is in no log and no error, and what is remembered of it is its hash.
- What the API server said is believed for a few seconds, refusals too, so that whoever asks often, or guesses,
  costs it little. Nothing is remembered of a review that could not be made: then nobody is let in.
- Who may do what is decided by the cluster's own roles, in the namespace of the policy.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from bilateral.engine.api import APIError, KubernetesAPI
from bilateral.engine.clock import Clock
from bilateral.engine.log import Log
from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.errors import Refusal
from bilateral.protocol.reasons import Reason
from bilateral.resources.labels import FIELD_MANAGER, GROUP

AUDIENCE = "bilateral"
"""The audience of the tokens that kernels show: ``kubectl create token NAME --audience bilateral``."""
BELIEVED_SECONDS = 10.0
MAX_REMEMBERED = 4096
MAX_REVIEWS_AT_ONCE = 8
RETRY_AFTER_SECONDS = 5

_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

log = Log("callers")
T = TypeVar("T")


class _Believed(Generic[T]):
    """Answers by key, each for a few seconds; the oldest goes when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        now = self._clock.monotonic()
        known = self._answers.get(key)
        if known is not None and now < known[0]:
            return known[1]
        answer = await ask()
        self._answers[key] = (now + BELIEVED_SECONDS, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        return answer


class Callers:
    """Has callers reviewed by the API server."""

    def __init__(self, api: KubernetesAPI, clock: Clock) -> None:
        self._api = api
        self._callers: _Believed[Caller | None] = _Believed(clock)
        self._allowed: _Believed[bool] = _Believed(clock)
        self._at_once = asyncio.Semaphore(MAX_REVIEWS_AT_ONCE)

    async def authenticate(self, token: str) -> Caller:
        """Whose token this is. Raises Refusal: UnauthorizedBearer, or NotReady where nobody could say."""
        digest = hashlib.sha256(token.encode()).digest()
        caller = await self._callers.get(digest, lambda: self._review_token(token))
        if caller is None:
            raise Refusal(Reason.UNAUTHORIZED_BEARER)
        return caller

    async def authorize(self, caller: Caller, action: Action) -> None:
        """Let a caller do something. Raises Refusal: Forbidden, or NotReady where nobody could say."""
        if not await self._allowed.get((caller, action), lambda: self._review_access(caller, action)):
            raise Refusal(Reason.FORBIDDEN)

    async def _review_token(self, token: str) -> Caller | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        status = (await self._review(_TOKEN_REVIEWS, body)).get("status") or {}
        if status.get("authenticated") is not True or AUDIENCE not in (status.get("audiences") or ()):
            return None
        user = status["user"]
        extra = {name: tuple(values) for name, values in (user.get("extra") or {}).items()}
        return Caller(
            str(user["username"]),
            str(user.get("uid", "")),
            tuple(user.get("groups") or ()),
            tuple(sorted(extra.items())),
        )

    async def _review_access(self, caller: Caller, action: Action) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": caller.username,
                "uid": caller.uid,
                "groups": list(caller.groups),
                "extra": {name: list(values) for name, values in caller.extra},
                "resourceAttributes": {
                    "group": GROUP,
                    "resource": action.resource,
                    "verb": action.verb,
                    "namespace": action.namespace,
                    "name": action.name,
                },
            },
        }
        status = (await self._review(_ACCESS_REVIEWS, body)).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True

    async def _review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with self._at_once:
                return await self._api.create(path, body, manager=FIELD_MANAGER)
        except APIError as error:
            log.warning("a caller could not be reviewed", status=error.status)
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS) from None
