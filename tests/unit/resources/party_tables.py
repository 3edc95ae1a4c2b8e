"""Rows as in `manifest_tables`, for the kinds by which identities reach services."""

from typing import Any

from unit.resources.manifests import (
    CERTIFICATE,
    FINGERPRINT,
    KEY,
    PRIVATE_KEY,
    REMOVE,
    REQUEST,
    Row,
)

_PATTERN = "should match"
_NUMBER = "must not end in a number"
_ONE_FORM = "must set exactly one of issue, accept and request"
_ACCEPT: dict[str, Any] = {"identity": "client1", "introduction": '{"signed_cert": ""}', "peer": "org-b"}
_ASK: dict[str, Any] = {"identity": "client1", "peer": "org-b"}
_HOSTILE_ALIASES = (
    ("that climbs", "../x", _PATTERN),
    ("that is a path", "/x", _PATTERN),
    ("in upper case", "Org2-API", _PATTERN),
    ("with a port", "org2-api:443", _PATTERN),
    ("with a space", "org2 api", _PATTERN),
    ("with an underscore", "org2_api", _PATTERN),
    ("with a newline at the end", "org2-api\n", _PATTERN),
    ("with a dot at the end", "org2-api.", _PATTERN),
    ("with two dots", "org2..api", _PATTERN),
    ("that begins with a hyphen", "-api", _PATTERN),
    ("with letters that are not ASCII", "örg2", _PATTERN),
    ("with a NUL", "org2\x00", _PATTERN),
    ("that is an address", "127.0.0.1", _NUMBER),
    ("that is a number", "2130706433", _NUMBER),
    ("with a label of 64 characters", "a" * 64, _PATTERN),
    ("of 249 characters", ".".join(["a" * 61] * 4) + ".a", "Too long"),
    ("that is empty", "", "should be at least 1 chars long"),
)
_SERVICE_URLS = (
    ("http", "http://api.org-b.example", "must be an https URL"),
    ("user name", "https://user@api.org-b.example", "must not carry a user name or password"),
    ("query", "https://api.org-b.example?x=1", "must not have a query or fragment"),
    ("path", "https://api.org-b.example/v1", "must have no path"),
    ("slash at the end", "https://api.org-b.example/", "must have no path"),
    ("upper-case host", "https://API.org-b.example", "must be written in lower case"),
    ("IPv6", "https://[2001:db8::7]", _PATTERN),
    ("port 0", "https://api.org-b.example:0", _PATTERN),
    ("port 65536", "https://api.org-b.example:65536", _PATTERN),
    ("address as one number", "https://2130706433", _PATTERN),
    ("a label of 64 characters", f"https://{'a' * 64}.example", _PATTERN),
    ("newline", "https://api.org-b.example\n", _PATTERN),
    ("too long", "https://" + "a." * 130 + "example", "Too long"),
)


