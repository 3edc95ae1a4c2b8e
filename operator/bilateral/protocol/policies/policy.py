"""A policy: what one partner may do here. Values that are complete and checked, and their hash.

Rules:

- Every list has a limit; nothing is named twice; an empty list allows nothing.
- A policy names tools one by one: a wildcard would let what a partner adds tomorrow pass today.
- A key that may vouch for something (an issuer, a feed's signer) is a prime-order point (R-C1).
- :func:`policy_hash` covers what the policy means: the order in which a list was written is not in
  it, and every field is.

Which partner a policy is for, and that there is only one, is the business of whoever holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from bilateral.protocol.canonical import JSON, canonical_bytes, require_signable, sha256_hex
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.errors import WeakKey
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.policies.tiers import AutonomyTier

POLICY_SCHEMA: Final = "bilateral.federation-policy.v1"
MAX_ISSUERS: Final = 16
MAX_SIGNERS: Final = 16
MAX_TOOL_SERVERS: Final = 64
MAX_TOOLS: Final = 128
MAX_BOUNDS: Final = 32
MAX_ALLOWED_VALUES: Final = 64
DEFAULT_POLL_SECONDS: Final = 60
DEFAULT_MAX_STALENESS_SECONDS: Final = 3600
DEFAULT_INTRODUCTION_SECONDS: Final = 2_592_000

ROW_LIMIT: Final = "row_limit"
"""The one parameter whose bound chio's kernels know themselves, as the constraint max_rows_returned."""

Bound: TypeAlias = "int | tuple[str, ...]"
"""What a parameter may be: a number that it must not exceed, or the values that it may have.

Values are texts as they are written: ``true`` stands for the boolean and for the text, ``5`` for the
number and the text.
"""


class SharingPosture(StrEnum):
    """Whether evidence of the partner may be shown to a third organisation."""

    PAIR_SCOPED = "PairScoped"
    REEXPORT_ALLOWED = "ReexportAllowed"


class FeedSource(StrEnum):
    """What publishes the partner's revocations."""

    SIGNED_FEED = "SignedFeed"
    CHIO_SERVICE = "ChioService"  # GET /v1/revocations: nobody signs it


class IntroductionApproval(StrEnum):
    """Who approves an introduction that the partner asks for."""

    MANUAL = "Manual"
    AUTOMATIC = "Automatic"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """A key that may issue capabilities; ``not_after`` (Unix seconds) is the first second without trust."""

    public_key: PublicKey
    not_after: int | None = None


