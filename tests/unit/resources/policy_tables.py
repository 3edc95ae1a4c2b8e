"""Rows as in `manifest_tables`, for FederationPolicy."""

from typing import Any

from unit.resources.manifests import (
    CERTIFICATE,
    DID_KEY,
    KEY,
    MIXED_ORDER,
    OTHER_KEY,
    REMOVE,
    SMALL_ORDER,
    Row,
)

_PATTERN = "should match"
_FEED_URL = "https://trust.org-b.example:8940/v1/revocations/feed"
_TWICE = "must not list the same key twice, in any spelling"
_BOUNDS: dict[str, Any] = {"tool": "a", "parameterBounds": {"row_limit": 10}}

FULL: dict[str, Any] = {
    "peer": "org-b",
    "partnerId": "org-b",
    "trustedIssuers": [
        {"publicKey": f"ed25519:{KEY}"},
        {"publicKey": OTHER_KEY, "notAfter": "2027-01-01T00:00:00Z"},
    ],
    "maxScope": {
        "toolServers": ["billing.org-b.internal", "reports.org-b.internal"],
        "tools": [
            {"tool": "reports.read", "parameterBounds": {"row_limit": 10_000}},
            {
                "tool": "reports.export",
                "toolServer": "reports.org-b.internal",
                "parameterBounds": {"pages": 20},
                "parameterValues": {"format": ["csv", "New York"]},
            },
        ],
        "budget": {"units": 5000, "currency": "USD"},
    },
    "maxAutonomyTier": "Delegated",
    "maxEvidenceAgeSeconds": 1800,
    "revocationFeed": {
        "url": _FEED_URL,
        "source": "SignedFeed",
        "signers": [f"0x{OTHER_KEY}", DID_KEY],
        "pollSeconds": 30,
        "maxStalenessSeconds": 900,
        "verifier": {"certificateAuthority": {"pem": CERTIFICATE}},
        "bearerTokenSecretRef": {"name": "org-b-feed", "key": "token"},
    },
    "sharingPosture": "ReexportAllowed",
    "introductions": {
        "approval": "Automatic",
        "maxValiditySeconds": 86_400,
        "allowedSubjects": ["CN=client1,O=Org B"],
        "dnsNames": ["client1.org-b.example"],
    },
}


