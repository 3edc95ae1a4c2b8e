"""Callers of the control endpoint: whom the API server knows, for a few seconds, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from bilateral.engine.api import Forbidden, KubernetesAPI, Unreachable
from bilateral.engine.callers import AUDIENCE, BELIEVED_SECONDS, Callers
from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.errors import Refusal
from bilateral.protocol.reasons import Reason

from .conftest import FakeClock

EVALUATE = Action("evaluate", "federationpolicies", "trust")
KERNEL = Caller(
    "system:serviceaccount:tools:kernel", "uid-1", ("system:serviceaccounts",), (("pod", ("a",)),)
)
USER = {"username": KERNEL.username, "uid": "uid-1", "groups": list(KERNEL.groups), "extra": {"pod": ["a"]}}
KNOWN = {"authenticated": True, "audiences": [AUDIENCE], "user": USER}


class ReviewingAPI(KubernetesAPI):
    """Answers every review with what the test says."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status: dict[str, Any] = KNOWN
        self.error: Exception | None = None

    async def create(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self.asked.append(body)
        if self.error is not None:
            raise self.error
        return {"status": self.status}


@pytest.fixture
def api() -> ReviewingAPI:
    return ReviewingAPI()


async def reason_of(callers: Callers, token: str = "t0ken") -> Reason | None:
    try:
        await callers.authenticate(token)
    except Refusal as refusal:
        return refusal.reason
    return None


async def test_a_caller_is_whom_the_review_names(api: ReviewingAPI, clock: FakeClock) -> None:
    assert await Callers(api, clock).authenticate("t0ken") == KERNEL
    assert api.asked[0]["spec"] == {"token": "t0ken", "audiences": [AUDIENCE]}


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False},
        {"authenticated": "true", "audiences": [AUDIENCE], "user": USER},
        {"authenticated": True, "user": USER},
        {"authenticated": True, "audiences": ["https://kubernetes.default.svc"], "user": USER},
    ],
    ids=["nothing", "no", "a text", "no audience", "for the API server"],
)
async def test_nobody_else_is_let_in(api: ReviewingAPI, clock: FakeClock, status: dict[str, Any]) -> None:
    api.status = status
    assert await reason_of(Callers(api, clock)) is Reason.UNAUTHORIZED_BEARER


async def test_a_review_is_believed_for_a_few_seconds(api: ReviewingAPI, clock: FakeClock) -> None:
    callers = Callers(api, clock)
    for _ in range(3):
        await callers.authenticate("t0ken")
    assert len(api.asked) == 1
    api.status = {}
    clock.advance(BELIEVED_SECONDS)
    assert await reason_of(callers) is Reason.UNAUTHORIZED_BEARER
    assert await reason_of(callers) is Reason.UNAUTHORIZED_BEARER
    assert len(api.asked) == 2
    assert await reason_of(callers, "another") is Reason.UNAUTHORIZED_BEARER
    assert len(api.asked) == 3


@pytest.mark.parametrize("error", [Unreachable(0), Forbidden(403)])
async def test_who_cannot_be_reviewed_is_asked_to_come_back(
    api: ReviewingAPI, clock: FakeClock, error: Exception
) -> None:
    callers = Callers(api, clock)
    api.error = error
    assert await reason_of(callers) is Reason.NOT_READY
    api.error = None
    assert await reason_of(callers) is None


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ({"allowed": True}, True),
        ({"allowed": False}, False),
        ({}, False),
        ({"allowed": True, "denied": True}, False),
    ],
    ids=["allowed", "not allowed", "nothing", "denied as well"],
)
async def test_the_clusters_roles_decide(
    api: ReviewingAPI, clock: FakeClock, status: dict[str, Any], allowed: bool
) -> None:
    callers = Callers(api, clock)
    api.status = status
    if allowed:
        await callers.authorize(KERNEL, EVALUATE)
    else:
        with pytest.raises(Refusal) as refusal:
            await callers.authorize(KERNEL, EVALUATE)
        assert refusal.value.reason is Reason.FORBIDDEN
    asked = api.asked[0]["spec"]
    assert (asked["user"], asked["groups"], asked["extra"]) == (
        KERNEL.username,
        list(KERNEL.groups),
        {"pod": ["a"]},
    )
    assert asked["resourceAttributes"] == {
        "group": "bilateral.dev",
        "resource": "federationpolicies",
        "verb": "evaluate",
        "namespace": "trust",
        "name": "",
    }
