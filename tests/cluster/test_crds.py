"""The CRDs on the real API server: what it refuses, what it accepts, and what it explains.

Proves R-K13's first half (bounds, patterns, unions and immutability at admission); the second half, the same
table against the operator's own parsing, is tests/unit/resources/test_resource_tables.py.
"""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.resources.crds import build_crds
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.kinds import KINDS, parse_resource
from bilateral.resources.meta import Resource
from testbed.cluster import Cluster
from unit.resources import manifest_tables, party_tables, policy_tables
from unit.resources.manifests import (
    BASES,
    CERTIFICATE,
    FEDERATION_PEER,
    KEY,
    OTHER_KEY,
    REMOVE,
    TRUST_DOMAIN,
    Row,
    changed,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "crd-tables"
REFUSED = (*manifest_tables.REFUSED, *party_tables.REFUSED, *policy_tables.REFUSED)
ACCEPTED = (*manifest_tables.ACCEPTED, *party_tables.ACCEPTED, *policy_tables.ACCEPTED)
OPERATOR_ONLY = (*manifest_tables.OPERATOR_ONLY, *policy_tables.OPERATOR_ONLY)
PLURALS = {kind.KIND: kind.PLURAL for kind in KINDS}
REQUESTED = {"identity": "client1", "peer": "org-b", "services": ["a"]}
ACCEPTED_ONE = {"identity": "client1", "peer": "org-b", "introduction": "{}"}
ISSUED = {
    "trustDomain": "org-a",
    "subject": CERTIFICATE,
    "peer": "org-b",
    "services": [{"alias": "a", "url": "https://a.example"}],
}
EXPLAINED = {
    "TrustDomain": ("endpoint.url", "https, a host in lower case and an optional port"),
    "FederationPeer": ("endpoint.url", "https, a host in lower case and an optional port"),
    "WorkloadIdentity": ("clients", "Whose identities may connect to it: self is our own authority"),
    "TrustedService": ("verifier.fingerprint.values", "Those of the peer's fingerprints that count"),
    "Introduction": ("issue.approval", "setting it needs the verb approve"),
    "FederationPolicy": ("maxScope.tools.parameterBounds", "Numbers that parameters must not exceed"),
}
COLUMNS = {
    "tdom": "NAME READY REASON KERNEL ID AUTHORITY UNTIL AGE",
    "fpeer": "NAME READY REASON PARTNER FRESH UNTIL AGE",
    "wid": "NAME READY REASON TRUST DOMAIN UNTIL AGE",
    "tsvc": "NAME READY REASON VERIFIER PEER AGE",
    "intro": "NAME READY REASON SUBJECT UNTIL AGE",
    "fpol": "NAME READY REASON PARTNER TIER AGE",
}
PIN = {
    "publicKey": f"ed25519:{KEY}",
    "establishedAt": "2026-11-21T14:31:07Z",
    "rotationDue": "2026-11-22T02:31:07Z",
    "envelopeTimestamp": "2026-11-21T14:31:07Z",
    "envelopeNonces": ["0" * 32],
    "seal": "ab" * 32,
}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with one namespace for all rows: they are dry runs, or have names of their own."""
    assert cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).status == 201
    yield cluster
    cluster.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def _path(kind: str, name: str | None = None) -> str:
    path = f"/apis/bilateral.dev/v1alpha1/namespaces/{NAMESPACE}/{PLURALS[kind]}"
    return path if name is None else f"{path}/{name}"


def _create(
    api: Cluster, manifest: dict[str, Any], *, dry_run: bool = True
) -> tuple[int, str, dict[str, Any]]:
    query = {"dryRun": "All"} if dry_run else None
    answer = api.request("POST", _path(manifest["kind"]), manifest, query=query)
    return answer.status, answer.message, answer.json()


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_the_api_server_refuses(api: Cluster, row: Row) -> None:
    status, message, _ = _create(api, row.manifest)
    assert status == 422, message
    assert row.says in message
    if row.field not in ("spec", "metadata.name"):
        assert row.field in message
    assert "no such key" not in message
    assert "cost" not in message


@pytest.mark.parametrize("row", [*ACCEPTED, *OPERATOR_ONLY], ids=lambda row: row.id)
def test_the_api_server_accepts(api: Cluster, row: Row) -> None:
    status, message, _ = _create(api, row.manifest)
    assert status == 201, message


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.id)
def test_what_the_api_server_filled_in_means_the_same_to_the_operator(api: Cluster, row: Row) -> None:
    _, _, admitted = _create(api, row.manifest)
    ours, theirs = parse_resource(row.manifest), parse_resource(admitted)
    assert theirs.to_manifest()["spec"] == ours.to_manifest()["spec"]


@pytest.mark.parametrize(
    ("kind", "field", "value", "says"),
    [
        ("TrustDomain", "spec.kernelId", "another", "kernelId cannot be changed"),
        ("TrustDomain", "spec.kernelId", REMOVE, "spec.kernelId: Required value"),
        ("FederationPeer", "spec.kernelId", "another", "kernelId cannot be changed"),
        ("FederationPeer", "spec.kernelId", REMOVE, "spec.kernelId: Required value"),
        ("FederationPeer", "spec.trustDomain", "another", "trustDomain cannot be changed"),
        ("FederationPeer", "spec.trustDomain", REMOVE, "spec.trustDomain: Required value"),
        ("WorkloadIdentity", "spec.trustDomain", "another", "trustDomain cannot be changed"),
        ("WorkloadIdentity", "spec.subject", {"commonName": "client2"}, "subject cannot be changed"),
        ("WorkloadIdentity", "spec.algorithm", "Ed25519", "algorithm cannot be changed"),
        (
            "WorkloadIdentity",
            "spec.key",
            {"source": "Provided", "secretName": "k"},
            "source cannot be changed",
        ),
        ("TrustedService", "spec.alias", "another", "alias cannot be set or taken away later"),
        ("Introduction", "spec.issue.trustDomain", "another", "trustDomain cannot be changed"),
        ("Introduction", "spec.issue.subject", "MIIB", "subject cannot be changed"),
        ("Introduction", "spec.issue.peer", "org-b", "peer and services cannot be set or taken away later"),
        (
            "Introduction",
            "spec.issue.services",
            [{"alias": "a", "url": "https://a.example"}],
            "peer and services cannot be set or taken away later",
        ),
        ("Introduction", "spec.issue.validitySeconds", 600, "validitySeconds cannot be changed"),
        ("Introduction", "spec", {"request": REQUESTED}, "the form cannot be changed"),
        ("FederationPolicy", "spec.peer", "another", "peer cannot be changed"),
        ("FederationPolicy", "spec.partnerId", "another", "partnerId cannot be changed"),
    ],
)
def test_an_identity_field_cannot_be_changed_or_taken_away(
    api: Cluster, kind: str, field: str, value: object, says: str
) -> None:
    made = _make(api, kind)
    answer = api.request("PUT", _path(kind, made["metadata"]["name"]), changed(made, {field: value}))
    assert answer.status == 422
    assert says in answer.message


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("TrustDomain", "spec.operatorId", "another"),
        ("TrustDomain", "spec.endpoint", REMOVE),
        ("TrustDomain", "spec.signingKey", {"secretName": "org-a-signing-key-2"}),
        ("FederationPeer", "spec.trustAnchors", []),
        ("FederationPeer", "spec.endpoint", REMOVE),
        ("FederationPeer", "spec.state", "Suspended"),
        ("WorkloadIdentity", "spec.dnsNames", ["a.example"]),
        ("WorkloadIdentity", "spec.validitySeconds", 600),
        ("WorkloadIdentity", "spec.clients", []),
        ("WorkloadIdentity", "spec.perServiceTLS", "Enabled"),
        ("TrustedService", "spec.url", "https://elsewhere.example"),
        ("TrustedService", "spec.peer", REMOVE),
        ("Introduction", "spec.issue.approval", "Denied"),
        ("Introduction", "spec.issue.approval", "Approved"),
        ("FederationPolicy", "spec.trustedIssuers", [{"publicKey": OTHER_KEY}]),
        ("FederationPolicy", "spec.maxScope", {}),
        ("FederationPolicy", "spec.maxAutonomyTier", "Direct"),
    ],
)
def test_everything_else_can_be_changed(api: Cluster, kind: str, field: str, value: object) -> None:
    made = _make(api, kind)
    answer = api.request("PUT", _path(kind, made["metadata"]["name"]), changed(made, {field: value}))
    assert answer.status == 200, answer.message


@pytest.mark.parametrize(
    ("spec", "field", "value", "says"),
    [
        ({"request": REQUESTED}, "spec.request.services", ["b"], "request cannot be changed"),
        ({"request": REQUESTED}, "spec.request.services", REMOVE, "request cannot be changed"),
        ({"request": REQUESTED}, "spec.request.validitySeconds", 600, "request cannot be changed"),
        ({"accept": ACCEPTED_ONE}, "spec.accept.identity", "client2", "accept cannot be changed"),
        ({"accept": ACCEPTED_ONE}, "spec.accept.introduction", "{ }", "accept cannot be changed"),
        ({"issue": ISSUED}, "spec.issue.peer", "org-c", "peer cannot be changed"),
        ({"issue": ISSUED}, "spec.issue.peer", REMOVE, "peer and services cannot be set or taken away"),
        ({"issue": ISSUED}, "spec.issue.services", [], "services cannot be changed"),
    ],
)
def test_nothing_of_an_introduction_can_be_changed(
    api: Cluster, spec: dict[str, Any], field: str, value: object, says: str
) -> None:
    made = _make(api, "Introduction", spec)
    path = _path("Introduction", made["metadata"]["name"])
    answer = api.request("PUT", path, changed(made, {field: value}))
    assert answer.status == 422
    assert says in answer.message
    again = api.request("PUT", path, made | {"metadata": made["metadata"] | {"labels": {"team": "a"}}})
    assert again.status == 200, again.message


def test_an_alias_cannot_be_changed_or_taken_away(api: Cluster) -> None:
    spec = {"alias": "api", "url": "https://a.example"}
    made = _make(api, "TrustedService", spec)
    path = _path("TrustedService", made["metadata"]["name"])
    another = api.request("PUT", path, changed(made, {"spec.alias": "another"}))
    assert "alias cannot be changed" in another.message
    none = api.request("PUT", path, changed(made, {"spec.alias": REMOVE}))
    assert "alias cannot be set or taken away later" in none.message
    assert (another.status, none.status) == (422, 422)


def _make(api: Cluster, kind: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    manifest = copy.deepcopy(BASES[kind]) | ({} if spec is None else {"spec": spec})
    manifest["metadata"] = {"generateName": "row-"}
    status, message, made = _create(api, manifest, dry_run=False)
    assert status == 201, message
    return made


@pytest.mark.parametrize("path", ["spec", "spec.endpoint", "spec.endpoint.verifier"])
def test_kubectl_refuses_an_unknown_member(api: Cluster, path: str) -> None:
    manifest = changed(FEDERATION_PEER, {f"{path}.insecureSkipVerify": True})
    answer = _kubectl_apply(api, manifest)
    assert answer.returncode != 0
    assert f'unknown field "{path}.insecureSkipVerify"' in answer.stderr


def test_the_status_is_a_subresource(api: Cluster) -> None:
    made = _make(api, "FederationPeer")
    name, generation = made["metadata"]["name"], made["metadata"]["generation"]
    plain = api.request("PUT", _path("FederationPeer", name), made | {"status": {"pin": PIN}}).json()
    assert "pin" not in plain.get("status", {})
    written = api.request("PUT", _path("FederationPeer", name) + "/status", plain | {"status": {"pin": PIN}})
    assert written.status == 200, written.message
    assert written.json()["metadata"]["generation"] == generation
    assert written.json()["status"]["pin"] == PIN
    assert FederationPeer.parse(written.json()).status.to_wire()["pin"] == PIN


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"pin": PIN | {"publicKey": KEY}}, "status.pin.publicKey"),
        ({"pin": PIN | {"seal": "short"}}, "status.pin.seal"),
        ({"pin": PIN | {"rotationDue": "2026-11-22T02:31:07+00:00"}}, "status.pin.rotationDue"),
        ({"pin": PIN | {"rotationDue": "2026-02-30T02:31:07Z"}}, "status.pin.rotationDue"),
        ({"pin": {k: v for k, v in PIN.items() if k != "envelopeTimestamp"}}, "status.pin.envelopeTimestamp"),
        ({"pin": PIN | {"envelopeNonces": [f"{n:032x}" for n in range(9)]}}, "must have at most 8 items"),
        ({"consecutiveFailures": -1}, "status.consecutiveFailures"),
        ({"conditions": [{"type": "Ready"}]}, "status.conditions[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_status_that_no_operator_writes_is_refused(api: Cluster, status: dict[str, Any], says: str) -> None:
    made = _make(api, "FederationPeer")
    path = _path("FederationPeer", made["metadata"]["name"]) + "/status"
    answer = api.request("PUT", path, made | {"status": status})
    assert answer.status == 422
    assert says in answer.message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_kubectl_explains_every_field(api: Cluster, kind: type[Resource]) -> None:
    top = api.kubectl("explain", kind.PLURAL)
    assert " ".join(kind.DESCRIPTION.split())[:60] in " ".join(top.split())
    schema = _installed_schema(api, kind)
    missing = [
        path
        for path, description in _descriptions(schema["properties"]["spec"], f"{kind.PLURAL}.spec")
        if not description
    ]
    assert missing == []
    field, says = EXPLAINED[kind.KIND]
    explained = api.kubectl("explain", f"{kind.PLURAL}.spec.{field}")
    assert says in " ".join(explained.split())


def _installed_schema(api: Cluster, kind: type[Resource]) -> dict[str, Any]:
    crd = json.loads(api.kubectl("get", "crd", f"{kind.PLURAL}.bilateral.dev", "-o", "json"))
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _descriptions(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    yield path, node.get("description", "")
    inner = node.get("items", node)
    for name, member in inner.get("properties", {}).items():
        yield from _descriptions(member, f"{path}.{name}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_the_installed_crd_is_the_checked_in_one(api: Cluster, kind: type[Resource]) -> None:
    (text,) = (text for name, text in build_crds().items() if kind.PLURAL in name)
    wanted = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert _installed_schema(api, kind) == wanted


def test_the_category_and_the_short_names_list_everything(api: Cluster) -> None:
    for kind in KINDS:
        _make(api, kind.KIND)
    trust = api.kubectl("get", "trust", "-n", NAMESPACE)
    for kind in KINDS:
        assert f"{kind.SINGULAR}.bilateral.dev/row-" in trust
    for name, columns in COLUMNS.items():
        assert api.kubectl("get", name, "-n", NAMESPACE).splitlines()[0].split() == columns.split()
    peers = api.kubectl("get", "fpeer", "-n", NAMESPACE).splitlines()
    assert any("org-b-kernel" in line for line in peers[1:])


def test_every_crd_is_established_without_a_complaint(api: Cluster) -> None:
    for kind in KINDS:
        crd = json.loads(api.kubectl("get", "crd", f"{kind.PLURAL}.bilateral.dev", "-o", "json"))
        conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize(
    "example", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_every_example_applies_and_is_read_by_the_operator(api: Cluster, example: Path) -> None:
    api.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", NAMESPACE, "-f", example
    )
    for document in yaml.safe_load_all(example.read_text(encoding="utf-8")):
        if document["apiVersion"].startswith("bilateral.dev/"):
            parse_resource(document)


def _kubectl_apply(api: Cluster, manifest: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return api.run_kubectl(
        "apply", "-n", NAMESPACE, "--dry-run=server", "-f", "-", input=json.dumps(manifest)
    )


def test_two_anchors_are_merged_by_their_key(api: Cluster) -> None:
    name = _make(api, "FederationPeer")["metadata"]["name"]
    spec = {"trustAnchors": [{"publicKey": "0x" + KEY}], "kernelId": "org-b-kernel", "trustDomain": "org-a"}
    manifest = TRUST_DOMAIN | {"kind": "FederationPeer", "metadata": {"name": name}, "spec": spec}
    arguments = ("apply", "--server-side", "--field-manager=second", "-n", NAMESPACE, "-f", "-")
    answer = api.run_kubectl(*arguments, input=json.dumps(manifest))
    # Merged, the list holds the key twice in two spellings: what the rule of the field is for.
    assert answer.returncode != 0
    assert "must not list the same key twice, in any spelling" in answer.stderr
