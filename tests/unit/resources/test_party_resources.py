"""WorkloadIdentity, TrustedService and Introduction: names, defaults, and statuses as they are written."""

from typing import Any

import pytest

from bilateral.pki.authority import Algorithm
from bilateral.pki.names import Subject
from bilateral.pki.services import MAX_SERVICES, parse_service
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey, Transport, WebPKI
from bilateral.resources.errors import InvalidResource
from bilateral.resources.introduction import MAX_SERVICES as MAX_SERVICES_OF_A_SPEC
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.kinds import parse_resource
from bilateral.resources.trustedservice import ResolvedVerifier, TrustedService
from bilateral.resources.workloadidentity import PerServiceTLS, ServicesMode, WorkloadIdentity
from unit.resources.manifests import CERTIFICATE, FINGERPRINT, KEY, REMOVE, Row
from unit.resources.party_tables import ACCEPTED

TIME = "2026-11-21T14:31:07Z"
HASH = "sha256:" + "5a" * 32
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "Everything is in place.",
    "observedGeneration": 2,
    "lastTransitionTime": TIME,
}
BEGIN: dict[str, Any] = {"observedGeneration": 2, "reconciledNow": "please", "conditions": [CONDITION]}
STATUSES: dict[str, dict[str, Any]] = {
    "WorkloadIdentity": BEGIN
    | {
        "subject": "CN=client1,O=Org A",
        "fingerprint": FINGERPRINT,
        "serial": "0a" * 20,
        "notAfter": TIME,
        "renewalTime": TIME,
        "publicKeyFingerprint": FINGERPRINT,
        "contentHash": HASH,
        "chains": [
            {"authority": "CN=Org A CA", "slug": "org-a-ca-0123456789", "notAfter": TIME},
            {
                "authority": "CN=b",
                "slug": "b-0123456789",
                "notAfter": TIME,
                "introduction": "client1-at-org-b",
            },
        ],
        "boundServices": 3,
        "rollouts": [{"kind": "Deployment", "name": "client1", "contentHash": HASH}],
    },
    "TrustedService": BEGIN
    | {"verifier": "PinnedFingerprint", "pinned": [FINGERPRINT, f"ed25519:{KEY}"], "boundSecrets": 2},
    "Introduction": BEGIN
    | {
        "introduction": '{\n  "signed_cert": "",\n  "ca_cert": ""\n}\n',
        "serial": "0a" * 20,
        "subject": "CN=client1,O=Org A",
        "authority": "CN=Org B CA",
        "authorityFingerprint": FINGERPRINT,
        "notAfter": TIME,
        "renewalTime": TIME,
        "requestId": "org-a-client1-5a5a",
        "lastRequestTime": TIME,
        "nextRequestTime": TIME,
        "consecutiveFailures": 1,
    },
}


def _identity(changes: dict[str, object] | None = None) -> WorkloadIdentity:
    return WorkloadIdentity.parse(Row("", "WorkloadIdentity", changes or {}).manifest)


def _service(changes: dict[str, object] | None = None) -> TrustedService:
    return TrustedService.parse(Row("", "TrustedService", changes or {}).manifest)


def _introduction(changes: dict[str, object] | None = None) -> Introduction:
    return Introduction.parse(Row("", "Introduction", changes or {}).manifest)


def test_the_names_of_an_identitys_outputs() -> None:
    identity = _identity()
    assert identity.identity_secret_name == "client1-identity"
    assert identity.chains_secret_name == "client1-id-chains"
    assert identity.servers_secret_name == "client1-known-servers"
    assert identity.clients_secret_name == "client1-known-clients"
    assert identity.service_secret_name("org2-api") == "client1-to-org2-api"


def test_the_longest_names_still_make_names_of_secrets_and_stay_apart() -> None:
    identity = _identity({"metadata.name": "a" * 200})
    one, other = (identity.service_secret_name(f"{'b' * 60}.{last}") for last in "cd")
    assert len(one) <= 253
    assert len(other) <= 253
    assert one != other
    assert one == identity.service_secret_name(f"{'b' * 60}.c")
    cut_at_a_dot = identity.service_secret_name("b" * 37 + ".c.d.e.f.g.h.i.j.k")
    assert ".-" not in cut_at_a_dot


