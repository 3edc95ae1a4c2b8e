"""The guide about policies keeps its promises: its programs run, and its policy decides as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.protocol.decision_receipts import build_decision_receipt
from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.policies.decisions import decide
from bilateral.protocol.policies.evaluations import parse_evaluation
from bilateral.protocol.policies.questions import Decision, PeerStanding, Situation
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet
from bilateral.resources.federationpolicy import FederationPolicy

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"```python\n# (\w+\.py)(.*?)```", PAGE, re.DOTALL))
CALL = {
    "toolServer": "billing.org-a.internal",
    "tool": "reports.read",
    "operation": "invoke",
    "parameters": {"row_limit": 500},
    "amount": {"units": 1200, "currency": "USD"},
}


def run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(f"#{PROGRAMS[name]}")
    command = [sys.executable, name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def policy(folder: Path) -> FederationPolicy:
    """The page's policy, for the key that the page's program printed."""
    issued = run("issue.py", folder)
    assert issued.returncode == 0, issued.stderr
    manifest = re.search(r"```yaml\n# org-b-policy.yaml\n(.+?)```", PAGE, re.DOTALL)
    assert manifest is not None
    obj: dict[str, Any] = yaml.safe_load(manifest[1].replace("ed25519:…", issued.stdout.strip()))
    obj["metadata"] |= {"namespace": "trust", "uid": "1", "generation": 1}
    return FederationPolicy.parse(obj)


def judge(policy: FederationPolicy, folder: Path, **parameters: int) -> tuple[Decision, bytes]:
    question = {
        "partnerId": "org-b",
        "capability": json.loads((folder / "capability.json").read_text()),
        "autonomyTier": "delegated",
        "call": CALL | {"parameters": parameters},
    }
    evaluation = parse_evaluation(json.dumps(question).encode())
    now = int(time.time())
    news = PartnerRevocations(RevocationSet(), "org-b", now + 900)
    standing = PeerStanding(known=True, fresh_until=now + 900)
    decision = decide(evaluation.question, Situation(policy.to_policy(), standing, KeyHistory(), news), now)
    return decision, evaluation.presented


def test_the_policy_of_the_page_decides_as_the_page_says(policy: FederationPolicy, folder: Path) -> None:
    allowed, _ = judge(policy, folder, row_limit=500)
    assert allowed.allowed, allowed.reason
    denied, _ = judge(policy, folder, row_limit=20_000)
    (failed,) = [each for each in denied.checks if each.outcome == "failed"]
    assert (denied.reason, failed.expected, failed.found) == (
        "ParameterExceeded",
        "row_limit <= 10000",
        "20000",
    )
    for told in ('"reason": "ParameterExceeded"', '"expected": "row_limit <= 10000", "found": "20000"'):
        assert told in PAGE


def test_the_receipt_is_verified_as_the_page_says_and_by_no_other_key(
    policy: FederationPolicy, folder: Path
) -> None:
    key = SigningKey.generate()
    decision, presented = judge(policy, folder, row_limit=500)
    receipt = build_decision_receipt(
        decision, receipt_id="rcpt-1", partner_id="org-b", call=None, presented=presented, key=key
    )
    (folder / "receipt.json").write_bytes(receipt.to_json())
    verified = run("verify.py", folder, key.public_key.canonical)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("rcpt-1 ")
    assert run("verify.py", folder, SigningKey.generate().public_key.canonical).returncode != 0
