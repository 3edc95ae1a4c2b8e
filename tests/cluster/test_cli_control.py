"""The command line at the control endpoint of the real operator: policies, decisions with receipts, revocations."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.protocol.keys import SigningKey
from bilateral.protocol.receipts import open_receipt
from cluster import deciding
from cluster.deciding import SERVER, TOOL, Organisation, open_organisation
from cluster.person import BIN
from cluster.scene import DOMAINS, PEERS
from support.waiting import wait_for
from testbed.cluster import Cluster

AGENT, WORKER = (SigningKey.from_seed(bytes([number]) * 32) for number in (51, 52))
CALL = ("--tool-server", SERVER, "--tool", TOOL)


@pytest.fixture(scope="module")
def ours(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    with ExitStack() as stack:
        changes = stack.enter_context(pytest.MonkeyPatch.context())
        changes.setattr(deciding, "CONTROL_HOST", "localhost")  # a name that this machine finds
        made = open_organisation(stack, cluster, tmp_path_factory.mktemp("control"))
        made.scene.add_peer("org-b", "ours", operatorId="partner-b")
        made.scene.wait(PEERS, "org-b", "Fresh", status="True")
        yield made


@pytest.fixture
def document(ours: Organisation) -> dict[str, Any]:
    return {
        "apiVersion": "chio.dev/v1",
        "kind": "FederationPolicy",
        "metadata": {"name": "ours-to-b"},
        "spec": {
            "partner_id": "partner-b",
            "trusted_issuers": [ours.issuer.public_key.canonical],
            "max_scope": {
                "tool_servers": [SERVER],
                "tools": [{"tool": TOOL, "parameter_bounds": {"row_limit": 100}}],
            },
            "max_autonomy_tier": "TIER_2_DELEGATED",
            "max_evidence_age_secs": 3600,
            "sharing_posture": "pair_scoped",
        },
    }


class Officer:
    """Somebody with a token for the control endpoint, and no kubeconfig."""

    def __init__(self, ours: Organisation, folder: Path, account: str) -> None:
        (folder / "ca.pem").write_text(ours.authority)
        (folder / account).write_text(ours.token(account) + "\n")
        self._options = (
            "--control-url", f"https://localhost:{ours.control_port}", "--control-token-file", folder / account,
            "--control-ca-file", folder / "ca.pem",
        )  # fmt: skip

    def trust(self, *arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
        return bilateral("trust", *arguments, *self._options, stdin=stdin)


def bilateral(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
    """Run the command without any kubeconfig: exit code, and what it wrote on stdout and stderr."""
    done = subprocess.run(
        [str(part) for part in (BIN / "bilateral", *arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=os.environ | {"PYTHONWARNINGS": "error", "KUBECONFIG": "/nonexistent"},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_from_the_document_to_the_receipt_and_back(
    ours: Organisation, document: dict[str, Any], tmp_path: Path
) -> None:
    officer, kernel = Officer(ours, tmp_path, "officer"), Officer(ours, tmp_path, "kernel")
    text = yaml.safe_dump(document, sort_keys=False)
    made = officer.trust("federation-policy", "create", "--config", "-", stdin=text)
    assert made == (0, "federationpolicy/ours-to-b created for partner partner-b\n", "")

    def listed() -> object:
        code, found, said = officer.trust("federation-policy", "list", "-o", "yaml")
        assert code == 0, said
        return yaml.safe_load(found)

    assert wait_for(listed, "the policy in the operator's cache") == document
    again = officer.trust("federation-policy", "create", "--config", "-", stdin=text)
    assert again == (0, "federationpolicy/ours-to-b unchanged for partner partner-b\n", "")

    chain = ours.capability(int(time.time()), agent=AGENT, worker=WORKER)
    capability, receipt = tmp_path / "chain.json", tmp_path / "receipt.json"
    capability.write_text(json.dumps([each.to_wire() for each in chain.tokens]))
    public_key = str(ours.scene.get(DOMAINS, "ours")["status"]["publicKey"])
    judging = (
        "federation-policy", "evaluate", "--partner-id", "partner-b", "--capability-file", capability,
        "--kernel-key", public_key, "--receipt-file", receipt, "-o", "json",
    )  # fmt: skip
    code, told, said = kernel.trust(*judging, *CALL, "--parameter", "row_limit=100")
    assert (code, said) == (0, "")
    assert json.loads(told)["receiptVerified"] is True
    assert open_receipt(receipt.read_bytes(), kernel_key=None).body.decision.verdict == "allow"
    code, told, said = kernel.trust(*judging, *CALL, "--parameter", "row_limit=101")
    assert (code, json.loads(told)["decision"]["reason"], said) == (3, "ParameterExceeded", "")
    assert open_receipt(receipt.read_bytes(), kernel_key=None).body.decision.verdict == "deny"
    code, _, said = officer.trust(*judging)
    assert (code, "it needs the verb evaluate" in said) == (1, True)

    code, told, said = officer.trust("federation-policy", "delete", "--partner-id", "partner-b")
    assert (code, "deleted" in told, said) == (0, True, "")
    wait_for(lambda: kernel.trust(*judging)[0] == 3, "the end of the policy")


def test_what_is_revoked_is_in_the_feed(ours: Organisation, tmp_path: Path) -> None:
    officer = Officer(ours, tmp_path, "officer")
    code, told, said = officer.trust("revoke", "--trust-domain", "ours", "cap-1", "cap-2", "-o", "json")
    assert code == 0, said
    assert json.loads(told)["treeSize"] == 2
    public_key = str(ours.scene.get(DOMAINS, "ours")["status"]["publicKey"])
    code, told, said = bilateral(
        "feed", "verify", f"{ours.operator.url}/v1/revocations/feed", "--signer", public_key, "--ca-file",
        tmp_path / "ca.pem", "-o", "json",
    )  # fmt: skip
    assert code == 0, said
    assert json.loads(told)["treeSize"] == 2
    assert (
        json.loads(officer.trust("revoke", "--trust-domain", "ours", "cap-1", "-o", "json")[1])["treeSize"]
        == 2
    )
    code, _, said = officer.trust("revoke", "--trust-domain", "absent", "cap-1")
    assert (code, "TrustDomainNotFound" in said) == (1, True)
    code, _, said = Officer(ours, tmp_path, "kernel").trust("revoke", "--trust-domain", "ours", "cap-1")
    assert (code, "it needs the verb revoke" in said) == (3, True)
