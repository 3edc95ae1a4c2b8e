"""The operator refuses and accepts what the API server does, and more where arithmetic is needed (R-K13)."""

import json
from typing import Any

import pytest

from bilateral.protocol.reasons import Reason
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.kinds import parse_resource
from unit.resources import manifest_tables, party_tables, policy_tables
from unit.resources.manifests import DID_KEY, KEY, OTHER_KEY, REMOVE, SMALL_ORDER, SPKI_PEM, Row

REFUSED = (*manifest_tables.REFUSED, *party_tables.REFUSED, *policy_tables.REFUSED)
ACCEPTED = (*manifest_tables.ACCEPTED, *party_tables.ACCEPTED, *policy_tables.ACCEPTED)
OPERATOR_ONLY = (*manifest_tables.OPERATOR_ONLY, *policy_tables.OPERATOR_ONLY)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_the_operator_refuses_what_the_api_server_refuses(row: Row) -> None:
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(row.manifest)
    assert refusal.value.field.startswith(row.field)
    assert refusal.value.message


@pytest.mark.parametrize("row", OPERATOR_ONLY, ids=lambda row: row.id)
def test_the_operator_refuses_what_the_api_server_cannot_tell(row: Row) -> None:
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(row.manifest)
    assert refusal.value.field == row.field


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.id)
def test_the_operator_accepts_what_the_api_server_accepts(row: Row) -> None:
    parsed = parse_resource(row.manifest)
    assert parse_resource(parsed.to_manifest()) == parsed


@pytest.mark.parametrize("row", [*REFUSED, *OPERATOR_ONLY], ids=lambda row: row.id)
def test_a_refusal_never_repeats_a_value(row: Row) -> None:
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(row.manifest)
    for value in row.changes.values():
        text = json.dumps(value) if not isinstance(value, (str, object)) else str(value)
        assert len(text) < 12 or text not in str(refusal.value)


@pytest.mark.parametrize("point", SMALL_ORDER)
@pytest.mark.parametrize("spelling", ["{}", "0x{}", "ed25519:{}", "did:chio:{}"])
def test_no_spelling_of_a_small_order_point_is_an_anchor(point: str, spelling: str) -> None:
    with pytest.raises(InvalidResource):
        FederationPeer.parse(_with_anchor(spelling.format(point)))


def test_a_weak_key_is_told_by_its_reason() -> None:
    row = next(row for row in OPERATOR_ONLY if row.id == "a small-order key as did:key")
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(row.manifest)
    assert refusal.value.reason is Reason.WEAK_KEY


@pytest.mark.parametrize("key", [KEY, KEY.upper(), f"0x{KEY}", f"did:chio:{KEY}", DID_KEY, SPKI_PEM])
def test_every_spelling_is_one_key(key: str) -> None:
    assert FederationPeer.parse(_with_anchor(key)).anchors[0].canonical == f"ed25519:{KEY}"


def test_anchors_keep_their_order() -> None:
    manifest = _with_anchor(KEY)
    manifest["spec"]["trustAnchors"].append({"publicKey": OTHER_KEY})
    assert [key.hex for key in FederationPeer.parse(manifest).anchors] == [KEY, OTHER_KEY]


@pytest.mark.parametrize("path", ["spec", "spec.endpoint", "spec.endpoint.verifier", "spec.handshake"])
def test_an_unknown_member_is_refused_by_name(path: str) -> None:
    row = Row("", "FederationPeer", {f"{path}.insecureSkipVerify": True})
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(row.manifest)
    assert refusal.value.field == f"{path}.insecureSkipVerify"


def test_only_the_wire_spelling_is_read() -> None:
    with pytest.raises(InvalidResource):
        parse_resource(Row("", "FederationPeer", {"spec.trust_anchors": []}).manifest)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "Secret"}, "kind"),
        ({"apiVersion": "bilateral.dev/v2"}, "apiVersion"),
        ({"metadata": {}}, "metadata.name"),
    ],
)
def test_another_kind_of_object_is_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidResource) as refusal:
        FederationPeer.parse(_with_anchor(KEY) | change)
    assert refusal.value.field == field


def _with_anchor(key: str) -> dict[str, Any]:
    return Row("", "FederationPeer", {"spec.trustAnchors": [{"publicKey": key}]}).manifest


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"spec.kernelId": REMOVE}, "spec.kernelId: is required"),
        ({"spec.kernelId": ""}, "spec.kernelId: must not be empty"),
        ({"spec.kernelId": "a" * 254}, "spec.kernelId: must be at most 253 characters long"),
        ({"spec.kernelId": 7}, "spec.kernelId: must be a text"),
        ({"spec.scopes": ["a"] * 65}, "spec.scopes: must have at most 64 items"),
        ({"spec.scopes": "a"}, "spec.scopes: must be a list"),
        ({"spec.endpoint": "a"}, "spec.endpoint: must be an object"),
        ({"spec.state": "Off"}, "spec.state: must be one of 'Active' or 'Suspended'"),
        (
            {"spec.handshake": {"rotationWindowSeconds": 59}},
            "spec.handshake.rotationWindowSeconds: must be 60 or more",
        ),
        (
            {"spec.endpoint.verifier": {}},
            "spec.endpoint.verifier: must set exactly one of webPKI, certificateAuthority and fingerprint",
        ),
    ],
)
def test_what_a_person_reads(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidResource) as refusal:
        parse_resource(Row("", "FederationPeer", changes).manifest)
    assert str(refusal.value) == sentence
