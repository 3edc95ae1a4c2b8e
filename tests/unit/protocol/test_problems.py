"""Problems: the two published ones to the letter, the others as our table has them."""

from __future__ import annotations

import json

import pytest

from bilateral.protocol import errors
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.problems import (
    PROBLEM_MEDIA_TYPE,
    PROBLEM_REASONS,
    PROBLEM_TYPE_PREFIX,
    UNIFORM_REFUSAL,
    problem_for,
    problem_of,
)
from bilateral.protocol.reasons import Reason
from support.kernels import KEY_A, KEY_B

CANARY = "canary-kernel"
KEYS = (KEY_A.public_key.hex, KEY_B.public_key.hex)


def test_missing_trust_anchor_as_published() -> None:
    problem = problem_of(errors.MissingTrustAnchor("org-b-kernel"))
    assert list(json.loads(problem.to_json()).items()) == [
        ("type", "https://chio.dev/errors/federation/missing-trust-anchor"),
        ("title", "Missing trust anchor"),
        ("status", 412),
        (
            "detail",
            (
                "peer org-b-kernel is not trusted for first contact; "
                "configure a trust anchor before accepting handshakes"
            ),
        ),
        ("kernelId", "org-b-kernel"),
    ]


def test_clock_skew_exceeded_as_published() -> None:
    problem = problem_of(errors.ClockSkewExceeded(1714290000, 1714291205, 300))
    assert list(json.loads(problem.to_json()).items()) == [
        ("type", "https://chio.dev/errors/federation/clock-skew-exceeded"),
        ("title", "Clock skew exceeded"),
        ("status", 422),
        ("detail", "remote envelope timestamp 1714290000 drifts from local clock 1714291205 beyond 300s"),
        ("envelope", 1714290000),
        ("local", 1714291205),
        ("skew", 300),
    ]


TABLE = [
    (errors.UnsupportedSchema("chio.x.v1"), 422, "unsupported-schema", {"schema": "chio.x.v1"}),
    (errors.InvalidSignature(), 401, "invalid-signature", {}),
    (errors.AddressMismatch("them", CANARY), 421, "address-mismatch", {}),
    (errors.KernelIdMismatch("them", CANARY), 403, "kernel-id-mismatch", {}),
    (errors.UnexpectedPeerKey("org-b", *KEYS), 403, "unexpected-peer-key", {"kernelId": "org-b"}),
    (errors.UnexpectedSigner(*KEYS), 403, "unexpected-peer-key", {}),
    (errors.ReplayedEnvelope(CANARY), 409, "replayed-envelope", {}),
    (errors.PeerStale("org-b"), 409, "peer-stale", {"kernelId": "org-b"}),
    (errors.PeerNotPinned("org-b"), 409, "peer-not-pinned", {"kernelId": "org-b"}),
    (errors.MalformedDocument("syntax"), 400, "malformed-document", {}),
    (errors.DocumentTooLarge(16384), 413, "document-too-large", {}),
    (errors.MalformedKey("spelling"), 400, "malformed-key", {}),
    (errors.WeakKey(), 400, "weak-key", {}),
]


OF_FILES: set[type[ProtocolError]] = {
    errors.ActivationInvalid,
    errors.ActivationExpired,
    errors.ParameterHashMismatch,
}
"""Errors of documents that people check by a command: no endpoint takes them."""


@pytest.mark.parametrize(
    ("error", "status", "suffix", "members"), TABLE, ids=[type(row[0]).__name__ for row in TABLE]
)
def test_the_others_as_our_table_has_them(
    error: ProtocolError, status: int, suffix: str, members: dict[str, object]
) -> None:
    problem = problem_of(error)
    body = json.loads(problem.to_json())
    assert (problem.status, problem.reason) == (status, error.reason)
    assert body["type"] == f"{PROBLEM_TYPE_PREFIX}{suffix}"
    assert body["status"] == status
    assert body.keys() == {"type", "title", "status", "detail", *members}
    assert {name: body[name] for name in members} == members
    # Neither our names nor anybody's keys are told to whoever asks.
    assert not any(word in problem.to_json().decode() for word in (CANARY, *KEYS))


def test_every_error_of_the_tree_has_an_answer() -> None:
    tree = {value for value in vars(errors).values() if isinstance(value, type)}
    concrete = {kind for kind in tree if issubclass(kind, ProtocolError) and kind is not ProtocolError}
    answered = {type(row[0]) for row in TABLE} | {errors.MissingTrustAnchor, errors.ClockSkewExceeded}
    assert concrete == answered | OF_FILES
    assert not {kind.reason for kind in OF_FILES} & PROBLEM_REASONS


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNSUPPORTED_MEDIA_TYPE, 415),
        (Reason.TOO_MANY_REQUESTS, 429),
        (Reason.REQUEST_TIMEOUT, 408),
        (Reason.UNAUTHORIZED_BEARER, 401),
        (Reason.NOT_FOUND, 404),
        (Reason.METHOD_NOT_ALLOWED, 405),
        (Reason.REFUSED, 403),
        (Reason.NOT_READY, 503),
        (Reason.INTERNAL_ERROR, 500),
    ],
)
def test_the_http_layer_has_answers_of_its_own(reason: Reason, status: int) -> None:
    problem = problem_for(reason)
    assert problem.status == status
    assert problem.type == f"{PROBLEM_TYPE_PREFIX}{reason.kebab}"
    assert problem.members == {}


@pytest.mark.parametrize("reason", sorted(PROBLEM_REASONS))
def test_every_title_is_the_reason_in_words(reason: Reason) -> None:
    problem = problem_for(reason)
    assert problem.title.lower() == reason.kebab.replace("-", " ")
    assert problem.detail
    assert 400 <= problem.status <= 599


def test_a_reason_of_conditions_only_has_no_answer() -> None:
    with pytest.raises(ValueError, match="Fresh is not answered"):
        problem_for(Reason.FRESH)


def test_the_uniform_refusal_names_no_cause() -> None:
    assert PROBLEM_MEDIA_TYPE == "application/problem+json"
    assert json.loads(UNIFORM_REFUSAL.to_json()) == {
        "type": "https://chio.dev/errors/federation/refused",
        "title": "Refused",
        "status": 403,
        "detail": "the request is refused",
    }
