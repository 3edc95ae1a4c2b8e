"""The demo's pure parts: manifests of examples/, envelopes that must be refused, what is read from a status."""

from __future__ import annotations

import json

import pytest
from demo.deadlines import clock, renewal_share, window_of
from demo.manifests import load_example, with_anchor, with_endpoint, with_window
from demo.meeting import find_groups
from demo.organisation import PeerStatus
from demo.outsider import Outsider, tamper
from demo.telling import Unexpected

from bilateral.protocol.errors import InvalidSignature
from bilateral.protocol.handshake import parse_envelope
from bilateral.protocol.keys import verify_signature

STATUS = {
    "metadata": {"generation": 2},
    "status": {
        "observedGeneration": 2,
        "nextHandshakeTime": "2026-11-21T14:31:42Z",
        "pin": {"establishedAt": "2026-11-21T14:31:00Z", "rotationDue": "2026-11-21T14:32:00Z"},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Fresh",
                "lastTransitionTime": "2026-11-21T14:31:00Z",
            },
            {"type": "AcknowledgedByPeer", "status": "True", "reason": "Acknowledged"},
        ],
    },
}


def test_only_the_named_member_of_an_example_changes() -> None:
    example = load_example("two-organisations/org-a/trustdomain.yaml")
    changed = with_endpoint(example, "https://127.0.0.1:1")
    assert changed["spec"].pop("endpoint") == {"url": "https://127.0.0.1:1"}
    assert example["spec"].pop("endpoint") == {"url": "https://trust.org-a.example:8940"}
    assert changed == example


def test_the_passive_partner_gets_its_key_and_window() -> None:
    changed = with_window(with_anchor(load_example("peers/passive.yaml"), "ed25519:00"), 60)
    assert changed["spec"]["trustAnchors"] == [{"publicKey": "ed25519:00"}]
    assert changed["spec"]["handshake"] == {"rotationWindowSeconds": 60}


def test_a_tampered_envelope_parses_and_fails_at_its_signature_only() -> None:
    sent = Outsider("org-c-kernel").write_envelope("org-a-kernel")
    for data, right in ((sent, True), (tamper(sent), False)):
        envelope = parse_envelope(data)
        message = envelope.challenge.canonical_bytes()
        if right:
            verify_signature(envelope.declared_public_key, message, envelope.signature)
        else:
            with pytest.raises(InvalidSignature):
                verify_signature(envelope.declared_public_key, message, envelope.signature)
    changed, original = json.loads(tamper(sent)), json.loads(sent)
    assert changed["challenge"].pop("nonce") != original["challenge"].pop("nonce")
    assert changed == original


def test_groups_are_found_behind_whatever_the_cli_says_before_them() -> None:
    groups = "F557-E4E7-FB63-81E3-D43E-F2D6-028B-BEFD"
    assert find_groups(f"note: a remark\nRead these to your partner: {groups}\n") == groups
    with pytest.raises(Unexpected):
        find_groups("error: there is nothing to export\n")


def test_a_status_is_read() -> None:
    peer = PeerStatus(STATUS)
    assert (peer.ready, peer.is_acknowledged, peer.is_observed) == (("True", "Fresh"), True, True)
    assert (window_of(peer), renewal_share(peer)) == (60, 70)
    assert clock(peer.changed_at("Ready")) == "14:31:00"


def test_an_object_without_a_status_is_nothing_yet() -> None:
    peer = PeerStatus({"metadata": {"generation": 1}})
    assert (peer.ready, peer.is_acknowledged, peer.is_observed) == (None, False, False)
    assert (window_of(peer), clock(peer.changed_at("Ready")), repr(peer)) == (0, "", "no status")
