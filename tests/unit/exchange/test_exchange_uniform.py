"""R-H1: what a stranger must not be able to tell apart; over real TLS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bilateral.exchange.errors import Refusal
from bilateral.exchange.handshakes import UNIFORM_REASONS
from bilateral.exchange.settings import EndpointSettings
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    InvalidSignature,
    KernelIdMismatch,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    ReplayedEnvelope,
    UnexpectedPeerKey,
)
from bilateral.protocol.reasons import Reason

from .conftest import Credentials
from .refusals import (
    BODY,
    KEY,
    OTHER,
    count_verifications,
    expect_problem,
    tampered,
)
from .running import NOW, THEM, US, envelope_of, running
from .wire import post

# Uniform refusals (R-H1)

UNIFORM: dict[str, Callable[[], bytes]] = {
    "unknown peer": lambda: envelope_of(KEY, sender="org-c-kernel"),
    "wrong key": lambda: envelope_of(OTHER),
    "bad signature": lambda: tampered(envelope_of(KEY)),
    "unknown addressee": lambda: envelope_of(KEY, addressee="org-z-kernel"),
    "ourselves": lambda: envelope_of(KEY, sender=US),
}


async def test_uniform_refusals_are_the_same_to_the_byte(credentials: Credentials) -> None:
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run:
        run.judge.anchors[THEM] = KEY.public_key
        answers = []
        for name, data in UNIFORM.items():
            async with run.call() as caller:
                reply = await caller.ask(post(data()))
                expect_problem(reply, 403, "refused")
                answers.append((name, reply.undated))
        async with run.call() as caller:
            answers.append(("bad token", (await caller.ask(post(BODY, b"Authorization: Basic x"))).undated))
        for error in (
            Refusal(Reason.UNAUTHORIZED_BEARER),
            MissingTrustAnchor(THEM),
            UnexpectedPeerKey(THEM, "a", "b"),
            InvalidSignature(),
            KernelIdMismatch("a", "b"),
            AddressMismatch("a", "b"),
            PeerNotPinned(THEM),
        ):
            async with run.call() as caller:
                run.judge.error = error
                answers.append((type(error).__name__, (await caller.ask(post(BODY))).undated))
        assert {repr(answer) for _, answer in answers} == {repr(answers[0][1])}
        # Our own side still knows why.
        assert set(run.counts.reasons) == UNIFORM_REASONS


@pytest.mark.parametrize(
    ("error", "status"),
    [(ClockSkewExceeded(NOW - 999, NOW, 300), 422), (ReplayedEnvelope(THEM), 409), (PeerStale(THEM), 409)],
)
async def test_other_refusals_stay_as_documented(
    error: Exception, status: int, credentials: Credentials
) -> None:
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run, run.call() as caller:
        run.judge.error = error
        assert (await caller.ask(post(BODY))).status == status


@pytest.mark.parametrize("error", [Refusal(Reason.UNAUTHORIZED_BEARER), None], ids=["bad token", "no anchor"])
async def test_a_uniform_refusal_costs_one_verification_whatever_its_cause(
    error: Exception | None, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = count_verifications(monkeypatch)
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run, run.call() as caller:
        run.judge.error = error
        assert (await caller.ask(post(BODY))).status == 403
    assert verified == [True]