def _row(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    name = f"FederationPolicy: {id_}"
    return Row(name, "FederationPolicy", {path: value}, path if field is None else field, says)


REFUSED: tuple[Row, ...] = (
    _row("no spec", "spec", REMOVE, "spec: Required value"),
    _row("no peer", "spec.peer", REMOVE, "Required value"),
    _row("peer elsewhere", "spec.peer", "other/org-b", _PATTERN),
    _row("no partner id", "spec.partnerId", REMOVE, "Required value"),
    _row("partner id with a space", "spec.partnerId", "org b", _PATTERN),
    _row("no issuers", "spec.trustedIssuers", REMOVE, "Required value"),
    _row("an empty list of issuers", "spec.trustedIssuers", [], "should have at least 1 items"),
    _row(
        "17 issuers",
        "spec.trustedIssuers",
        [{"publicKey": f"{n:064x}"} for n in range(16, 33)],
        "must have at most 16 items",
    ),
    _row(
        "an issuer twice, in two spellings",
        "spec.trustedIssuers",
        [{"publicKey": KEY}, {"publicKey": f"ed25519:{KEY.upper()}"}],
        _TWICE,
    ),
    _row(
        "a small-order issuer",
        "spec.trustedIssuers",
        [{"publicKey": f"ed25519:{SMALL_ORDER[0]}"}],
        "is a small-order point",
    ),
    _row(
        "an issuer of another algorithm",
        "spec.trustedIssuers",
        [{"publicKey": "p256:04" + "5a" * 64}],
        _PATTERN,
        "spec.trustedIssuers[0].publicKey",
    ),
    _row(
        "an end that is no time",
        "spec.trustedIssuers",
        [{"publicKey": KEY, "notAfter": "tomorrow"}],
        "spec.trustedIssuers[0].notAfter",
    ),
    _row("no scope", "spec.maxScope", REMOVE, "Required value"),
    _row("server with a wildcard", "spec.maxScope.toolServers", ["*"], "has no wildcards"),
    _row("server with a space", "spec.maxScope.toolServers", ["a b"], _PATTERN),
    _row("server twice", "spec.maxScope.toolServers", ["a", "a"], "Duplicate value"),
    _row(
        "65 servers", "spec.maxScope.toolServers", [f"s{n}" for n in range(65)], "must have at most 64 items"
    ),
    _row("any tool", "spec.maxScope.tools", [{"tool": "*"}], "has no wildcards"),
    _row("tool without a name", "spec.maxScope.tools", [{}], "Required value", "spec.maxScope.tools[0]"),
    _row("tool twice", "spec.maxScope.tools", [{"tool": "a"}, {"tool": "a"}], "must not list a tool twice"),
    _row(
        "tool twice on one server",
        "spec.maxScope.tools",
        [{"tool": "a", "toolServer": "s"}, _BOUNDS | {"toolServer": "s"}],
        "must not list a tool twice",
    ),
    _row(
        "129 tools",
        "spec.maxScope.tools",
        [{"tool": f"t{n}"} for n in range(129)],
        "must have at most 128 items",
    ),
    _row(
        "a bound below zero",
        "spec.maxScope.tools",
        [{"tool": "a", "parameterBounds": {"row_limit": -1}}],
        "greater than or equal to 0",
        "spec.maxScope.tools[0].parameterBounds",
    ),
    _row(
        "a bound as text",
        "spec.maxScope.tools",
        [{"tool": "a", "parameterBounds": {"row_limit": "10"}}],
        "must be of type integer",
        "spec.maxScope.tools[0].parameterBounds",
    ),
    _row(
        "no allowed value",
        "spec.maxScope.tools",
        [{"tool": "a", "parameterValues": {"format": []}}],
        "should have at least 1 items",
        "spec.maxScope.tools[0].parameterValues",
    ),
    _row(
        "an allowed value twice",
        "spec.maxScope.tools",
        [{"tool": "a", "parameterValues": {"format": ["csv", "csv"]}}],
        "Duplicate value",
        "spec.maxScope.tools[0].parameterValues",
    ),
    _row(
        "a parameter bounded twice",
        "spec.maxScope.tools",
        [_BOUNDS | {"parameterValues": {"row_limit": ["10"]}}],
        "must bound a parameter once",
        "spec.maxScope.tools[0]",
    ),
    _row(
        "33 bounds",
        "spec.maxScope.tools",
        [{"tool": "a", "parameterBounds": {f"p{n}": 1 for n in range(33)}}],
        "must have at most 32",
        "spec.maxScope.tools[0].parameterBounds",
    ),
    _row("a budget below zero", "spec.maxScope.budget", {"units": -1, "currency": "USD"}, "equal to 0"),
    _row("a budget without a currency", "spec.maxScope.budget", {"units": 1}, "Required value"),
    _row("a currency in lower case", "spec.maxScope.budget", {"units": 1, "currency": "usd"}, _PATTERN),
    _row("no tier", "spec.maxAutonomyTier", REMOVE, "Required value"),
    _row("the tier as documents spell it", "spec.maxAutonomyTier", "TIER_2_DELEGATED", "Unsupported value"),
    _row("no age", "spec.maxEvidenceAgeSeconds", 0, "greater than or equal to 1"),
    _row("an age as text", "spec.maxEvidenceAgeSeconds", "3600", "must be of type integer"),
    _row("a feed without a URL", "spec.revocationFeed", {}, "Required value"),
    *(
        _row(f"feed: {name}", "spec.revocationFeed", {"url": url}, says, "spec.revocationFeed.url")
        for name, url, says in (
            ("http", "http://trust.org-b.example/feed", "must be an https URL"),
            ("user name", "https://user@trust.org-b.example/feed", "must not carry a user name"),
            ("query", f"{_FEED_URL}?from=1", "must not have a query or fragment"),
            ("upper-case host", "https://Trust.org-b.example/feed", _PATTERN),
            ("slash at the end", "https://trust.org-b.example/feed/", _PATTERN),
            ("path that climbs", "https://trust.org-b.example/a/%2e%2e/feed", _PATTERN),
            ("newline", f"{_FEED_URL}\n", _PATTERN),
            ("too long", f"https://trust.org-b.example/{'a' * 500}", "Too long"),
        )
    ),
    _row("feed: unknown source", "spec.revocationFeed", {"url": _FEED_URL, "source": "Any"}, "Unsupported"),
    _row(
        "feed: a signer twice",
        "spec.revocationFeed",
        {"url": _FEED_URL, "signers": [KEY, f"0x{KEY}"]},
        _TWICE,
    ),
    _row(
        "feed: signers of a service that signs nothing",
        "spec.revocationFeed",
        {"url": _FEED_URL, "source": "ChioService", "signers": [KEY]},
        "must not give signers for source ChioService",
    ),
    _row("feed: polled too often", "spec.revocationFeed", {"url": _FEED_URL, "pollSeconds": 4}, "equal to 5"),
    _row(
        "feed: two verifiers",
        "spec.revocationFeed",
        {"url": _FEED_URL, "verifier": {"webPKI": {}, "fingerprint": {}}},
        "must set exactly one of webPKI",
    ),
    _row("unknown posture", "spec.sharingPosture", "Anybody", "Unsupported value"),
    _row(
        "automatic approval of anybody",
        "spec.introductions",
        {"approval": "Automatic"},
        "must list allowedSubjects for approval Automatic",
    ),
    _row(
        "introductions of a minute",
        "spec.introductions",
        {"maxValiditySeconds": 60},
        "greater than or equal to 600",
    ),
)

OPERATOR_ONLY: tuple[Row, ...] = (
    _row(
        "a mixed-order issuer",
        "spec.trustedIssuers",
        [{"publicKey": MIXED_ORDER}],
        "",
        "spec.trustedIssuers[0].publicKey",
    ),
    _row(
        "an issuer twice, as hex and as did:key",
        "spec.trustedIssuers",
        [{"publicKey": KEY}, {"publicKey": DID_KEY}],
        "",
        "spec.trustedIssuers",
    ),
)

ACCEPTED: tuple[Row, ...] = (
    Row("FederationPolicy: as short as it can be", "FederationPolicy", {"spec.maxScope": {}}),
    Row("FederationPolicy: the base", "FederationPolicy", {}),
    Row("FederationPolicy: every field", "FederationPolicy", {"spec": FULL}),
    Row(
        "FederationPolicy: a chio service's revocations",
        "FederationPolicy",
        {"spec.revocationFeed": {"url": "https://127.0.0.1:8940/v1/revocations", "source": "ChioService"}},
    ),
    Row(
        "FederationPolicy: a tool on two servers",
        "FederationPolicy",
        {
            "spec.maxScope": {
                "toolServers": ["s1", "s2"],
                "tools": [
                    {"tool": "a"},
                    {"tool": "a", "toolServer": "s1"},
                    {"tool": "a", "toolServer": "s2"},
                ],
            }
        },
    ),
    *(
        Row(f"FederationPolicy: tier {tier}", "FederationPolicy", {"spec.maxAutonomyTier": tier})
        for tier in ("Direct", "Delegated", "Autonomous")
    ),
)
