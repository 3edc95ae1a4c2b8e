"""What the endpoint says: JSON documents, and problem documents for everything else.

Rules: every refusal is ``application/problem+json`` (RFC 9457) made by ``protocol.problems``; an
answer names neither its software nor anything that the caller sent, is not stored by caches, and
differs by its body and status alone.
"""

from __future__ import annotations

from aiohttp import web

from bilateral.protocol.problems import PROBLEM_REASONS, Problem, problem_for
from bilateral.protocol.reasons import Reason


class Answer(web.Response):
    """A response without a Server header."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


def build_answer(body: bytes, *, status: int = 200, media_type: str = "application/json") -> Answer:
    """Build an answer that carries a document."""
    return Answer(status=status, body=body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


def build_problem(problem: Problem, *, retry_after: int | None = None, allow: str | None = None) -> Answer:
    """Build the answer for a problem; ``retry_after`` in seconds, ``allow`` for 405 (RFC 9110, 15.5.6)."""
    answer = build_answer(problem.to_json(), status=problem.status, media_type="application/problem+json")
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    if allow is not None:
        answer.headers["Allow"] = allow
    if problem.status == 401:
        # RFC 9110, section 15.5.2: a 401 names a scheme.
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def build_refusal(reason: Reason, *, retry_after: int | None = None, allow: str | None = None) -> Answer:
    """Build the answer for a reason without facts; one that is never told to a caller is a 500."""
    told = reason if reason in PROBLEM_REASONS else Reason.INTERNAL_ERROR
    return build_problem(problem_for(told), retry_after=retry_after, allow=allow)