def _row(kind: str, id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return Row(f"{kind}: {id_}", kind, {path: value}, path if field is None else field, says)


def _identity(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return _row("WorkloadIdentity", id_, path, value, says, field)


def _service(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return _row("TrustedService", id_, path, value, says, field)


def _intro(id_: str, path: str, value: Any, says: str, field: str | None = None) -> Row:
    return _row("Introduction", id_, path, value, says, field)


REFUSED: tuple[Row, ...] = (
    _identity("no spec", "spec", REMOVE, "spec: Required value"),
    _identity("name too long", "metadata.name", "a" * 201, "metadata.name must be at most 200"),
    _identity("no trust domain", "spec.trustDomain", REMOVE, "Required value"),
    _identity("trust domain elsewhere", "spec.trustDomain", "other/org-a", _PATTERN),
    _identity("no subject", "spec.subject", REMOVE, "Required value"),
    _identity("empty subject", "spec.subject", {}, "must have at least one member"),
    _identity("empty common name", "spec.subject.commonName", "", "should be at least 1 chars long"),
    _identity("common name of 65 bytes", "spec.subject.commonName", "ö" * 33, "must be at most 64 bytes"),
    _identity("common name with a direction mark", "spec.subject.commonName", "a\u202eb", _PATTERN),
    _identity("country in lower case", "spec.subject.country", "de", _PATTERN),
    _identity("dns name twice", "spec.dnsNames", ["a.example", "a.example"], "Duplicate value"),
    _identity(
        "65 dns names", "spec.dnsNames", [f"a{n}.example" for n in range(65)], "must have at most 64 items"
    ),
    *(
        _identity(f"dns name {name}", "spec.dnsNames", [value], says, "spec.dnsNames[0]")
        for name, value, says in (
            ("with a wildcard", "*.example", _PATTERN),
            ("in upper case", "A.example", _PATTERN),
            ("that is an address", "192.0.2.1", _NUMBER),
            ("that is an IPv6 address", "2001:db8::7", _PATTERN),
            ("with a dot at the end", "a.example.", _PATTERN),
            ("with a newline", "a.example\n", _PATTERN),
        )
    ),
    _identity("unknown algorithm", "spec.algorithm", "RSA1024", "Unsupported value"),
    _identity("ten minutes less a second", "spec.validitySeconds", 599, "greater than or equal to 600"),
    _identity("more than a year", "spec.validitySeconds", 31_536_001, "less than or equal to 31536000"),
    _identity("validity as text", "spec.validitySeconds", "600", "must be of type integer"),
    _identity("unknown source", "spec.key.source", "Vault", "Unsupported value"),
    _identity(
        "provided key without its Secret",
        "spec.key",
        {"source": "Provided"},
        "must give secretName for source",
    ),
    _identity(
        "Secret for a key that is made", "spec.key", {"secretName": "k"}, "must give secretName for source"
    ),
    _identity(
        "names without their mode", "spec.services", {"names": ["a"]}, "must give names for mode Listed"
    ),
    _identity("service twice", "spec.services", {"mode": "Listed", "names": ["a", "a"]}, "Duplicate value"),
    _identity("client twice", "spec.clients", ["self", "self"], "Duplicate value"),
    _identity("65 clients", "spec.clients", [f"org-{n}" for n in range(65)], "must have at most 64 items"),
    _identity("client elsewhere", "spec.clients", ["other/org-b"], _PATTERN, "spec.clients[0]"),
    _identity("per-service TLS as a number", "spec.perServiceTLS", 1, "must be of type string"),
    _identity(
        "rollout of a Job",
        "spec.rollouts",
        [{"kind": "Job", "name": "a"}],
        "Unsupported value",
        "spec.rollouts[0]",
    ),
    _identity(
        "rollout without a name",
        "spec.rollouts",
        [{"kind": "Deployment"}],
        "Required value",
        "spec.rollouts[0]",
    ),
    _identity(
        "rollout twice",
        "spec.rollouts",
        [{"kind": "Deployment", "name": "a"}] * 2,
        "must not list the same workload twice",
    ),
    _identity(
        "17 rollouts",
        "spec.rollouts",
        [{"kind": "Deployment", "name": f"a{n}"} for n in range(17)],
        "must have at most 16 items",
    ),
    _service("no url", "spec.url", REMOVE, "Required value"),
    *(_service(f"alias {name}", "spec.alias", alias, says) for name, alias, says in _HOSTILE_ALIASES),
    *(_service(f"url: {name}", "spec.url", url, says) for name, url, says in _SERVICE_URLS),
    Row(
        "TrustedService: name that cannot be an alias",
        "TrustedService",
        {"metadata.name": "api.7"},
        "metadata.name",
        "metadata.name cannot be the alias",
    ),
    Row(
        "TrustedService: name with a label of 64 characters",
        "TrustedService",
        {"metadata.name": "a" * 64},
        "metadata.name",
        "metadata.name cannot be the alias",
    ),
    _service("peer elsewhere", "spec.peer", "other/org-b", _PATTERN),
    _service("no verifier at all", "spec.verifier", {}, "must set exactly one of webPKI"),
    _service(
        "two verifiers",
        "spec.verifier",
        {"webPKI": {}, "fingerprint": {}},
        "must set exactly one of webPKI, certificateAuthority and fingerprint",
    ),
    _service("authority without one", "spec.verifier", {"certificateAuthority": {}}, "Required value"),
    _service(
        "authority that is a private key",
        "spec.verifier",
        {"certificateAuthority": {"pem": CERTIFICATE + PRIVATE_KEY}},
        _PATTERN,
        "spec.verifier.certificateAuthority.pem",
    ),
    _service(
        "fingerprint in upper-case hex",
        "spec.verifier",
        {"fingerprint": {"values": ["SHA256:" + "5A" * 32]}},
        _PATTERN,
        "spec.verifier.fingerprint.values[0]",
    ),
    _service("unknown transport", "spec.transport", "Plain", "Unsupported value"),
    _service("authority twice", "spec.authorities", ["self", "self"], "Duplicate value"),
    _service(
        "17 authorities", "spec.authorities", [f"org-{n}" for n in range(17)], "must have at most 16 items"
    ),
    _service(
        "token Secret elsewhere",
        "spec.bearerTokenSecretRef",
        {"name": "other/token"},
        _PATTERN,
        "spec.bearerTokenSecretRef.name",
    ),
    _intro("no form", "spec", {}, _ONE_FORM),
    _intro("two forms", "spec.request", _ASK, _ONE_FORM, "spec"),
    _intro("no trust domain", "spec.issue.trustDomain", REMOVE, "Required value"),
    _intro("no subject", "spec.issue.subject", REMOVE, "Required value"),
    *(
        _intro(f"subject that is {name}", "spec.issue.subject", value, says)
        for name, value, says in (
            ("a private key", PRIVATE_KEY, _PATTERN),
            ("a certificate with its private key", CERTIFICATE + PRIVATE_KEY, _PATTERN),
            ("two certificates", CERTIFICATE * 2, _PATTERN),
            ("words", "client 1", _PATTERN),
            ("empty", "", "should be at least 1 chars long"),
            ("too long", "A" * 32_769, "Too long"),
        )
    ),
    *(
        _intro(
            f"service alias {name}",
            "spec.issue.services",
            [{"alias": alias, "url": "https://api.example"}],
            says,
            "spec.issue.services[0].alias",
        )
        for name, alias, says in _HOSTILE_ALIASES
    ),
    _intro(
        "service url with a path",
        "spec.issue.services",
        [{"alias": "a", "url": "https://api.example/v1"}],
        "must have no path",
        "spec.issue.services[0].url",
    ),
    _intro(
        "one alias for two services",
        "spec.issue.services",
        [{"alias": "a", "url": "https://a.example"}, {"alias": "a", "url": "https://b.example"}],
        "Duplicate value",
        "spec.issue.services",
    ),
    _intro(
        "65 services",
        "spec.issue.services",
        [{"alias": f"a{n}", "url": "https://a.example"} for n in range(65)],
        "must have at most 64 items",
    ),
    _intro("approval by another word", "spec.issue.approval", "Yes", "Unsupported value"),
    _intro("issued for a second", "spec.issue.validitySeconds", 1, "greater than or equal to 600"),
    *(
        _intro(f"accept: {name}", "spec", {"accept": _ACCEPT | change}, says, "spec.accept")
        for name, change, says in (
            ("two documents", {"introductionSecretRef": {"name": "a"}}, "exactly one of introduction and"),
            ("peer and fingerprint", {"authorityFingerprint": FINGERPRINT}, "exactly one of peer and"),
            ("a document that is no object", {"introduction": "[]"}, _PATTERN),
            ("a document that is too long", {"introduction": "{" + " " * 131_071 + "}"}, "Too long"),
            ("identity elsewhere", {"identity": "other/client1"}, _PATTERN),
        )
    ),
    *(
        _intro(f"accept: {name}", "spec", {"accept": accept}, says, "spec.accept")
        for name, accept, says in (
            ("no document", {"identity": "a", "peer": "b"}, "exactly one of introduction and"),
            ("nobody's authority", {"identity": "a", "introduction": "{}"}, "exactly one of peer and"),
            ("no identity", {"introduction": "{}", "peer": "b"}, "Required value"),
            (
                "fingerprint as OpenSSH writes it",
                {
                    "identity": "a",
                    "introduction": "{}",
                    "authorityFingerprint": "SHA256:9CmGqvkRsoKGQuXkRjSO1bZpGQTFzFEFE5g4rp8eKyQ",
                },
                _PATTERN,
            ),
        )
    ),
    *(
        _intro(f"request: {name}", "spec", {"request": _ASK | change}, says, "spec.request")
        for name, change, says in (
            ("service twice", {"services": ["a", "a"]}, "Duplicate value"),
            ("65 services", {"services": [f"a{n}" for n in range(65)]}, "must have at most 64 items"),
            ("hostile alias", {"services": ["../x"]}, _PATTERN),
            ("more than a year", {"validitySeconds": 31_536_001}, "less than or equal to 31536000"),
        )
    ),
    _intro("request: no peer", "spec", {"request": {"identity": "a"}}, "Required value", "spec.request"),
)

_FULL_IDENTITY: dict[str, Any] = {
    "trustDomain": "org-a",
    "subject": {
        "commonName": "client1",
        "organization": "Örg A",
        "organizationalUnit": "Research",
        "country": "DE",
        "stateOrProvince": "Berlin",
        "locality": "Berlin",
        "userId": "c1",
        "pseudonym": "one",
    },
    "dnsNames": ["client1.org-a.svc", "localhost"],
    "algorithm": "Ed25519",
    "validitySeconds": 600,
    "key": {"source": "Provided", "secretName": "client1-request"},
    "services": {"mode": "Listed", "names": ["org2-api"]},
    "clients": ["self", "org-b"],
    "perServiceTLS": "Enabled",
    "rollouts": [{"kind": "Deployment", "name": "client1"}, {"kind": "StatefulSet", "name": "client1"}],
}
_FULL_SERVICE: dict[str, Any] = {
    "alias": "api.org2",
    "url": "https://api.org-b.example:9443",
    "peer": "org-b",
    "verifier": {"fingerprint": {"values": [FINGERPRINT, f"ed25519:{KEY}"]}},
    "transport": "RawKey",
    "authorities": ["self", "org-b"],
    "bearerTokenSecretRef": {"name": "org2-token", "key": "token"},
}
_FULL_ISSUE: dict[str, Any] = {
    "trustDomain": "org-a",
    "subject": REQUEST,
    "peer": "org-b",
    "services": [{"alias": "org1-api", "url": "https://192.0.2.7:9443"}, {"alias": "b", "url": "https://b"}],
    "validitySeconds": 31_536_000,
    "approval": "Approved",
}

ACCEPTED: tuple[Row, ...] = (
    Row("WorkloadIdentity: as short as it can be", "WorkloadIdentity", {}),
    Row("WorkloadIdentity: every field", "WorkloadIdentity", {"spec": _FULL_IDENTITY}),
    Row("WorkloadIdentity: nobody connects", "WorkloadIdentity", {"spec.clients": []}),
    Row("WorkloadIdentity: sees nothing", "WorkloadIdentity", {"spec.services": {"mode": "Listed"}}),
    Row("WorkloadIdentity: a pseudonym alone", "WorkloadIdentity", {"spec.subject": {"pseudonym": "one"}}),
    Row("TrustedService: as short as it can be", "TrustedService", {"spec": {"url": "https://a.example"}}),
    Row("TrustedService: every field", "TrustedService", {"spec": _FULL_SERVICE}),
    Row(
        "TrustedService: a raw key of nobody",
        "TrustedService",
        {"spec.peer": REMOVE, "spec.transport": "RawKey"},
    ),
    Row("TrustedService: longest alias", "TrustedService", {"spec.alias": ".".join(["a" * 61] * 4)}),
    Row(
        "TrustedService: another alias than a name that cannot be one",
        "TrustedService",
        {"metadata.name": "api.7", "spec.alias": "api"},
    ),
    *(
        Row(f"TrustedService: verifier {name}", "TrustedService", {"spec.verifier": verifier})
        for name, verifier in (
            ("webPKI", {"webPKI": {}}),
            ("bundle", {"webPKI": {"caBundle": CERTIFICATE * 2}}),
            ("authority", {"certificateAuthority": {"pem": CERTIFICATE}}),
            ("fingerprint", {"fingerprint": {}}),
        )
    ),
    *(
        Row(f"TrustedService: URL {url}", "TrustedService", {"spec.url": url})
        for url in ("https://localhost", "https://127.0.0.1:65535", "https://xn--trst-0ra.example:1")
    ),
    Row("Introduction: as short as it can be", "Introduction", {}),
    Row("Introduction: every field of issue", "Introduction", {"spec": {"issue": _FULL_ISSUE}}),
    *(
        Row(f"Introduction: subject as {name}", "Introduction", {"spec.issue.subject": subject})
        for name, subject in (
            ("request", REQUEST),
            (
                "request as older tools write it",
                REQUEST.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
            ),
            ("certificate of Windows", "\r\n" + CERTIFICATE.replace("\n", "\r\n")),
            ("base64", "MIIBszCCAVmgAwIBAgIUZm9v/+=="),
            ("URL-safe base64 with a newline", "MIIBszCCAVmgAwIBAgIUZm9v-_==\n"),
        )
    ),
    Row("Introduction: accept by peer", "Introduction", {"spec": {"accept": _ACCEPT}}),
    Row(
        "Introduction: accept from a Secret by fingerprint",
        "Introduction",
        {
            "spec": {
                "accept": {
                    "identity": "client1",
                    "introductionSecretRef": {"name": "from-org-b", "key": "introduction.json"},
                    "authorityFingerprint": FINGERPRINT,
                }
            }
        },
    ),
    Row("Introduction: request", "Introduction", {"spec": {"request": _ASK}}),
    Row(
        "Introduction: every field of request",
        "Introduction",
        {"spec": {"request": _ASK | {"services": ["org2-api", "b"], "validitySeconds": 600}}},
    ),
)
