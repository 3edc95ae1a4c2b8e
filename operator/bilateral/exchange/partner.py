"""Reading a partner's refusal: which of our words it means, and at most two numbers.

Rules: only the suffix of ``type`` and three integers of a small, strictly parsed problem document
are looked at, and what is not understood becomes RefusedByPartner or AnswerInvalid; no text of the
partner leaves this module (R-S4). Numbers are bounded before they are believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.exchange.errors import OutboundError
from bilateral.protocol.canonical import HANDSHAKE_LIMITS, JSON, parse_json
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.problems import PROBLEM_REASONS, PROBLEM_TYPE_PREFIX
from bilateral.protocol.reasons import Reason

MAX_PROBLEM_BYTES = 16 * 1024
MAX_RETRY_AFTER_SECONDS = 3600
MAX_SKEW_SECONDS = 10 * 366 * 86400
"""Clocks further apart than ten years are not a skew but a lie or a broken clock: no number."""

_REASONS: Final = {PROBLEM_TYPE_PREFIX + reason.kebab: reason for reason in PROBLEM_REASONS}


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the answers to one kind of question mean: which statuses bring a document, and our words for refusals.

    ``missing`` is what it means where a server knows no such question, in whatever words it says so.
    """

    answers: frozenset[int]
    refusals: Mapping[Reason, Reason]
    missing: Reason | None = None


_COMMON: Final = {
    Reason.CLOCK_SKEW_EXCEEDED: Reason.CLOCK_SKEW_EXCEEDED,
    Reason.TOO_MANY_REQUESTS: Reason.TOO_MANY_REQUESTS,
    Reason.NOT_READY: Reason.TOO_MANY_REQUESTS,
    **dict.fromkeys(
        (
            Reason.UNSUPPORTED_SCHEMA,
            Reason.INVALID_SIGNATURE,
            Reason.ADDRESS_MISMATCH,
            Reason.KERNEL_ID_MISMATCH,
            Reason.UNEXPECTED_PEER_KEY,
            Reason.PEER_STALE,
            Reason.PEER_NOT_PINNED,
            Reason.UNAUTHORIZED_BEARER,
            Reason.REFUSED,
            Reason.MALFORMED_DOCUMENT,
            Reason.DOCUMENT_TOO_LARGE,
            Reason.UNSUPPORTED_MEDIA_TYPE,
        ),
        Reason.REFUSED_BY_PARTNER,
    ),
}
OF_HANDSHAKE: Final = Meanings(
    frozenset({200}),
    {
        **_COMMON,
        Reason.MISSING_TRUST_ANCHOR: Reason.AWAITING_PARTNER,
        Reason.REPLAYED_ENVELOPE: Reason.REPLAYED_ENVELOPE,
    },
)
OF_INTRODUCTION: Final = Meanings(
    frozenset({200, 202}),
    {
        **_COMMON,
        # They hold no fresh pin of ours: the next handshake changes that, no act of ours here.
        Reason.MISSING_TRUST_ANCHOR: Reason.AWAITING_PARTNER,
        Reason.PEER_STALE: Reason.AWAITING_PARTNER,
        Reason.PEER_NOT_PINNED: Reason.AWAITING_PARTNER,
        Reason.DENIED: Reason.DENIED,
        Reason.SUBJECT_REFUSED: Reason.SUBJECT_REFUSED,
        Reason.UNKNOWN_REQUEST: Reason.UNKNOWN_REQUEST,
        # A partner's endpoint that serves no introductions.
        Reason.NOT_FOUND: Reason.REFUSED_BY_PARTNER,
    },
)

OF_FEED: Final = Meanings(frozenset({200}), _COMMON)
OF_STATEMENT: Final = Meanings(frozenset({200}), _COMMON, missing=Reason.NOT_ANNOUNCED)
_MISSING: Final = frozenset({404, 405, 410, 501})


def read_refusal(
    status: int, body: bytes | None, retry_after: str | None, meanings: Meanings = OF_HANDSHAKE
) -> OutboundError:
    """Turn an answer without a document into the error to raise.

    ``body`` is None unless it was a problem document of bounded size. ``retry_after`` is the
    header's text; only whole seconds are understood, and capped.
    """
    if status in (429, 503):
        return OutboundError(Reason.TOO_MANY_REQUESTS, retry_after=parse_retry_after(retry_after))
    if status in _MISSING and meanings.missing is not None:
        return OutboundError(meanings.missing)
    if not 400 <= status <= 499:
        return OutboundError(Reason.ANSWER_INVALID)
    problem = _parse_problem(body) if body is not None else {}
    kind = problem.get("type")
    refused_for = _REASONS.get(kind) if isinstance(kind, str) else None
    reason = None if refused_for is None else meanings.refusals.get(refused_for)
    if reason is None:
        # 401 and 403 say no in every dialect of HTTP; anything else may be any server at all.
        refused = status in (401, 403)
        return OutboundError(Reason.REFUSED_BY_PARTNER if refused else Reason.ANSWER_INVALID)
    if reason is Reason.CLOCK_SKEW_EXCEEDED:
        return OutboundError(reason, skew_seconds=_read_skew(problem))
    return OutboundError(reason)


def parse_retry_after(text: str | None) -> int | None:
    """Read ``Retry-After`` in whole seconds, between 1 and an hour; None for any other form."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return min(MAX_RETRY_AFTER_SECONDS, max(1, int(text)))


def _parse_problem(body: bytes) -> dict[str, JSON]:
    try:
        problem = parse_json(body, HANDSHAKE_LIMITS)
    except ProtocolError:
        return {}
    return dict(problem) if isinstance(problem, dict) else {}


def _read_skew(problem: dict[str, JSON]) -> int | None:
    """Compute the partner's clock minus our timestamp, as it judged them."""
    envelope, local = problem.get("envelope"), problem.get("local")
    if type(envelope) is not int or type(local) is not int:
        return None
    skew = local - envelope
    return skew if abs(skew) <= MAX_SKEW_SECONDS else None
