"""Whoever asks an organisation's control endpoint: its kernel for decisions, its officer to revoke.

Both are ServiceAccounts with one right each, and use the command line as a person would.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.capabilities import SERVER, TOOL
from demo.organisation import Organisation
from demo.telling import Unexpected, expect, require

from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.receipts import Receipt, Verdict, open_receipt

ALLOWED, DENIED = 0, 3
"""Exit codes of ``bilateral trust federation-policy evaluate``."""
PARTNER = "org-a"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call that a worker wants to make, with what it brings along."""

    tool: str = TOOL
    rows: int = 50
    amount: str = "5.00USD"
    tier: str = "delegated"
    evidence_age_seconds: int = 300

    def words(self, now: int) -> list[str]:
        """Write it as options."""
        return [
            f"--tool-server={SERVER}", f"--tool={self.tool}", f"--parameter=row_limit={self.rows}",
            f"--amount={self.amount}", f"--autonomy-tier={self.tier}",
            f"--evidence=reputation={now - self.evidence_age_seconds}",
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, as it was printed, and its receipt, verified with the kernel's published key."""

    members: dict[str, Any]
    receipt: Receipt
    link: str

    @property
    def reason(self) -> str:
        """Why it was denied; ``allowed`` if it was not."""
        return str(self.members.get("reason", "allowed"))

    @property
    def failed(self) -> tuple[str, str]:
        """What the first failed check expected and found."""
        for check in self.members["checks"]:
            if check["outcome"] == "failed":
                return check["expected"], check["found"]
        raise Unexpected("the checks of a decision", "one that failed", self.members["checks"])

    @property
    def clamps(self) -> dict[str, tuple[str, str]]:
        """What was presented and what is effective, of every field that the policy narrowed."""
        return {each["field"]: (each["presented"], each["effective"]) for each in self.members["clamps"]}


class ControlUser:
    """A ServiceAccount of an organisation that calls its control endpoint."""

    def __init__(self, organisation: Organisation, account: str) -> None:
        self.organisation = organisation
        self.asked = 0
        self._folder = organisation.directory / account
        self._folder.mkdir()
        token = organisation.kubectl("create", "token", account, "--audience", "bilateral")
        self._options = (
            f"--control-url={organisation.control_url}",
            f"--control-token-file={self._write('token', token)}",
            f"--control-ca-file={self._write('ca.pem', organisation.authority())}",
        )

    def revoke(self, capability_id: str) -> str:
        """Revoke a capability of the organisation's; return what was printed. Raises CommandError."""
        domain = f"--trust-domain={self.organisation.name}"
        return self.organisation.bilateral("trust", "revoke", capability_id, domain, *self._options).stdout

    def explain(self, chain: Path, attempt: Attempt) -> str:
        """Ask for a decision that is a denial, and return what a person reads. Raises Unexpected."""
        code, text = self._ask(chain, attempt)
        expect("the exit code", code, DENIED)
        return text

    def evaluate(self, chain: Path, attempt: Attempt | None = None) -> Decided:
        """Ask for a decision, and hold its receipt against it. Raises Unexpected, ProtocolError."""
        file = self._folder / "receipt.json"
        code, text = self._ask(chain, attempt or Attempt(), f"--receipt-file={file}", "-o", "json")
        members = json.loads(text)
        decision = members["decision"]
        expect("the exit code", code, ALLOWED if decision["allowed"] else DENIED)
        require("the receipt", members["receiptVerified"], "verified by the kernel's key", "not verified")
        receipt = open_receipt(
            file.read_bytes(), kernel_key=parse_public_key(self.organisation.domain()["publicKey"])
        )
        verdict = Verdict.ALLOW if decision["allowed"] else Verdict.DENY
        expect("the verdict of the receipt", receipt.body.decision.verdict, verdict)
        ledger = members["ledger"] or {}
        return Decided(decision, receipt, f"{ledger.get('seq')}:{ledger.get('hash')}")

    def _ask(self, chain: Path, attempt: Attempt, *words: str) -> tuple[int, str]:
        answer = self.organisation.run_bilateral(
            "trust", "federation-policy", "evaluate", f"--partner-id={PARTNER}", f"--capability-file={chain}",
            *attempt.words(int(time.time())), f"--kernel-key={self.organisation.domain()['publicKey']}",
            *words, *self._options,
        )  # fmt: skip
        if answer.returncode not in (ALLOWED, DENIED):
            raise Unexpected("evaluate", "a decision", answer.stderr.strip() or answer.returncode)
        self.asked += 1
        return answer.returncode, answer.stdout

    def _write(self, name: str, text: str) -> Path:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        return file
