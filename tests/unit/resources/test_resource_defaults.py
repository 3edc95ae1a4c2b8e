"""Defaults that depend on an object's name, and limits that a peer may override."""

import pytest

from bilateral.pki.names import Subject
from bilateral.resources.federationpeer import AuthoritiesMode, FederationPeer, OnStale, PeerState
from bilateral.resources.labels import RECONCILE_NOW
from bilateral.resources.trustdomain import AuthorityAlgorithm, Source, TrustDomain
from unit.resources.manifest_tables import ACCEPTED
from unit.resources.manifests import Row

FULL = next(row for row in ACCEPTED if row.id == "TrustDomain: every field")
SHORT = next(row for row in ACCEPTED if row.id == "TrustDomain: as short as it can be")


def _domain(changes: dict[str, object] | None = None) -> TrustDomain:
    return TrustDomain.parse(Row("", "TrustDomain", changes or {}).manifest)


def _peer(changes: dict[str, object] | None = None) -> FederationPeer:
    return FederationPeer.parse(Row("", "FederationPeer", changes or {}).manifest)


def test_names_are_made_from_the_objects_name() -> None:
    domain = TrustDomain.parse(SHORT.manifest)
    assert domain.signing_key_secret_name == "org-a-signing-key"
    assert domain.next_signing_key_secret_name is None
    assert domain.authority_secret_name == "org-a-ca"
    assert domain.endpoint_secret_name == "org-a-endpoint-tls"
    assert domain.seal_secret_name == "org-a-seal"
    assert domain.peers_secret_name == "org-a-peers"
    assert domain.operator_id == "org-a"
    assert domain.authority_subject == Subject(common_name="org-a CA")


def test_names_that_are_given_are_used() -> None:
    domain = TrustDomain.parse(FULL.manifest)
    assert domain.signing_key_secret_name == "org-a-signing-key"
    assert domain.next_signing_key_secret_name == "org-a-signing-key-2"
    assert domain.endpoint_secret_name == "org-a-tls"
    assert domain.authority_subject.organization == "\u00d6rg A"
    assert domain.authority_subject.common_name == "Org A CA"


def test_the_longest_operator_id_still_makes_a_common_name() -> None:
    subject = _domain({"spec.operatorId": "a" * 253}).authority_subject
    assert subject.common_name is not None
    assert len(subject.common_name) == 64


def test_defaults_of_a_trust_domain() -> None:
    spec = TrustDomain.parse(SHORT.manifest).spec
    assert spec.handshake.rotation_window_seconds == 43_200
    assert spec.handshake.max_clock_skew_seconds == 300
    assert spec.certificate_authority.algorithm is AuthorityAlgorithm.ECDSA_P256
    assert spec.certificate_authority.source is Source.GENERATED
    assert spec.certificate_authority.validity_seconds == 31_536_000
    assert spec.endpoint is None


def test_defaults_of_a_peer() -> None:
    peer = _peer()
    assert peer.spec.state is PeerState.ACTIVE
    assert not peer.is_suspended
    assert peer.spec.on_stale is OnStale.WITHDRAW
    assert peer.spec.certificate_authorities.mode is AuthoritiesMode.ANNOUNCED
    assert peer.operator_id == "org-b"
    assert peer.authorities_secret_name == "org-b-ca"
    assert peer.certificate_fingerprints == ("SHA256:" + "5a" * 32,)


@pytest.mark.parametrize(
    ("own", "window", "skew"),
    [
        ({}, 600, 30),
        ({"rotationWindowSeconds": 60}, 60, 30),
        ({"maxClockSkewSeconds": 0}, 600, 0),
        ({"rotationWindowSeconds": 86_400, "maxClockSkewSeconds": 86_400}, 86_400, 86_400),
    ],
)
def test_a_peers_limits_are_its_own_or_the_trust_domains(own: dict[str, int], window: int, skew: int) -> None:
    domain = _domain({"spec.handshake": {"rotationWindowSeconds": 600, "maxClockSkewSeconds": 30}})
    peer = _peer({"spec.handshake": own})
    assert peer.handshake_window(domain) == window
    assert peer.max_skew(domain) == skew


def test_a_manifest_says_only_what_differs_from_the_defaults() -> None:
    manifest = _peer({"spec.state": "Active", "spec.onStale": "Withdraw", "metadata.uid": "x", "status": {}})
    assert manifest.to_manifest() == Row("", "FederationPeer", {}).manifest


def test_the_request_to_look_now_is_cut_to_what_can_be_echoed() -> None:
    assert _peer().metadata.reconcile_now is None
    asked = _peer({"metadata.annotations": {RECONCILE_NOW: "x" * 1000}})
    assert asked.metadata.reconcile_now == "x" * 253


def test_an_object_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        _peer().spec.state = PeerState.SUSPENDED
