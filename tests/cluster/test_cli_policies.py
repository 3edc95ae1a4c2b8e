"""Policies on the command line against the real API server: in, judged, and out again, with a person's own rights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.keys import SigningKey
from bilateral.resources.labels import POLICY_DOCUMENT
from cluster.person import Person
from cluster.scene import PEERS
from cluster.stage import Stage, open_stage
from support.feeds import Feed
from support.waiting import wait_for
from testbed.cluster import Cluster
from unit.protocol.published_policies import FULL, PUBLISHED

POLICIES = "federationpolicies.bilateral.dev"
SERVER, TOOL = "billing.org-a.internal", "billing.read"
AUTHORITY, AGENT, WORKER = (SigningKey.from_seed(bytes([number]) * 32) for number in (41, 42, 43))


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("policies")) as stage:
        stage.ready("org-b")
        cluster.kubectl("create", "serviceaccount", "viewer", "-n", stage.scene.namespace)
        cluster.kubectl(
            "create", "rolebinding", "viewer", "--clusterrole=view",
            f"--serviceaccount={stage.scene.namespace}:viewer", "-n", stage.scene.namespace,
        )  # fmt: skip
        yield stage


@pytest.fixture
def person(stage: Stage) -> Iterator[Person]:
    """An administrator; no policy is left behind."""
    scene = stage.scene
    yield Person(scene.cluster, scene.namespace, scene.cluster.kubeconfig)
    scene.cluster.kubectl("delete", POLICIES, "--all", "-n", scene.namespace)


def run(person: Person, *arguments: str | Path, stdin: str = "") -> Any:
    return person.run("trust", "federation-policy", *arguments, stdin=stdin)


def create(person: Person, document: object, *arguments: str) -> Any:
    text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
    done = run(person, "create", "--config", "-", *arguments, stdin=text)
    assert done.returncode == 0, done.stderr
    return done


def there(person: Person, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        person.cluster.kubectl("get", POLICIES, name, "-n", person.namespace, "-o", "json")
    )
    return found


def document(**changes: Any) -> dict[str, Any]:
    spec = {
        "partner_id": "org-b",
        "trusted_issuers": [AUTHORITY.public_key.canonical],
        "max_scope": {
            "tool_servers": [SERVER],
            "tools": [{"tool": TOOL, "parameter_bounds": {"row_limit": 100}}],
        },
        "max_autonomy_tier": "TIER_2_DELEGATED",
        "max_evidence_age_secs": 3600,
        "sharing_posture": "pair_scoped",
    }
    return {
        "apiVersion": "chio.dev/v1",
        "kind": "FederationPolicy",
        "metadata": {"name": "org-a-to-org-b"},
        "spec": spec | changes,
    }


@pytest.mark.parametrize("text", PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_policies_go_in_and_out_unchanged(person: Person, text: str) -> None:
    made = create(person, text)
    assert made.stdout == "federationpolicy/org-a-to-org-b created for partner org-b\n"
    obj = there(person, "org-a-to-org-b")
    assert obj["spec"]["peer"] == "org-b"
    assert json.loads(obj["metadata"]["annotations"][POLICY_DOCUMENT]) == yaml.safe_load(text)
    back = run(person, "list", "-o", "yaml")
    assert yaml.safe_load(back.stdout) == yaml.safe_load(text)
    assert json.loads(run(person, "list", "-o", "json").stdout) == [yaml.safe_load(text)]
    assert create(person, back.stdout).stdout.split()[1] == "unchanged"
    assert there(person, "org-a-to-org-b")["metadata"]["resourceVersion"] is not None


def test_every_member_goes_in_and_out_unchanged(person: Person) -> None:
    given = {**FULL, "spec": {**FULL["spec"], "partner_id": "org-b"}}
    create(person, given)
    assert json.loads(run(person, "list", "-o", "json").stdout) == [given]


def test_the_same_again_writes_nothing_and_another_is_replaced_only_when_asked(person: Person) -> None:
    feed = "https://trust.org-b.example/v1/revocations/feed"
    create(person, document(revocation_feed=feed))
    before = there(person, "org-a-to-org-b")["metadata"]["generation"]
    assert create(person, document(revocation_feed=feed), "--replace").stdout.split()[1] == "unchanged"
    assert there(person, "org-a-to-org-b")["metadata"]["generation"] == before
    refused = run(person, "create", "--config", "-", stdin=yaml.safe_dump(document()))
    assert refused.returncode == 1
    assert "differs in revocation_feed: use --replace" in refused.stderr
    assert create(person, document(), "--replace").stdout.split()[1] == "replaced"
    assert "revocationFeed" not in there(person, "org-a-to-org-b")["spec"]
    assert json.loads(run(person, "list", "-o", "json").stdout) == [document()]


def test_what_kubectl_edits_is_printed_as_it_is_then(person: Person) -> None:
    create(person, document())
    person.cluster.kubectl(
        "patch", POLICIES, "org-a-to-org-b", "-n", person.namespace, "--type=merge",
        "-p", '{"spec":{"maxEvidenceAgeSeconds":60}}',
    )  # fmt: skip
    (found,) = json.loads(run(person, "list", "-o", "json").stdout)
    assert found["spec"]["max_evidence_age_secs"] == 60


def test_a_policy_is_retired_without_a_question(person: Person) -> None:
    create(person, document())
    done = run(person, "delete", "--partner-id", "org-b")
    assert done.returncode == 0, done.stderr
    assert "1 issuer is trusted no more" in done.stdout
    assert run(person, "list").stdout == "No policies.\n"
    assert run(person, "delete", "--partner-id", "org-b").returncode == 1


def test_who_may_only_look_can_list_and_judge_but_not_change(
    stage: Stage, person: Person, tmp_path: Path
) -> None:
    create(person, document())
    kubeconfig = person.cluster.service_account_kubeconfig(person.namespace, "viewer")
    viewer = Person(person.cluster, person.namespace, kubeconfig)
    wait_for(lambda: run(viewer, "list").returncode == 0, "the aggregated role")
    done = run(viewer, "delete", "--partner-id", "org-b")
    assert (done.returncode, "you may not delete" in done.stderr) == (3, True)
    done = run(
        viewer, "create", "--config", "-", "--replace", stdin=yaml.safe_dump(document(sharing_posture="no"))
    )
    assert done.returncode == 3
    assert run(viewer, *judging(tmp_path)).returncode == 0


def judging(folder: Path, *arguments: str | Path) -> tuple[str | Path, ...]:
    """The arguments that have a chain of two judged, which begins an hour ago and ends in an hour."""
    now = int(time.time())
    operations = (Operation.INVOKE, Operation.DELEGATE)
    scope = Scope(grants=(ToolGrant(server_id=SERVER, tool_name=TOOL, operations=operations),))
    root = issue(
        AUTHORITY, capability_id="cap-root", subject=AGENT.public_key, scope=scope, issued_at=now - 3600,
        expires_at=now + 3600,
    )  # fmt: skip
    chain = delegate(
        root, AGENT, capability_id="cap-leaf", subject=WORKER.public_key, scope=scope, issued_at=now - 60,
        expires_at=now + 600,
    )  # fmt: skip
    path = folder / "chain.json"
    path.write_text(json.dumps([each.to_wire() for each in chain.tokens]))
    return ("evaluate", "--partner-id", "org-b", "--capability-file", path, "-o", "json", *arguments)


def test_a_capability_is_judged_by_what_is_in_the_cluster(
    stage: Stage, person: Person, tmp_path: Path
) -> None:
    def judged(*arguments: str | Path) -> tuple[int, str | None]:
        done = run(person, *judging(tmp_path, *arguments))
        assert done.returncode in (0, 3), done.stderr
        return done.returncode, json.loads(done.stdout)["decision"].get("reason")

    assert judged() == (3, "NoPolicy")
    create(person, document())
    call = ("--tool-server", SERVER, "--tool", TOOL)
    assert judged(*call, "--parameter", "row_limit=100") == (0, None)
    assert judged(*call, "--parameter", "row_limit=101") == (3, "ParameterExceeded")
    assert judged("--tool-server", SERVER, "--tool", "billing.write") == (3, "ToolNotAllowed")
    assert judged("--autonomy-tier", "autonomous") == (3, "AutonomyTierExceeded")
    create(person, document(max_evidence_age_secs=60), "--replace")
    assert judged("--evidence", f"passport={int(time.time()) - 120}") == (3, "EvidenceTooOld")
    # A feed that nobody serves is no news; what the partner published, saved to a file, is.
    feed = "https://localhost:1/v1/revocations/feed"
    create(person, document(revocation_feed=feed), "--replace")
    assert judged() == (3, "RevocationFeedStale")
    published, now = Feed(stage.scene.kernel("org-b"), stage.scene.partner("org-b").key), int(time.time())
    path = tmp_path / "feed.jsonl"
    path.write_bytes(published.revoke("another", at=now).page(0, now).to_json())
    assert judged("--feed-file", path) == (0, None)
    path.write_bytes(published.revoke("cap-root", at=now).page(0, now).to_json())
    assert judged("--feed-file", path) == (3, "CapabilityRevoked")


def test_a_suspended_partner_is_denied_everything(stage: Stage, person: Person, tmp_path: Path) -> None:
    create(person, document())
    stage.scene.patch(PEERS, "org-b", {"spec": {"state": "Suspended"}})
    done = run(person, *judging(tmp_path))
    stage.scene.patch(PEERS, "org-b", {"spec": {"state": "Active"}})
    stage.scene.wait(PEERS, "org-b", "Fresh", status="True")
    assert (done.returncode, json.loads(done.stdout)["decision"]["reason"]) == (3, "Suspended")
