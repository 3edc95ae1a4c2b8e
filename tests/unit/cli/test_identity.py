"""bilateral identity show: what a party holds, believed as far as the clock and the generation allow."""

from __future__ import annotations

import json
from typing import Any

from bilateral.resources.times import format_time
from unit.cli.fakes import NOW, Shell, condition

KEY = "SHA256:" + "7f" * 32


def shell(*, ready: str = "True", reason: str = "Ready", left: int = 86_400, **status: Any) -> Shell:
    shell = Shell()
    whole = {
        "observedGeneration": 1,
        "conditions": [condition("Ready", ready, reason, "As it should be.")],
        "subject": "CN=client1,O=Org A",
        "publicKeyFingerprint": KEY,
        "fingerprint": "SHA256:" + "91" * 32,
        "serial": "4b" * 20,
        "notAfter": format_time(NOW + left),
        "renewalTime": format_time(NOW + left // 3),
        "boundServices": 1,
        "chains": [
            {"authority": "CN=Org A CA", "slug": "org-a-ca-1", "notAfter": format_time(NOW + left)},
            {
                "authority": "CN=Org B CA,O=Org B",
                "slug": "org-b-ca-2",
                "notAfter": format_time(NOW + 60),
                "introduction": "client1-at-org-b",
            },
        ],
        **status,
    }
    shell.cluster.add(
        "workloadidentities",
        {
            "apiVersion": "bilateral.dev/v1alpha1",
            "kind": "WorkloadIdentity",
            "metadata": {"name": "client1", "namespace": "trust", "uid": "uid", "generation": 1},
            "spec": {
                "trustDomain": "org-a",
                "subject": {"commonName": "client1"},
                "clients": ["self", "org-b"],
                "perServiceTLS": "Enabled",
            },
            "status": whole,
        },
    )
    return shell


def test_people_see_the_key_the_chains_and_the_secrets() -> None:
    result = shell().run("identity", "show", "client1")
    assert result.exit_code == 0, result.stderr
    for line in (
        "workloadidentity/client1: True Ready: As it should be.",
        f"its key       {KEY}",
        "valid until   2026-11-22T14:31:07Z (in 1 d)",
        "serves as     nothing: it is only a client",
        "admits        self, org-b",
        "client1-known-clients, client1-to-<alias>",
        "CN=Org B CA,O=Org B   client1-at-org-b   2026-11-21T14:32:07Z (in 1 min)   org-b-ca-2.crt",
    ):
        assert line in result.stdout


def test_programs_see_the_same() -> None:
    facts = json.loads(shell().run("identity", "show", "client1", "-o", "json").stdout)
    assert (facts["ready"], facts["publicKeyFingerprint"]) == ("True", KEY)
    assert [chain["introduction"] for chain in facts["chains"]] == [None, "client1-at-org-b"]
    assert facts["nextStep"] is None


def test_a_certificate_that_is_over_is_not_ready_whatever_the_status_says() -> None:
    result = shell(left=-5).run("identity", "show", "client1", "--exit-code")
    assert result.exit_code == 1
    assert "False CertificateInvalid" in result.stdout
    assert "5 s ago" in result.stdout


def test_a_status_of_an_older_generation_is_not_believed() -> None:
    run = shell()
    run.cluster.objects["workloadidentities", "trust", "client1"]["metadata"]["generation"] = 2
    result = run.run("identity", "show", "client1", "--exit-code")
    assert (result.exit_code, "Unknown Ready: changed since" in result.stdout) == (1, True)


def test_what_is_wrong_comes_with_the_next_step() -> None:
    result = shell(ready="False", reason="SecretConflict").run("identity", "show", "client1")
    assert result.exit_code == 0
    assert "False SecretConflict" in result.stdout
    assert "\n  Yours: " in result.stdout


def test_one_that_nobody_looked_at_and_one_that_is_not_there() -> None:
    run = shell()
    del run.cluster.objects["workloadidentities", "trust", "client1"]["status"]
    result = run.run("identity", "show", "client1")
    assert "no operator has looked at it yet" in result.stdout
    assert "its key       -" in result.stdout
    assert Shell().run("identity", "show", "client1").exit_code == 1


def test_an_object_that_breaks_a_rule_is_an_error_of_one_line() -> None:
    run = shell()
    run.cluster.objects["workloadidentities", "trust", "client1"]["spec"]["subject"] = {}
    result = run.run("identity", "show", "client1")
    assert result.exit_code == 1
    assert "InvalidSpec" in result.stderr
