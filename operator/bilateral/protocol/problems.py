"""How a refusal is answered over HTTP: ``application/problem+json`` (RFC 9457).

``type`` is chio's address followed by the reason in kebab-case. Of two refusals chio publishes
status, title, detail and members; those are written exactly so. For all others the contract has
no text, and this table is ours (``exchange.md``): its details name no value, because the one who
asks may be a stranger, who is told neither our names nor whom and which keys we expect.

Which refusals are told at all, or hidden behind :data:`UNIFORM_REFUSAL`, the endpoint decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from bilateral.protocol.errors import (
    ClockSkewExceeded,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    ProtocolError,
    UnexpectedPeerKey,
    UnsupportedSchema,
)
from bilateral.protocol.reasons import Reason

PROBLEM_TYPE_PREFIX: Final = "https://chio.dev/errors/federation/"
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_NO_MEMBERS: Mapping[str, str | int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer; ``members`` are the extra ones beside type, title, status and detail."""

    status: int
    reason: Reason
    title: str
    detail: str
    members: Mapping[str, str | int] = field(default_factory=lambda: _NO_MEMBERS)

    @property
    def type(self) -> str:
        """The problem's ``type``."""
        return PROBLEM_TYPE_PREFIX + self.reason.kebab

    def to_json(self) -> bytes:
        """Write the body of the answer, members in the published order."""
        body: dict[str, str | int] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return json.dumps(body, separators=(",", ":")).encode()


# reason: status, title, detail
_TABLE: Final[Mapping[Reason, tuple[int, str, str]]] = {
    Reason.MISSING_TRUST_ANCHOR: (
        412,
        "Missing trust anchor",
        "the peer is not trusted for first contact; configure a trust anchor before accepting handshakes",
    ),
    Reason.CLOCK_SKEW_EXCEEDED: (
        422,
        "Clock skew exceeded",
        "remote envelope timestamp drifts from local clock beyond the tolerated skew",
    ),
    Reason.UNSUPPORTED_SCHEMA: (422, "Unsupported schema", "the document is not of the supported schema"),
    Reason.INVALID_SIGNATURE: (401, "Invalid signature", "remote handshake signature is invalid"),
    Reason.ADDRESS_MISMATCH: (
        421,
        "Address mismatch",
        "remote envelope is addressed to a kernel that is not served here",
    ),
    Reason.KERNEL_ID_MISMATCH: (
        403,
        "Kernel id mismatch",
        "remote envelope declares another kernel than the expected one",
    ),
    Reason.UNEXPECTED_PEER_KEY: (
        403,
        "Unexpected peer key",
        "the peer declared another public key than the trusted one",
    ),
    Reason.REPLAYED_ENVELOPE: (
        409,
        "Replayed envelope",
        "remote envelope is not newer than the last accepted one; send a fresh one",
    ),
    Reason.PEER_STALE: (409, "Peer stale", "the peer is stale and must be re-handshaked before use"),
    Reason.PEER_NOT_PINNED: (409, "Peer not pinned", "the peer is not pinned; run a handshake first"),
    Reason.DENIED: (403, "Denied", "the introduction that was asked for is denied"),
    Reason.UNKNOWN_REQUEST: (404, "Unknown request", "there is no such request; send it anew"),
    Reason.SUBJECT_REFUSED: (422, "Subject refused", "the signing request is one that is not signed here"),
    Reason.MALFORMED_DOCUMENT: (400, "Malformed document", "the document is malformed"),
    Reason.MALFORMED_KEY: (400, "Malformed key", "a public key is malformed"),
    Reason.WEAK_KEY: (400, "Weak key", "a public key is not a prime-order point"),
    Reason.DOCUMENT_TOO_LARGE: (413, "Document too large", "the document is too large"),
    Reason.UNSUPPORTED_MEDIA_TYPE: (415, "Unsupported media type", "send application/json"),
    Reason.TOO_MANY_REQUESTS: (429, "Too many requests", "too many requests; try again later"),
    Reason.TOO_MANY_PENDING: (429, "Too many pending", "too many of your requests wait to be approved"),
    Reason.REQUEST_TIMEOUT: (408, "Request timeout", "the request did not arrive in time"),
    Reason.UNAUTHORIZED_BEARER: (401, "Unauthorized bearer", "the bearer token is missing or not accepted"),
    Reason.FORBIDDEN: (403, "Forbidden", "the cluster's roles do not allow you this"),
    Reason.NO_POLICY: (404, "No policy", "there is no policy for that partner here"),
    Reason.PEER_NOT_FOUND: (404, "Peer not found", "there is no such partner here; name its FederationPeer"),
    Reason.TRUST_DOMAIN_NOT_FOUND: (404, "Trust domain not found", "there is no such trust domain here"),
    Reason.POLICY_CONFLICT: (409, "Policy conflict", "something else has that name or that partner already"),
    Reason.INVALID_SPEC: (422, "Invalid spec", "the object breaks a rule of its kind"),
    Reason.NOT_FOUND: (404, "Not found", "nothing is served under this path"),
    Reason.METHOD_NOT_ALLOWED: (405, "Method not allowed", "the path does not take this method"),
    Reason.REFUSED: (403, "Refused", "the request is refused"),
    Reason.NOT_READY: (503, "Not ready", "the endpoint is not ready; try again later"),
    Reason.INTERNAL_ERROR: (500, "Internal error", "the request could not be handled"),
}

PROBLEM_REASONS: Final = frozenset(_TABLE)
"""Every reason that has an answer."""


def problem_for(reason: Reason) -> Problem:
    """Build the answer for ``reason`` without any facts; ``ValueError`` where it has none."""
    row = _TABLE.get(reason)
    if row is None:
        raise ValueError(f"{reason} is not answered over HTTP")
    status, title, detail = row
    return Problem(status, reason, title, detail)


def problem_of(error: ProtocolError) -> Problem:
    """Build the answer for ``error`` with the members that its reason publishes."""
    plain = problem_for(error.reason)
    members: Mapping[str, str | int] = _NO_MEMBERS
    detail = plain.detail
    match error:
        case MissingTrustAnchor():
            members, detail = {"kernelId": error.kernel_id}, str(error)
        case ClockSkewExceeded():
            members = {"envelope": error.envelope, "local": error.local, "skew": error.skew}
            detail = str(error)
        case UnexpectedPeerKey() | PeerStale() | PeerNotPinned():
            members = {"kernelId": error.kernel_id}
        case UnsupportedSchema():
            members = {"schema": error.expected}
        case _:
            pass
    return Problem(plain.status, plain.reason, plain.title, detail, members)


UNIFORM_REFUSAL: Final = problem_for(Reason.REFUSED)
"""The one answer of ``--refusals=Uniform``: the same bytes whatever the cause."""
