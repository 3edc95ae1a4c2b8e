"""Manifests and what must become of them, for both judges: the API server and the operator's own parsing.

A row changes one thing of a good manifest. `REFUSED` rows say which field is at fault and a piece of the API
server's sentence; the operator must refuse the same manifest at the same field. `OPERATOR_ONLY` rows need
arithmetic that CEL cannot do; the API server lets them pass.
"""

from typing import Any

from unit.resources.manifests import (
    CERTIFICATE,
    DID_KEY,
    FINGERPRINT,
    KEY,
    MIXED_ORDER,
    OTHER_KEY,
    PRIVATE_KEY,
    REMOVE,
    SMALL_ORDER,
    SPKI_PEM,
    Row,
)


def _domain(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return Row(f"TrustDomain: {id_}", "TrustDomain", {path: value}, path if field is None else field, says)


def _peer(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return Row(
        f"FederationPeer: {id_}", "FederationPeer", {path: value}, path if field is None else field, says
    )


_PATTERN = "should match"
_SMALL = "is a small-order point, for which anybody can make signatures"

_URLS = (
    ("http", "http://trust.org-a.example", "must be an https URL"),
    ("no scheme", "trust.org-a.example:8940", "must be an https URL"),
    ("upper-case scheme", "HTTPS://trust.org-a.example", "must be an https URL"),
    ("user name", "https://user@trust.org-a.example", "must not carry a user name or password"),
    (
        "user name and password",
        "https://user:word@trust.org-a.example",
        "must not carry a user name or password",
    ),
    (
        "a host hidden behind a user name",
        "https://trust.org-a.example@evil.example",
        "must not carry a user name",
    ),
    ("query", "https://trust.org-a.example?x=1", "must not have a query or fragment"),
    ("fragment", "https://trust.org-a.example#x", "must not have a query or fragment"),
    ("path", "https://trust.org-a.example/v1", "must have no path"),
    ("slash at the end", "https://trust.org-a.example/", "must have no path"),
    ("upper-case host", "https://Trust.Org-A.example", "must be written in lower case"),
    ("no host", "https://", _PATTERN),
    ("port alone", "https://:8940", _PATTERN),
    ("port 0", "https://trust.org-a.example:0", _PATTERN),
    ("port 65536", "https://trust.org-a.example:65536", _PATTERN),
    ("port with a leading zero", "https://trust.org-a.example:08940", _PATTERN),
    ("empty port", "https://trust.org-a.example:", _PATTERN),
    ("two ports", "https://trust.org-a.example:1:2", _PATTERN),
    ("address as one number", "https://2130706433", _PATTERN),
    ("address in hex", "https://0x7f000001", _PATTERN),
    ("address with two parts", "https://127.1", _PATTERN),
    ("address in octal", "https://0177.0.0.1", _PATTERN),
    ("address past 255", "https://127.0.0.256", _PATTERN),
    ("IPv6 without brackets", "https://::1", _PATTERN),
    ("IPv6 with a zone", "https://[fe80::1%25eth0]", _PATTERN),
    ("dot at the end", "https://trust.org-a.example.", _PATTERN),
    ("two dots", "https://trust..example", _PATTERN),
    ("label that begins with a hyphen", "https://-trust.example", _PATTERN),
    ("underscore", "https://trust_org.example", _PATTERN),
    ("backslash", "https://trust.org-a.example\\evil", _PATTERN),
    ("percent-encoding", "https://trust%2eorg-a.example", _PATTERN),
    ("letters that are not ASCII", "https://tr\u00fcst.example", _PATTERN),
    ("a dot that is not ASCII", "https://trust\u3002example", _PATTERN),
    ("space", "https://trust.org-a.example ", _PATTERN),
    ("newline", "https://trust.org-a.example\n", _PATTERN),
    ("header splitting", "https://trust.org-a.example\r\nHost: evil", _PATTERN),
    ("too long", "https://" + "a." * 150 + "example", "Too long"),
    ("not a text", 8940, "must be of type string"),
)

_IDS = (
    ("empty", "", "should be at least 1 chars long"),
    ("with a space", "org a", _PATTERN),
    ("with a slash", "org/a", _PATTERN),
    ("with a percent sign", "org%2fa", _PATTERN),
    ("with a newline at the end", "org-a\n", _PATTERN),
    ("with letters that are not ASCII", "\u00f3rg-a", _PATTERN),
    ("with a NUL", "org\x00a", _PATTERN),
    ("too long", "a" * 254, "Too long"),
    ("a number", 7, "must be of type string"),
)

_NAMES = (
    ("upper case", "Org-A"),
    ("a slash", "other/org-a"),
    ("a leading dot", ".org-a"),
    ("a newline at the end", "org-a\n"),
)

REFUSED: tuple[Row, ...] = (
    # TrustDomain
    _domain("no spec", "spec", REMOVE, "Required value"),
    _domain("no kernel id", "spec.kernelId", REMOVE, "Required value"),
    *(_domain(f"kernel id {name}", "spec.kernelId", value, says) for name, value, says in _IDS),
    _domain("operator id with a space", "spec.operatorId", "org a", _PATTERN),
    _domain("name too long", "metadata.name", "a" * 201, "metadata.name must be at most 200 characters long"),
    _domain("endpoint without a URL", "spec.endpoint", {}, "Required value", "spec.endpoint.url"),
    *(_domain(f"URL: {name}", "spec.endpoint.url", value, says) for name, value, says in _URLS),
    *(
        _domain(
            f"receipt log: {name}", "spec.did.receiptLogUrls", [value], says, "spec.did.receiptLogUrls[0]"
        )
        for name, value, says in (
            ("no TLS", "http://log.org-a.example", "must be an https URL"),
            ("a user", "https://user@log.org-a.example", "must not carry a user name or password"),
            ("a query", "https://log.org-a.example/v1?x", "must not have a query or fragment"),
            ("a slash at the end", "https://log.org-a.example/", _PATTERN),
            ("an empty part of the path", "https://log.org-a.example/a//b", _PATTERN),
        )
    ),
    _domain(
        "one receipt log twice",
        "spec.did.receiptLogUrls",
        ["https://log.org-a.example"] * 2,
        "Duplicate value",
    ),
    _domain(
        "nine receipt logs",
        "spec.did.receiptLogUrls",
        [f"https://log-{number}.org-a.example" for number in range(9)],
        "Too many",
    ),
    _domain("unknown source", "spec.endpoint.certificate.source", "Skipped", "Unsupported value"),
    *(
        _domain(f"Secret's name with {name}", "spec.endpoint.certificate.secretName", value, _PATTERN)
        for name, value in _NAMES
    ),
    *(
        _domain(f"signing key's Secret with {name}", "spec.signingKey.secretName", value, _PATTERN)
        for name, value in _NAMES
    ),
    _domain("next key's Secret with a slash", "spec.signingKey.nextSecretName", "a/b", _PATTERN),
    _domain(
        "one Secret for both keys",
        "spec.signingKey",
        {"secretName": "one", "nextSecretName": "one"},
        "must name different Secrets",
        "spec",
    ),
    Row(
        "TrustDomain: one Secret for the authority and the endpoint",
        "TrustDomain",
        {"spec.certificateAuthority.secretName": "one", "spec.endpoint.certificate.secretName": "one"},
        "spec",
        "must name different Secrets",
    ),
    _domain("RSA authority", "spec.certificateAuthority.algorithm", "RSA2048", "Unsupported value"),
    _domain(
        "authority for a second",
        "spec.certificateAuthority.validitySeconds",
        1,
        "greater than or equal to 3600",
    ),
    _domain(
        "authority for 11 years",
        "spec.certificateAuthority.validitySeconds",
        346_896_000,
        "less than or equal",
    ),
    _domain("validity as text", "spec.certificateAuthority.validitySeconds", "1y", "must be of type integer"),
    _domain("unknown authority source", "spec.certificateAuthority.source", "None", "Unsupported value"),
    _domain("blank organisation", "spec.certificateAuthority.subject.organization", " ", _PATTERN),
    _domain("empty organisation", "spec.certificateAuthority.subject.organization", "", "at least 1 chars"),
    _domain(
        "organisation with a newline", "spec.certificateAuthority.subject.organization", "Org\nA", _PATTERN
    ),
    _domain(
        "direction mark in a name", "spec.certificateAuthority.subject.commonName", "Org\u202eA", _PATTERN
    ),
    _domain(
        "organisation of 65 characters",
        "spec.certificateAuthority.subject.organization",
        "a" * 65,
        "Too long",
    ),
    _domain(
        "organisation of 66 bytes",
        "spec.certificateAuthority.subject.organization",
        "\u00f6" * 33,
        "at most 64 bytes",
    ),
    _domain("country in words", "spec.certificateAuthority.subject.country", "Germany", "Too long"),
    _domain("country in lower case", "spec.certificateAuthority.subject.country", "de", _PATTERN),
    _domain("window of 59 s", "spec.handshake.rotationWindowSeconds", 59, "greater than or equal to 60"),
    _domain(
        "window past 30 days",
        "spec.handshake.rotationWindowSeconds",
        2_592_001,
        "less than or equal to 2592000",
    ),
    _domain("window as text", "spec.handshake.rotationWindowSeconds", "12h", "must be of type integer"),
    _domain("window as a fraction", "spec.handshake.rotationWindowSeconds", 60.5, "must be of type integer"),
    _domain("skew of 901 s", "spec.handshake.maxClockSkewSeconds", 901, "less than or equal to 900"),
    _domain("negative skew", "spec.handshake.maxClockSkewSeconds", -1, "greater than or equal to 0"),
    # FederationPeer
    _peer("no spec", "spec", REMOVE, "Required value"),
    _peer("no trust domain", "spec.trustDomain", REMOVE, "Required value"),
    _peer("no kernel id", "spec.kernelId", REMOVE, "Required value"),
    _peer("name too long", "metadata.name", "a" * 201, "metadata.name must be at most 200 characters long"),
    *(_peer(f"kernel id {name}", "spec.kernelId", value, says) for name, value, says in _IDS),
    *(_peer(f"trust domain with {name}", "spec.trustDomain", value, _PATTERN) for name, value in _NAMES),
    _peer("trust domain of another namespace", "spec.trustDomain", "other/org-a", _PATTERN),
    _peer("direction mark in the display name", "spec.displayName", "Org\u202eB", _PATTERN),
    _peer("zero-width space in the display name", "spec.displayName", "Org\u200bB", _PATTERN),
    _peer("display name with a newline", "spec.displayName", "Org\nB", _PATTERN),
    _peer("display name with a space before", "spec.displayName", " Org B", _PATTERN),
    _peer("display name too long", "spec.displayName", "a" * 129, "Too long"),
    _peer(
        "five anchors",
        "spec.trustAnchors",
        [{"publicKey": f"{number:02x}" + KEY[2:]} for number in range(5)],
        "must have at most 4 items",
    ),
    _peer(
        "one anchor twice",
        "spec.trustAnchors",
        [{"publicKey": f"ed25519:{KEY}"}, {"publicKey": f"ed25519:{KEY}"}],
        "Duplicate value",
    ),
    _peer(
        "one anchor in two spellings",
        "spec.trustAnchors",
        [{"publicKey": f"0x{KEY.upper()}"}, {"publicKey": f"did:chio:{KEY}"}],
        "must not list the same key twice, in any spelling",
    ),
    _peer(
        "anchor without a key", "spec.trustAnchors", [{}], "Required value", "spec.trustAnchors[0].publicKey"
    ),
    *(
        _peer(
            f"anchor {name}",
            "spec.trustAnchors",
            [{"publicKey": value}],
            says,
            "spec.trustAnchors[0].publicKey",
        )
        for name, value, says in (
            ("of 63 digits", KEY[:63], _PATTERN),
            ("of 65 digits", KEY + "0", _PATTERN),
            ("with a newline at the end", KEY + "\n", _PATTERN),
            ("with a space before", " " + KEY, _PATTERN),
            ("with colons", ":".join(KEY[at : at + 2] for at in range(0, 64, 2)), _PATTERN),
            ("as a certificate's fingerprint", FINGERPRINT, _PATTERN),
            ("of another algorithm", "p256:" + KEY, _PATTERN),
            ("with two prefixes", "ed25519:0x" + KEY, _PATTERN),
            ("as a private key", PRIVATE_KEY, _PATTERN),
            ("as a did:key of another type", "did:key:z6LS" + DID_KEY[12:], _PATTERN),
            ("as a did:key with a letter that base58 lacks", DID_KEY[:-1] + "l", _PATTERN),
            ("as a did:web", "did:web:" + "a" * 60, _PATTERN),
            ("in text around", "key " + KEY + " end", _PATTERN),
            *((f"{point[:8]}\u2026{point[-2:]} (small order)", point, _SMALL) for point in SMALL_ORDER),
            ("of small order, in upper case", "0x" + SMALL_ORDER[10].upper(), _SMALL),
            ("of small order, with ed25519:", "ed25519:" + SMALL_ORDER[12], _SMALL),
            ("of small order, as did:chio", "did:chio:" + SMALL_ORDER[2], _SMALL),
        )
    ),
    _peer("endpoint without a URL", "spec.endpoint.url", REMOVE, "Required value"),
    _peer("endpoint without a verifier", "spec.endpoint.verifier", REMOVE, "Required value"),
    *(_peer(f"URL: {name}", "spec.endpoint.url", value, says) for name, value, says in _URLS),
    _peer("no verifier in the union", "spec.endpoint.verifier", {}, "must set exactly one of webPKI"),
    _peer(
        "two verifiers",
        "spec.endpoint.verifier",
        {"webPKI": {}, "certificateAuthority": {"pem": CERTIFICATE}},
        "must set exactly one of webPKI",
    ),
    _peer(
        "three verifiers",
        "spec.endpoint.verifier",
        {"webPKI": {}, "certificateAuthority": {"pem": CERTIFICATE}, "fingerprint": {}},
        "must set exactly one of webPKI",
    ),
    Row(
        "FederationPeer: verifier fingerprint without fingerprints",
        "FederationPeer",
        {"spec.endpoint.verifier": {"fingerprint": {}}, "spec.fingerprints": REMOVE},
        "spec",
        "must list a SHA256: entry in fingerprints",
    ),
    Row(
        "FederationPeer: verifier fingerprint with a raw key only",
        "FederationPeer",
        {"spec.endpoint.verifier": {"fingerprint": {}}, "spec.fingerprints": [f"ed25519:{KEY}"]},
        "spec",
        "must list a SHA256: entry in fingerprints",
    ),
    *(
        _peer(
            f"authority {name}",
            "spec.endpoint.verifier",
            {"certificateAuthority": {"pem": value}},
            says,
            "spec.endpoint.verifier.certificateAuthority.pem",
        )
        for name, value, says in (
            ("empty", "", "should be at least 1 chars long"),
            ("that is no PEM", "MIIB", _PATTERN),
            ("as a private key", PRIVATE_KEY, _PATTERN),
            ("with a private key after it", CERTIFICATE + PRIVATE_KEY, _PATTERN),
            ("with text before it", "Org B\n" + CERTIFICATE, _PATTERN),
            ("past 64 KiB", CERTIFICATE * 800, "Too long"),
        )
    ),
    _peer(
        "empty bundle",
        "spec.endpoint.verifier",
        {"webPKI": {"caBundle": ""}},
        "should be at least 1 chars long",
        "spec.endpoint.verifier.webPKI.caBundle",
    ),
    _peer(
        "token Secret without a name",
        "spec.endpoint.bearerTokenSecretRef",
        {"key": "token"},
        "Required value",
        "spec.endpoint.bearerTokenSecretRef.name",
    ),
    _peer(
        "token Secret of another namespace",
        "spec.endpoint.bearerTokenSecretRef",
        {"name": "other/token"},
        _PATTERN,
        "spec.endpoint.bearerTokenSecretRef.name",
    ),
    _peer(
        "token key with a slash",
        "spec.endpoint.bearerTokenSecretRef",
        {"name": "org-b", "key": "../token"},
        _PATTERN,
        "spec.endpoint.bearerTokenSecretRef.key",
    ),
    _peer("fingerprint twice", "spec.fingerprints", [FINGERPRINT, FINGERPRINT], "Duplicate value"),
    _peer(
        "seventeen fingerprints",
        "spec.fingerprints",
        [f"SHA256:{number:064x}" for number in range(17)],
        "must have at most 16 items",
    ),
    *(
        _peer(f"fingerprint {name}", "spec.fingerprints", [value], says, "spec.fingerprints[0]")
        for name, value, says in (
            ("in upper-case hex", "SHA256:" + "5A" * 32, _PATTERN),
            ("with the wrong prefix", "sha256:" + "5a" * 32, _PATTERN),
            ("with colons", "SHA256:" + ":".join(["5a"] * 32), "Too long"),
            (
                "as OpenSSH writes it",
                "SHA256:9CmGqvkRsoKGQuXkRjSO1bZpGQTFzFEFE5g4rp8eKyQ",
                "as OpenSSH writes it",
            ),
            ("with a newline at the end", FINGERPRINT + "\n", _PATTERN),
            ("of a small-order key", "ed25519:" + SMALL_ORDER[3], _SMALL),
        )
    ),
    _peer("token hash in upper case", "spec.authTokenHash", "sha256:" + "5A" * 32, _PATTERN),
    _peer("token hash without its prefix", "spec.authTokenHash", "5a" * 32, _PATTERN),
    _peer("token instead of its hash", "spec.authTokenHash", "alk_0123456789", _PATTERN),
    _peer("scope twice", "spec.scopes", ["relay:connect", "relay:connect"], "Duplicate value"),
    _peer("scope with a space", "spec.scopes", ["relay connect"], _PATTERN, "spec.scopes[0]"),
    _peer("65 scopes", "spec.scopes", [f"s{n}" for n in range(65)], "must have at most 64 items"),
    _peer("kind of resource with a slash", "spec.resources", {"a/b": ["x"]}, "must name kinds with 1 to 63"),
    _peer("kind of resource that is empty", "spec.resources", {"": ["x"]}, "must name kinds with 1 to 63"),
    _peer("kind of resource too long", "spec.resources", {"a" * 64: ["x"]}, "must name kinds with 1 to 63"),
    _peer(
        "33 kinds of resources", "spec.resources", {f"k{n}": [] for n in range(33)}, "must have at most 32"
    ),
    _peer("resource twice", "spec.resources", {"service": ["a", "a"]}, "Duplicate value", "spec.resources"),
    _peer(
        "pinned authorities without one",
        "spec.certificateAuthorities",
        {"mode": "Pinned"},
        "must give pems for mode Pinned",
    ),
    _peer(
        "announced authorities with one",
        "spec.certificateAuthorities",
        {"pems": [CERTIFICATE]},
        "must give pems for mode Pinned, and only then",
    ),
    _peer(
        "pinned authority that is a private key",
        "spec.certificateAuthorities",
        {"mode": "Pinned", "pems": [PRIVATE_KEY]},
        _PATTERN,
        "spec.certificateAuthorities.pems[0]",
    ),
    _peer("unknown state", "spec.state", "Disabled", "Unsupported value"),
    _peer("unknown onStale", "spec.onStale", "Ignore", "Unsupported value"),
    _peer("window of 59 s", "spec.handshake.rotationWindowSeconds", 59, "greater than or equal to 60"),
    _peer("skew past a day", "spec.handshake.maxClockSkewSeconds", 86_401, "less than or equal to 86400"),
)

OPERATOR_ONLY: tuple[Row, ...] = (
    Row(
        "a small-order key as did:key",
        "FederationPeer",
        {"spec.trustAnchors": [{"publicKey": "did:key:z6MkeXATEjyXENzBXBxgC5EHk2JE5aqd7qMGGtDpLUH1e2Sj"}]},
        "spec.trustAnchors[0].publicKey",
    ),
    Row(
        "a point of mixed order",
        "FederationPeer",
        {"spec.trustAnchors": [{"publicKey": MIXED_ORDER}]},
        "spec.trustAnchors[0].publicKey",
    ),
    Row(
        "no point of the curve",
        "FederationPeer",
        {"spec.trustAnchors": [{"publicKey": "02" + "00" * 31}]},
        "spec.trustAnchors[0].publicKey",
    ),
    Row(
        "one anchor as hex and as did:key",
        "FederationPeer",
        {"spec.trustAnchors": [{"publicKey": KEY}, {"publicKey": DID_KEY}]},
        "spec.trustAnchors",
    ),
    Row(
        "a raw key's fingerprint that is no point",
        "FederationPeer",
        {"spec.fingerprints": ["ed25519:02" + "00" * 31]},
        "spec.fingerprints[0]",
    ),
)

_FULL_DOMAIN: dict[str, Any] = {
    "kernelId": "Org_A.kernel:1",
    "operatorId": "org-a",
    "endpoint": {
        "url": "https://trust.org-a.example:8940",
        "certificate": {"source": "Provided", "secretName": "org-a-tls"},
    },
    "signingKey": {"secretName": "org-a-signing-key", "nextSecretName": "org-a-signing-key-2"},
    "certificateAuthority": {
        "algorithm": "Ed25519",
        "subject": {
            "organization": "\u00d6rg A",
            "organizationalUnit": "Trust",
            "country": "DE",
            "stateOrProvince": "Berlin",
            "locality": "Berlin",
            "commonName": "Org A CA",
        },
        "validitySeconds": 31_536_000,
        "secretName": "org-a-ca",
        "source": "Provided",
    },
    "handshake": {"rotationWindowSeconds": 60, "maxClockSkewSeconds": 0},
    "did": {
        "receiptLogUrls": ["https://log.org-a.example/v1/receipts", "https://192.0.2.1:8940"],
        "passportStatusUrls": ["https://passports.org-a.example"],
    },
}
_FULL_PEER: dict[str, Any] = {
    "trustDomain": "org-a",
    "kernelId": "org-b-kernel",
    "operatorId": "org-b",
    "displayName": "Org B & Söhne",
    "trustAnchors": [{"publicKey": f"ed25519:{KEY}"}, {"publicKey": OTHER_KEY.upper()}],
    "endpoint": {
        "url": "https://trust.org-b.example:8940",
        "verifier": {"fingerprint": {}},
        "bearerTokenSecretRef": {"name": "org-b-token", "key": "token"},
    },
    "fingerprints": [f"ed25519:{KEY}", FINGERPRINT],
    "authTokenHash": "sha256:" + "5a" * 32,
    "scopes": ["relay:connect"],
    "resources": {"service": ["gitea", "registry"]},
    "certificateAuthorities": {"mode": "Pinned", "pems": [CERTIFICATE]},
    "state": "Suspended",
    "handshake": {"rotationWindowSeconds": 2_592_000, "maxClockSkewSeconds": 86_400},
    "onStale": "Retain",
}

ACCEPTED: tuple[Row, ...] = (
    Row("TrustDomain: as short as it can be", "TrustDomain", {"spec": {"kernelId": "org-a-kernel"}}),
    Row("TrustDomain: every field", "TrustDomain", {"spec": _FULL_DOMAIN}),
    Row("TrustDomain: a did as kernel id", "TrustDomain", {"spec.kernelId": f"did:chio:{KEY}"}),
    Row("TrustDomain: kernel id of 253 characters", "TrustDomain", {"spec.kernelId": "a" * 253}),
    Row("TrustDomain: name of 200 characters", "TrustDomain", {"metadata.name": "a" * 200}),
    *(
        Row(f"TrustDomain: URL {url}", "TrustDomain", {"spec.endpoint.url": url})
        for url in (
            "https://trust.org-a.example",
            "https://localhost:8940",
            "https://127.0.0.1:65535",
            "https://[::1]:1",
            "https://[2001:db8::7]",
            "https://[::ffff:192.0.2.1]:8940",
            "https://xn--trst-0ra.example",
            "https://1.org-a.example",
        )
    ),
    Row(
        "FederationPeer: as short as it can be",
        "FederationPeer",
        {"spec": {"trustDomain": "org-a", "kernelId": "org-b-kernel"}},
    ),
    Row("FederationPeer: every field", "FederationPeer", {"spec": _FULL_PEER}),
    Row("FederationPeer: no endpoint", "FederationPeer", {"spec.endpoint": REMOVE}),
    Row(
        "FederationPeer: a bundle of public authorities",
        "FederationPeer",
        {"spec.endpoint.verifier": {"webPKI": {"caBundle": CERTIFICATE * 3}}},
    ),
    Row(
        "FederationPeer: the partner's authority",
        "FederationPeer",
        {"spec.endpoint.verifier": {"certificateAuthority": {"pem": CERTIFICATE.replace("\n", "\r\n")}}},
    ),
    Row(
        "FederationPeer: four anchors",
        "FederationPeer",
        {"spec.trustAnchors": [{"publicKey": key} for key in (KEY, OTHER_KEY)]},
    ),
    *(
        Row(
            f"FederationPeer: an anchor as {name}",
            "FederationPeer",
            {"spec.trustAnchors": [{"publicKey": key}]},
        )
        for name, key in (
            ("ed25519:", f"ed25519:{KEY}"),
            ("bare hex", KEY),
            ("upper-case hex", KEY.upper()),
            ("0x", f"0x{KEY}"),
            ("did:chio", f"did:chio:{KEY}"),
            ("did:key", DID_KEY),
            ("PEM", SPKI_PEM),
            ("PEM without the last newline", SPKI_PEM.rstrip("\n")),
        )
    ),
)
