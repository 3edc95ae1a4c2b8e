"""The control endpoint of an operator, asked with the caller's own token (``docs/cli.md``).

Rules: https only, verified against the system's roots or the given bundle; no redirect, no proxy of the
environment, no compression; the token goes to the host of the URL and to nobody else; an answer is bounded in size
and time. A refusal is told in our words, by its reason: nothing that a server wrote reaches a message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx

from bilateral.cli.advice import advise
from bilateral.cli.errors import (
    AlreadyThereError,
    AnswerNoError,
    CLIError,
    ClusterError,
    InputError,
    NotPermittedError,
    NotThereError,
)
from bilateral.cli.feed_sources import build_context
from bilateral.cli.files import read_input
from bilateral.pki.tokens import MAX_TOKEN_LENGTH
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.problems import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON, Limits, parse_json

POLICIES_PATH: Final = "/v1/federation/policies"
EVALUATE_PATH: Final = "/v1/federation/policies/evaluate"
REVOCATIONS_PATH: Final = "/v1/revocations"
MAX_REQUEST_BYTES: Final = 256 * 1024
ANSWER_SECONDS: Final = 20.0
_ANSWER_LIMITS = Limits(max_bytes=16 * 1024 * 1024, max_depth=64, max_members=524_288, max_values=1_048_576)
_MAX_PROBLEM_BYTES = 16 * 1024
_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN_LENGTH}}}")
_REASONS: Final[Mapping[str, Reason]] = {PROBLEM_TYPE_PREFIX + reason.kebab: reason for reason in Reason}
_BUSY = frozenset({Reason.NOT_READY, Reason.TOO_MANY_REQUESTS, Reason.REQUEST_TIMEOUT, Reason.INTERNAL_ERROR})
_BAD_INPUT = frozenset(
    {
        Reason.MALFORMED_DOCUMENT,
        Reason.DOCUMENT_TOO_LARGE,
        Reason.INVALID_SPEC,
        Reason.MALFORMED_KEY,
        Reason.WEAK_KEY,
    }
)
_THERE = frozenset({Reason.POLICY_CONFLICT})
_NOT_THERE = frozenset({Reason.NO_POLICY, Reason.PEER_NOT_FOUND, Reason.TRUST_DOMAIN_NOT_FOUND})


@dataclass(frozen=True, slots=True)
class ControlChoice:
    """Which endpoint is meant, and the files that open it; no namespace is that of the operator."""

    url: str
    token_file: str
    ca_file: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Needed:
    """The right that a request needs: a verb on a kind, and what the request names."""

    verb: str
    kind: str = "federationpolicies"

    def __str__(self) -> str:
        return f"the verb {self.verb} on {self.kind}.bilateral.dev"


@dataclass(frozen=True, slots=True)
class Control:
    """An endpoint that can be asked, until the block ends."""

    _client: httpx.Client = field(repr=False)
    _base: httpx.URL
    _namespace: str | None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        needed: Needed,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, JSON]:
        """Ask, and return the members of the answer. Raises CLIError: a refusal, or no answer."""
        if body is not None and len(body) > MAX_REQUEST_BYTES:
            raise InputError(f"too much for one request: expected at most {MAX_REQUEST_BYTES} bytes")
        asked = {**({} if self._namespace is None else {"namespace": self._namespace}), **(query or {})}
        text = "&".join(
            f"{name}={quote(value, safe='').replace('~', '%7E')}" for name, value in asked.items()
        )
        url = self._base.copy_with(path=path, query=text.encode("ascii") or None)
        headers = {} if body is None else {"Content-Type": "application/json"}
        status, media_type, answer = self._send(method, url, headers, body)
        if status != 200:
            raise _refusal(status, media_type, answer, needed)
        if media_type != "application/json":
            raise _unreadable()
        try:
            found = parse_json(answer, _ANSWER_LIMITS)
        except MalformedDocument:
            raise _unreadable() from None
        if not isinstance(found, dict):
            raise _unreadable()
        return found

    def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, str, bytes]:
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            with self._client.stream(method, url, headers=headers, content=body) as response:
                limit = _ANSWER_LIMITS.max_bytes if response.status_code == 200 else _MAX_PROBLEM_BYTES
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise ClusterError("the control endpoint compressed its answer, which nobody asked for")
                found = bytearray()
                for part in response.iter_raw():
                    found += part
                    if len(found) > limit:
                        raise ClusterError(f"the control endpoint answered with more than {limit} bytes")
                    if time.monotonic() > deadline:
                        raise _slow()
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return response.status_code, kind, bytes(found)
        except httpx.TimeoutException:
            raise _slow() from None
        except httpx.HTTPError as error:
            raise ClusterError(
                f"the control endpoint cannot be asked ({type(error).__name__}): check --control-url, that the "
                "operator runs there, and --control-ca-file for its certificate"
            ) from None


def connect_control(choice: ControlChoice) -> Control:
    """Prepare to ask; nothing is sent yet. Raises InputError."""
    token = read_input(choice.token_file, MAX_TOKEN_LENGTH + 2).decode("ascii", "replace").rstrip("\r\n")
    if _TOKEN.fullmatch(token) is None:
        raise InputError(
            f"{choice.token_file} holds no token: expected one line of printable characters without a space, "
            "such as kubectl create token writes"
        )
    client = httpx.Client(
        verify=build_context(choice.ca_file),
        trust_env=False,
        follow_redirects=False,
        timeout=ANSWER_SECONDS,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {token}",
        },
    )
    return Control(client, _parse_url(choice.url), choice.namespace)


def unreadable_answer() -> ClusterError:
    """The error for an answer that is not of the form that this version reads."""
    return _unreadable()


def _parse_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    has_rest = parsed.userinfo or parsed.query or parsed.fragment or parsed.path not in ("", "/")
    if parsed.scheme != "https" or not parsed.host or has_rest:
        raise InputError(
            "--control-url: expected https, a host and a port, as in https://ctl.org-a.example:8942"
        )
    return parsed


def _refusal(status: int, media_type: str, answer: bytes, needed: Needed) -> CLIError:
    """What a refusal means, by its reason or, without one of ours, by its number."""
    reason = _reason_of(media_type, answer)
    if reason is Reason.UNAUTHORIZED_BEARER:
        return NotPermittedError(
            "the control endpoint does not know you: its cluster refuses the token of --control-token-file; get a "
            "new one with kubectl create token NAME --audience bilateral"
        )
    if reason is Reason.FORBIDDEN:
        return NotPermittedError(
            f"you may not do this: it needs {needed}; ask the cluster's administrator for it"
        )
    if reason is Reason.NOT_FOUND:
        return ClusterError(
            "the control endpoint serves no such path or namespace: check --control-url (it is not the partners' "
            "endpoint), and choose the namespace with -n"
        )
    if reason in _BUSY:
        return ClusterError(
            f"the control endpoint could not answer ({reason}): try again, then look at its log"
        )
    if reason is None:
        return ClusterError(
            f"the server answered {status} and no problem of ours: check that --control-url is a control endpoint"
        )
    advice = advise(reason)
    text = f"{reason}: {advice.meaning}. {advice.step or ''}".rstrip()
    if reason in _BAD_INPUT:
        return InputError(text)
    if reason in _THERE:
        return AlreadyThereError(text)
    return NotThereError(text) if reason in _NOT_THERE else AnswerNoError(text)


def _reason_of(media_type: str, answer: bytes) -> Reason | None:
    if media_type != PROBLEM_MEDIA_TYPE:
        return None
    try:
        problem = parse_json(answer)
    except MalformedDocument:
        return None
    kind = problem.get("type") if isinstance(problem, dict) else None
    return _REASONS.get(kind) if isinstance(kind, str) else None


def _slow() -> ClusterError:
    return ClusterError(
        f"the control endpoint took more than {ANSWER_SECONDS:g} seconds to answer: try again"
    )


def _unreadable() -> ClusterError:
    return ClusterError(
        "the control endpoint's answer cannot be read: use a bilateral of the operator's version, and check that "
        "--control-url is a control endpoint"
    )