@dataclass(frozen=True, slots=True)
class ToolBound:
    """A tool that may be reached, on every tool server of the policy or on one, within bounds."""

    tool: str
    tool_server: str | None = None
    parameter_bounds: Mapping[str, Bound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MaxScope:
    """The upper bound on what a capability of the partner may reach."""

    tool_servers: tuple[str, ...] = ()
    tools: tuple[ToolBound, ...] = ()
    budget: Money | None = None
    _servers: frozenset[str] = field(init=False, repr=False, compare=False)
    _by_tool: Mapping[str, tuple[ToolBound, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_tool: dict[str, tuple[ToolBound, ...]] = {}
        for bound in self.tools:
            by_tool[bound.tool] = (*by_tool.get(bound.tool, ()), bound)
        object.__setattr__(self, "_servers", frozenset(self.tool_servers))
        object.__setattr__(self, "_by_tool", by_tool)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Every tool that is named, once, in the order of the policy."""
        return tuple(self._by_tool)

    def allows_server(self, tool_server: str) -> bool:
        """Whether the server may be reached at all."""
        return tool_server in self._servers

    def bounds_of(self, tool_server: str, tool: str) -> tuple[ToolBound, ...]:
        """Every entry for a tool on a server; all of them hold. Empty: it may not be reached."""
        if tool_server not in self._servers:
            return ()
        return tuple(
            bound for bound in self._by_tool.get(tool, ()) if bound.tool_server in (None, tool_server)
        )


@dataclass(frozen=True, slots=True)
class FeedTerms:
    """Where the partner publishes revocations, and for how long an answer counts.

    ``signers`` are the keys that may sign the feed's head; none means the partner's pinned key.
    """

    url: str
    signers: tuple[PublicKey, ...] = ()
    poll_seconds: int = DEFAULT_POLL_SECONDS
    max_staleness_seconds: int = DEFAULT_MAX_STALENESS_SECONDS
    source: FeedSource = FeedSource.SIGNED_FEED


@dataclass(frozen=True, slots=True)
class IntroductionTerms:
    """Under which terms our authority introduces parties of the partner.

    ``allowed_subjects`` are whole subjects as RFC 4514 text; ``dns_names`` the names that go into
    the certificate. Automatic approval needs subjects.
    """

    approval: IntroductionApproval = IntroductionApproval.MANUAL
    max_validity_seconds: int = DEFAULT_INTRODUCTION_SECONDS
    allowed_subjects: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What one partner may do here.

    Building one raises ValueError for a list that is too long, empty where it must not be, or names
    a thing twice, and WeakKey for a key that anybody can sign with.
    """

    partner_id: str
    trusted_issuers: tuple[TrustedIssuer, ...]
    max_scope: MaxScope
    max_autonomy_tier: AutonomyTier
    max_evidence_age_seconds: int
    revocation_feed: FeedTerms | None = None
    sharing_posture: SharingPosture = SharingPosture.PAIR_SCOPED
    introductions: IntroductionTerms = IntroductionTerms()
    _hash: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        signers = () if self.revocation_feed is None else self.revocation_feed.signers
        issuers = [issuer.public_key for issuer in self.trusted_issuers]
        _require_some(issuers, MAX_ISSUERS, least=1)
        _require_some(signers, MAX_SIGNERS)
        _require_some(self.max_scope.tool_servers, MAX_TOOL_SERVERS)
        _require_some([(each.tool, each.tool_server) for each in self.max_scope.tools], MAX_TOOLS)
        for bound in self.max_scope.tools:
            _require_bounds(bound)
        if any("*" in name for name in (*self.max_scope.tool_servers, *self.max_scope.tool_names)):
            raise ValueError("a policy names tools and servers one by one")
        if not all(key.is_prime_order for key in (*issuers, *signers)):
            raise WeakKey
        terms = self.introductions
        if terms.approval is IntroductionApproval.AUTOMATIC and not terms.allowed_subjects:
            raise ValueError("automatic approval needs subjects")
        object.__setattr__(self, "_hash", _hash(self))

    @property
    def max_staleness_seconds(self) -> int | None:
        """How old the news of revocations may be; None without a feed.

        The ceiling on evidence covers feeds as well (bilateral federation, the table of fields).
        """
        if self.revocation_feed is None:
            return None
        return min(self.revocation_feed.max_staleness_seconds, self.max_evidence_age_seconds)

    @property
    def takes_unsigned_news(self) -> bool:
        """Whether the policy says that nobody signs the news of revocations."""
        return self.revocation_feed is not None and self.revocation_feed.source is FeedSource.CHIO_SERVICE

    @property
    def poll_seconds(self) -> int | None:
        """How often the feed is read: at most a third of the ceiling, so that one lost answer closes nobody."""
        if self.revocation_feed is None or self.max_staleness_seconds is None:
            return None
        return min(self.revocation_feed.poll_seconds, max(1, self.max_staleness_seconds // 3))

    def issuer(self, key: PublicKey) -> TrustedIssuer | None:
        """Find the entry of an issuer's key."""
        return next((each for each in self.trusted_issuers if each.public_key == key), None)


def policy_hash(policy: Policy) -> str:
    """SHA-256 of what the policy means, as 64 lower-case hex digits."""
    return policy._hash  # noqa: SLF001 - computed once, when the policy was built


def policy_body(policy: Policy) -> dict[str, JSON]:
    """Build the canonical form of a policy: every field, lists without an order of their own."""
    body: dict[str, JSON] = {
        "schema": POLICY_SCHEMA,
        "partnerId": policy.partner_id,
        "trustedIssuers": _sorted(_issuer(each) for each in policy.trusted_issuers),
        "maxScope": _scope(policy.max_scope),
        "maxAutonomyTier": policy.max_autonomy_tier.value,
        "maxEvidenceAgeSeconds": policy.max_evidence_age_seconds,
        "sharingPosture": policy.sharing_posture.value,
        "introductions": {
            "approval": policy.introductions.approval.value,
            "maxValiditySeconds": policy.introductions.max_validity_seconds,
            "allowedSubjects": _sorted(policy.introductions.allowed_subjects),
            "dnsNames": _sorted(policy.introductions.dns_names),
        },
    }
    if policy.revocation_feed is not None:
        feed = policy.revocation_feed
        body["revocationFeed"] = {
            "url": feed.url,
            "source": feed.source.value,
            "signers": _sorted(key.hex for key in feed.signers),
            "pollSeconds": feed.poll_seconds,
            "maxStalenessSeconds": feed.max_staleness_seconds,
        }
    return body


def _hash(policy: Policy) -> str:
    body = policy_body(policy)
    require_signable(body)
    return sha256_hex(canonical_bytes(body))


def _scope(scope: MaxScope) -> dict[str, JSON]:
    built: dict[str, JSON] = {
        "toolServers": _sorted(scope.tool_servers),
        "tools": _sorted(_tool(each) for each in scope.tools),
    }
    if scope.budget is not None:
        built["budget"] = {"units": scope.budget.units, "currency": scope.budget.currency}
    return built


def _tool(bound: ToolBound) -> dict[str, JSON]:
    bounds: dict[str, JSON] = {
        name: ceiling if isinstance(ceiling, int) else _sorted(ceiling)
        for name, ceiling in bound.parameter_bounds.items()
    }
    built: dict[str, JSON] = {"tool": bound.tool, "parameterBounds": bounds}
    return built if bound.tool_server is None else {**built, "toolServer": bound.tool_server}


def _issuer(issuer: TrustedIssuer) -> dict[str, JSON]:
    built: dict[str, JSON] = {"publicKey": issuer.public_key.hex}
    return built if issuer.not_after is None else {**built, "notAfter": issuer.not_after}


def _sorted(values: Iterable[JSON]) -> list[JSON]:
    return sorted(values, key=canonical_bytes)


def _require_some(items: Iterable[object], limit: int, least: int = 0) -> None:
    listed = list(items)
    if not least <= len(listed) <= limit or len(set(listed)) != len(listed):
        raise ValueError("a list of the policy is too long, too short or names a thing twice")


def _require_bounds(bound: ToolBound) -> None:
    _require_some(bound.parameter_bounds, MAX_BOUNDS)
    for ceiling in bound.parameter_bounds.values():
        if isinstance(ceiling, tuple):
            _require_some(ceiling, MAX_ALLOWED_VALUES, least=1)
        elif isinstance(ceiling, bool) or ceiling < 0:
            raise ValueError("a bound is a number from 0, or a list of values")
