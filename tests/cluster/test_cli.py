"""The command line against the real API server and the real operator: what a person types, and what comes back."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.person import BIN, Person
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

OperatorFactory = Callable[..., OperatorProcess]

GROUPS = re.compile(r"[0-9A-F]{4}(?:-[0-9A-F]{4}){7}")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture
def person(cluster: Cluster, namespace: str) -> Person:
    return Person(cluster, namespace, cluster.kubeconfig)


def trust_domain(name: str, namespace: str, url: str | None) -> dict[str, object]:
    # Kernel ids are unique in the cluster, which all tests of a session share.
    spec: dict[str, object] = {"kernelId": f"{name}.{namespace}"}
    if url is not None:
        spec["endpoint"] = {"url": url}
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "TrustDomain",
        "metadata": {"name": name},
        "spec": spec,
    }


def test_two_organisations_export_compare_apply_and_are_ready(
    person: Person, operator: OperatorFactory, tmp_path: Path
) -> None:
    process = operator(allow_destinations=LOOPBACK)
    urls = {
        "org-a": f"https://localhost:{process.port}",
        "org-b": f"https://127.0.0.1:{process.port}",
    }
    person.apply(*(trust_domain(name, person.namespace, url) for name, url in urls.items()))
    person.wait_until_ready("trustdomain/org-a", "trustdomain/org-b")
    for name, partner, verifier in (("org-a", "org-b", "ca"), ("org-b", "org-a", "fingerprint")):
        exported = person.run("export", name, "--for", partner, "--endpoint-verifier", verifier)
        assert exported.returncode == 0, exported.stderr
        file = tmp_path / f"{name}.yaml"
        file.write_text(exported.stdout)
        checked = person.ok("export", "--check", file)
        assert GROUPS.findall(checked) == GROUPS.findall(exported.stderr)
        person.cluster.kubectl("apply", "-n", person.namespace, "-f", file)
    person.wait_until_ready()
    text = person.ok("status")
    assert "└ federationpeer/org-b" in text
    assert text.endswith("4 objects, all ready.\n")
    peer = person.status("federationpeer/org-b")
    assert peer["publicKey"] == person.status("trustdomain/org-b")["publicKey"]
    assert peer["freshUntil"] is not None


def test_an_export_without_the_partners_name_is_refused_by_the_api_server(
    person: Person, operator: OperatorFactory
) -> None:
    operator()
    person.apply(trust_domain("org-a", person.namespace, None))
    person.wait_until_ready()
    answer = person.cluster.run_kubectl(
        "apply", "-n", person.namespace, "-f", "-", input=person.ok("export", "org-a")
    )
    assert answer.returncode == 1
    assert "spec.trustDomain" in answer.stderr


@pytest.fixture
def by_file(person: Person, operator: OperatorFactory) -> Person:
    """Two organisations without endpoints, each with the other's anchor."""
    operator()
    names = ("org-a", "org-b")
    person.apply(*(trust_domain(name, person.namespace, None) for name in names))
    person.wait_until_ready()
    for name, partner in (names, names[::-1]):
        manifest = person.ok("export", name, "--for", partner)
        person.cluster.kubectl("apply", "-n", person.namespace, "-f", "-", input=manifest)
    return person


def test_a_handshake_by_files_makes_both_sides_ready(by_file: Person, tmp_path: Path) -> None:
    offers = {"org-a": tmp_path / "for-a.json", "org-b": tmp_path / "for-b.json"}
    for peer, file in offers.items():
        by_file.ok("handshake", "offer", peer, "-o", file)
    # What was addressed to org-b comes from org-a, and the other way about.
    accepted = by_file.ok("handshake", "accept", "org-a", offers["org-b"])
    assert accepted.startswith("federationpeer/org-a: accepted, fresh until ")
    by_file.ok("handshake", "accept", "org-b", offers["org-a"], "-o", "json")
    by_file.wait_until_ready()
    # The annotation is still there, and its verdict too: asking again changes nothing.
    assert "accepted" in by_file.ok("handshake", "accept", "org-a", offers["org-b"])


def test_a_refused_file_says_why_and_changes_nothing(by_file: Person, tmp_path: Path) -> None:
    offer = json.loads(by_file.ok("handshake", "offer", "org-b"))
    tampered = offer | {"signature": offer["signature"][::-1]}
    refused = by_file.run("handshake", "accept", "org-a", "-", stdin=json.dumps(tampered))
    assert refused.returncode == 1
    assert "refused: InvalidSignature" in refused.stdout
    reflected = by_file.run("handshake", "accept", "org-b", "-", stdin=json.dumps(offer))
    assert reflected.returncode == 1
    assert "refused: " in reflected.stdout
    assert by_file.status("federationpeer/org-a")["publicKey"] is None
    by_file.ok("handshake", "accept", "org-a", "-", stdin=json.dumps(offer))
    due = by_file.status("federationpeer/org-a")["freshUntil"]
    # A different one in between, so that the first is judged anew and found to be a copy.
    by_file.run("handshake", "accept", "org-a", "-", stdin=json.dumps(tampered))
    again = by_file.run("handshake", "accept", "org-a", "-", stdin=json.dumps(offer))
    assert again.returncode == 1
    assert "refused: ReplayedEnvelope" in again.stdout
    assert by_file.status("federationpeer/org-a")["freshUntil"] == due


def test_without_an_operator_the_wait_ends_with_an_answer(person: Person) -> None:
    person.apply(trust_domain("org-a", person.namespace, None))
    done = person.run("status", "--exit-code")
    assert done.returncode == 1
    assert "no operator has looked at it yet" in done.stdout
    done = person.run("export", "org-a", "--for", "org-b")
    assert done.returncode == 1
    assert "has no public key yet" in done.stderr


def test_who_may_nothing_is_told_so(person: Person) -> None:
    person.cluster.kubectl("create", "serviceaccount", "nobody", "-n", person.namespace)
    kubeconfig = person.cluster.service_account_kubeconfig(person.namespace, "nobody")
    nobody = Person(person.cluster, person.namespace, kubeconfig)
    for arguments in (("status",), ("export", "org-a"), ("handshake", "offer", "org-b")):
        done = nobody.run(*arguments)
        assert done.returncode == 3
        assert done.stderr.startswith("error: you may not ")
        assert done.stderr.count("\n") == 1


def test_what_is_not_there_is_named(person: Person) -> None:
    done = person.run("export", "org-a")
    assert done.returncode == 1
    assert f"trustdomains/org-a does not exist in namespace {person.namespace}" in done.stderr


def test_the_crds_that_it_prints_are_the_ones_installed(person: Person) -> None:
    printed = subprocess.run([BIN / "bilateral", "crds"], capture_output=True, text=True, check=True).stdout
    answer = person.cluster.run_kubectl(
        "diff", "--server-side", "--force-conflicts", "-f", "-", input=printed
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_it_is_a_plugin_of_kubectl(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(person.kubeconfig))
    kubectl = person.cluster._programs.kubectl
    done = subprocess.run(
        [kubectl, "bilateral", "status", "-n", person.namespace], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "No trust domains and no partners here." in done.stdout
    usage = subprocess.run([kubectl, "bilateral", "--help"], capture_output=True, text=True, check=True)
    assert usage.stdout.startswith("Usage: kubectl bilateral ")