def test_defaults_of_an_identity() -> None:
    spec = _identity().spec
    assert spec.algorithm is Algorithm.ECDSA_P256
    assert spec.validity_seconds == 2_592_000
    assert spec.clients == ("self",)
    assert spec.services.mode is ServicesMode.ALL
    assert spec.per_service_tls is PerServiceTLS.DISABLED
    assert not _identity().has_provided_key
    assert _identity({"spec.key": {"source": "Provided", "secretName": "k"}}).has_provided_key


def test_a_subject_has_every_member_that_certificates_know() -> None:
    full = next(row for row in ACCEPTED if row.id == "WorkloadIdentity: every field")
    assert WorkloadIdentity.parse(full.manifest).spec.subject.to_subject() == Subject(
        organization="Örg A",
        organizational_unit="Research",
        country="DE",
        state_or_province="Berlin",
        locality="Berlin",
        common_name="client1",
        user_id="c1",
        pseudonym="one",
    )


def test_an_alias_is_the_objects_name_unless_it_is_given() -> None:
    assert _service().alias == "org2-api"
    assert _service({"spec.alias": "api.org2"}).alias == "api.org2"


@pytest.mark.parametrize("name", ["api.7", "a" * 64, "7"])
def test_a_name_that_is_no_alias_needs_one(name: str) -> None:
    with pytest.raises(InvalidResource) as refusal:
        _service({"metadata.name": name, "status": {"verifier": "NoSuchOne"}})
    assert refusal.value.field == "metadata.name"
    assert _service({"metadata.name": name, "spec.alias": "api"}).alias == "api"


def test_whatever_passes_as_alias_and_url_passes_in_an_introduction() -> None:
    rows = [row for row in ACCEPTED if row.kind == "TrustedService"]
    for service in (TrustedService.parse(row.manifest) for row in rows):
        parse_service(service.alias, service.spec.url)
    assert MAX_SERVICES_OF_A_SPEC == MAX_SERVICES


def test_defaults_of_a_service() -> None:
    service = _service({"spec.peer": REMOVE})
    assert service.spec.transport is Transport.X509
    assert service.spec.verifier is None
    assert service.spec.authorities == ()


def test_the_words_for_verifiers_are_those_of_the_table() -> None:
    table = {each.kind for each in (WebPKI, ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey)}
    assert {word.value for word in ResolvedVerifier} == table


def test_defaults_of_an_introduction() -> None:
    issue = _introduction().spec.issue
    assert issue is not None
    assert issue.approval is Approval.PENDING
    assert issue.subject == CERTIFICATE
    assert issue.validity_seconds == 2_592_000
    accept = {"identity": "a", "introductionSecretRef": {"name": "b"}, "peer": "c"}
    accepted = _introduction({"spec": {"accept": accept}}).spec.accept
    assert accepted is not None
    assert accepted.introduction_secret_ref is not None
    assert accepted.introduction_secret_ref.key == "introduction.json"


@pytest.mark.parametrize("kind", STATUSES)
def test_a_status_comes_back_as_it_was_written(kind: str) -> None:
    parsed = parse_resource(Row("", kind, {"status": STATUSES[kind]}).manifest)
    assert parsed.__dict__["status"].unreadable == ()
    assert parsed.__dict__["status"].to_wire() == STATUSES[kind]


@pytest.mark.parametrize(
    ("kind", "change", "unreadable"),
    [
        ("WorkloadIdentity", {"serial": "0A" * 20}, "serial"),
        ("WorkloadIdentity", {"chains": [{"slug": "a/b", "authority": "", "notAfter": TIME}]}, "chains"),
        ("WorkloadIdentity", {"contentHash": "5a" * 32}, "contentHash"),
        ("WorkloadIdentity", {"rollouts": [{"kind": "Job", "name": "a", "contentHash": HASH}]}, "rollouts"),
        ("TrustedService", {"verifier": "None"}, "verifier"),
        ("TrustedService", {"pinned": ["*"]}, "pinned"),
        ("Introduction", {"introduction": "[]"}, "introduction"),
        ("Introduction", {"requestId": "../x"}, "requestId"),
        ("Introduction", {"notAfter": "tomorrow"}, "notAfter"),
    ],
)
def test_a_member_that_cannot_be_read_is_absent_and_named(
    kind: str, change: dict[str, object], unreadable: str
) -> None:
    parsed = parse_resource(Row("", kind, {"status": STATUSES[kind] | change}).manifest)
    assert parsed.__dict__["status"].unreadable == (unreadable,)
