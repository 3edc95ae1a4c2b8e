"""bilateral status: what is wrong, in one sentence, and whose move it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from unit.cli.fakes import NOW, Shell, condition, peer, trust_domain


@pytest.fixture
def shell() -> Shell:
    shell = Shell()
    shell.cluster.add("trustdomains", trust_domain())
    return shell


def test_all_well_is_a_table_and_one_line(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer())
    result = shell.run("status")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "NAME                     READY   REASON   WHO            UNTIL",
        "trustdomain/org-a        True    Ready    org-a-kernel   -",
        "└ federationpeer/org-b   True    Fresh    org-b-kernel   2026-11-22T01:54:27Z (11 h 23 min left)",
        "",
        "2 objects, all ready.",
    ]


def test_something_wrong_is_a_sentence_and_a_next_step(shell: Shell) -> None:
    shell.cluster.add(
        "federationpeers",
        peer(
            left=None,
            ready="Unknown",
            reason="AwaitingPartner",
            message="they answer that they have no key of ours",
        ),
    )
    result = shell.run("status")
    assert result.exit_code == 0
    assert (
        "federationpeer/org-b: they answer that they have no key of ours.\n  Theirs: apply our manifest"
        in result.stdout
    )
    assert result.stdout.endswith("2 objects, 1 not ready.\n")


@pytest.mark.parametrize(("ready", "code"), [("True", 0), ("False", 1), ("Unknown", 1)])
def test_the_exit_code_says_whether_all_is_ready_when_asked(shell: Shell, ready: str, code: int) -> None:
    shell.cluster.add("federationpeers", peer(ready=ready))
    assert shell.run("status").exit_code == 0
    assert shell.run("status", "--exit-code").exit_code == code
    assert shell.run("status", "--exit-code", "org-a").exit_code == 0
    assert json.loads(shell.run("status", "-o", "json").stdout)["ready"] is (code == 0)


def test_json_and_yaml_carry_every_fact(shell: Shell) -> None:
    late = condition("AcknowledgedByPeer", "Unknown", "ConnectionFailed", "the connection was refused")
    shell.cluster.add(
        "federationpeers", peer(conditions=(late,), status={"nextHandshakeTime": "2026-11-21T14:40:00Z"})
    )
    data = json.loads(shell.run("status", "-o", "json").stdout)
    assert yaml.safe_load(shell.run("status", "-o", "yaml").stdout) == data
    domain, partner = data["items"]
    assert (domain["kind"], domain["name"], domain["ready"], domain["trustDomain"]) == (
        "TrustDomain",
        "org-a",
        "True",
        None,
    )
    assert partner["kind"] == "FederationPeer"
    assert partner["trustDomain"] == "org-a"
    assert partner["freshUntil"] == "2026-11-22T01:54:27Z"
    assert partner["nextHandshakeTime"] == "2026-11-21T14:40:00Z"
    assert partner["publicKey"].startswith("ed25519:")
    assert partner["nextStep"] is None
    (remark,) = partner["remarks"]
    assert remark["condition"] == "AcknowledgedByPeer"
    assert remark["reason"] == "ConnectionFailed"


def test_a_fresh_partner_that_we_cannot_reach_is_remarked_upon(shell: Shell) -> None:
    late = condition("AcknowledgedByPeer", "Unknown", "ConnectionFailed", "the connection was refused")
    shell.cluster.add("federationpeers", peer(conditions=(late,)))
    text = shell.run("status").stdout
    assert "federationpeer/org-b: AcknowledgedByPeer: the connection was refused.\n  Both: check" in text
    assert "all ready" in text


@pytest.mark.parametrize(("left", "shown"), [(1, "Fresh"), (0, "PeerStale"), (-5, "PeerStale")])
def test_a_deadline_that_nobody_kept_is_seen_without_the_operator(
    shell: Shell, left: int, shown: str
) -> None:
    shell.cluster.add("federationpeers", peer(left=left))
    data = json.loads(shell.run("status", "-o", "json").stdout)["items"][1]
    assert data["reason"] == shown
    assert data["ready"] == ("True" if shown == "Fresh" else "False")


def _edited(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"]["generation"] = 2
    return obj


def _unseen(obj: dict[str, Any]) -> dict[str, Any]:
    del obj["status"]
    return obj


def _leaving(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"]["deletionTimestamp"] = "2026-11-21T14:31:07Z"
    return obj


def _broken(obj: dict[str, Any]) -> dict[str, Any]:
    obj["spec"]["kernelId"] = "not a kernel id"
    return obj


@pytest.mark.parametrize(
    ("change", "ready", "words"),
    [
        pytest.param(_edited, "Unknown", "changed since the operator last looked", id="edited, not seen yet"),
        pytest.param(_unseen, "Unknown", "no operator has looked at it yet", id="never seen"),
        pytest.param(_leaving, "False", "being deleted", id="being deleted"),
        pytest.param(_broken, "False", "spec.kernelId", id="a spec that admission let pass"),
    ],
)
def test_a_status_that_is_not_about_this_spec_does_not_count(
    shell: Shell, change: Any, ready: str, words: str
) -> None:
    shell.cluster.add("federationpeers", change(peer()))
    data = json.loads(shell.run("status", "-o", "json").stdout)["items"][1]
    assert data["ready"] == ready
    assert words in data["message"]


def test_peers_stand_below_their_trust_domain_and_orphans_at_the_end(shell: Shell) -> None:
    shell.cluster.add("trustdomains", trust_domain("a-first"))
    shell.cluster.add("federationpeers", peer("z", trust_domain="a-first"))
    shell.cluster.add("federationpeers", peer("b"))
    shell.cluster.add("federationpeers", peer("orphan", trust_domain="gone"))
    names = [item["name"] for item in json.loads(shell.run("status", "-o", "json").stdout)["items"]]
    assert names == ["a-first", "z", "org-a", "b", "orphan"]


def test_all_namespaces_has_a_column_more(shell: Shell) -> None:
    shell.cluster.add("trustdomains", trust_domain("org-x", namespace="elsewhere"))
    assert "org-x" not in shell.run("status").stdout
    text = shell.run("status", "-A").stdout
    assert text.startswith("NAMESPACE")
    assert "elsewhere" in text


def test_a_name_may_be_a_reference_and_an_unknown_one_is_an_error(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer())
    assert shell.run("status", "federationpeer/org-b").exit_code == 0
    result = shell.run("status", "nobody")
    assert result.exit_code == 1
    assert (
        result.stderr == "error: there is nothing of ours called nobody in namespace trust: check the name\n"
    )


def test_an_empty_namespace_says_so() -> None:
    result = Shell().run("status", "--exit-code")
    assert result.exit_code == 0
    assert "No trust domains and no partners here." in result.stdout


def test_what_a_tenant_wrote_does_not_steer_the_terminal(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer(ready="False", message="\x1b[2Jgone"))
    assert "\x1b" not in shell.run("status").stdout


def test_the_clock_is_the_invocations(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer(left=100))
    shell.now = NOW + 100
    assert shell.run("status", "--exit-code").exit_code == 1
