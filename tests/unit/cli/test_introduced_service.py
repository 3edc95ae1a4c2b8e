"""``bilateral service explain`` of services that came with an introduction."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bilateral.cli.cluster import Object
from bilateral.pki.encoding import encode_certificate
from bilateral.pki.verifiers import ConfiguredCA
from unit.cli.explained import CA, SLUG, THEIRS, URL, entry, explain, furnished, identity
from unit.cli.fakes import Shell, condition, peer, stored


@pytest.fixture
def shell() -> Shell:
    return furnished()


def document(alias: str = "org2-api", url: str = URL) -> str:
    certificate = encode_certificate(CA)
    return json.dumps({"signed_cert": certificate, "ca_cert": certificate, "services": {alias: url}})


def introduction(
    name: str = "from-org-b",
    *,
    spec: dict[str, Any] | None = None,
    ready: str = "True",
    reason: str = "Ready",
    text: str | None = None,
    created: str = "2026-11-20T00:00:00Z",
) -> Object:
    status: dict[str, Any] = {"observedGeneration": 1, "conditions": [condition("Ready", ready, reason)]}
    if text is not None:
        status["introduction"] = text
    accept = {"identity": "client1", "peer": "org-b", "introduction": document()}
    return stored("Introduction", name, spec or {"accept": accept}, status, created=created)


@pytest.fixture
def introduced(shell: Shell) -> Shell:
    """No TrustedService: the service came with an introduction of client1."""
    del shell.cluster.objects["trustedservices", "trust", "org2-api"]
    shell.cluster.add("introductions", introduction())
    shell.cluster.add("workloadidentities", identity("client2"))
    return shell


def test_a_service_that_came_with_an_introduction_is_explained(introduced: Shell) -> None:
    code, data = explain(introduced)
    assert code == 0
    assert (data["origin"], data["url"], data["verifier"], data["peer"]) == (
        "introduction/from-org-b",
        URL,
        "PeerCA",
        "org-b",
    )
    assert data["pinned"] == [THEIRS.fingerprint]
    assert [(each["identity"], each["shows"]) for each in data["callers"]] == [("client1", SLUG)]
    assert introduced.run("service", "explain", "org2-api", "--identity", "client2").exit_code == 1


def test_one_that_was_asked_for_online_too(introduced: Shell) -> None:
    spec = {"request": {"identity": "client1", "peer": "org-b", "services": ["org2-api"]}}
    introduced.cluster.add("introductions", introduction(spec=spec, text=document()))
    assert explain(introduced)[1]["origin"] == "introduction/from-org-b"


def test_one_by_a_given_fingerprint_has_no_peer(introduced: Shell) -> None:
    spec = {
        "accept": {
            "identity": "client1",
            "authorityFingerprint": THEIRS.fingerprint,
            "introductionSecretRef": {"name": "letter"},
        }
    }
    introduced.cluster.add("introductions", introduction(spec=spec))
    introduced.cluster.secrets["trust", "letter"] = {"introduction.json": document().encode()}
    introduced.cluster.secrets["trust", "client1-known-servers"] = {
        "org2-api.yaml": entry(verifier=ConfiguredCA((CA,)))
    }
    _, data = explain(introduced)
    assert (data["peer"], data["verifier"]) == (None, "ConfiguredCA")
    assert data["why"] == "no peer is named, and a person gave the authorities"


def test_an_introduction_that_is_not_installed_gives_no_service(introduced: Shell) -> None:
    introduced.cluster.add("introductions", introduction(ready="False", reason="AuthorityNotPinned"))
    code, data = explain(introduced)
    assert (code, data["reason"], data["verifier"]) == (1, "AuthorityNotPinned", None)
    assert data["callers"][0]["calls"] is False


def test_a_stale_partners_introduction_gives_no_service(introduced: Shell) -> None:
    introduced.cluster.add("federationpeers", peer(left=-1))
    assert explain(introduced)[1]["reason"] == "PeerStale"


def test_of_two_introductions_the_older_is_explained(introduced: Shell) -> None:
    spec = {
        "accept": {
            "identity": "client1",
            "peer": "org-b",
            "introduction": document(url="https://new.example"),
        }
    }
    introduced.cluster.add(
        "introductions", introduction("a-newer", spec=spec, created="2026-11-21T00:00:00Z")
    )
    assert explain(introduced)[1]["origin"] == "introduction/from-org-b"


def test_without_its_secret_the_verifier_is_said_to_be_unseen(introduced: Shell) -> None:
    introduced.cluster.refused.add("secret")
    code, data = explain(introduced)
    assert (code, data["verifier"], data["notSeen"]) == (0, None, ["secrets/client1-known-servers"])


@pytest.mark.parametrize("text", ["", "{}", "not json", document("other")])
def test_what_carries_no_such_service_is_passed_over(introduced: Shell, text: str) -> None:
    spec = {"request": {"identity": "client1", "peer": "org-b"}}
    introduced.cluster.add("introductions", introduction(spec=spec, text=text or None))
    assert introduced.run("service", "explain", "org2-api").exit_code == 1
