"""What Org A's agent holds and hands on: chains of capabilities, and the policy document that judges them.

The authority, the agent and the worker are keys of this program. A chain is made with the product's own functions
and written to a file, as whoever presents it would.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.grants import ANY, Operation, Scope, ToolGrant
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.keys import SigningKey

DOCUMENTS = Path(__file__).resolve().parent / "documents"
SERVER, TOOL, OTHER_TOOL = "billing.org-b.internal", "billing.read", "billing.delete"
HOUR_SECONDS = 3600

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Holders:
    """Org A's authority, now and before, its agent, and the worker of Org B that the agent hires."""

    authority: SigningKey = field(default_factory=SigningKey.generate)
    previous: SigningKey = field(default_factory=SigningKey.generate)
    agent: SigningKey = field(default_factory=SigningKey.generate)
    worker: SigningKey = field(default_factory=SigningKey.generate)

    def hand_on(self, name: str, issuer: SigningKey) -> Chain:
        """Make a chain: ``<name>-agent`` by an authority for the agent, ``<name>-worker`` by the agent."""
        now = int(time.time())
        root = issue(
            issuer,
            capability_id=f"{name}-agent",
            subject=self.agent.public_key,
            scope=_scope(10_000, cents=100_000),
            issued_at=now - 60,
            expires_at=now + 2 * HOUR_SECONDS,
        )
        return delegate(
            root,
            self.agent,
            capability_id=f"{name}-worker",
            subject=self.worker.public_key,
            scope=_scope(10_000, 1_000, cents=20_000),
            issued_at=now - 30,
            expires_at=now + HOUR_SECONDS,
        )


def _scope(*rows: int, cents: int) -> Scope:
    """Any tool of Org B's billing, up to so many rows at once and so much money in all.

    A limit that is handed on stays, and a smaller one is put beside it: all of them hold.
    """
    grant = ToolGrant(
        SERVER,
        ANY,
        (Operation.INVOKE, Operation.DELEGATE),
        constraints=tuple(Constraint(ConstraintType.MAX_ROWS_RETURNED, each) for each in rows),
        max_total_cost=Money(cents, "USD"),
    )
    return Scope(grants=(grant,))


def write_chain(chain: Chain, file: Path) -> Path:
    """Write a chain as it is presented: a list of tokens, the root first."""
    file.write_text(json.dumps([token.to_wire() for token in chain.tokens]), encoding="utf-8")
    return file


def load_document(name: str) -> Document:
    """Read a document of ``documents/``."""
    document: Document = yaml.safe_load((DOCUMENTS / name).read_text(encoding="utf-8"))
    return document


def with_issuers(document: Document, issuers: Sequence[SigningKey]) -> Document:
    """Replace the keys that may issue."""
    changed = copy.deepcopy(document)
    changed["spec"]["trusted_issuers"] = [key.public_key.canonical for key in issuers]
    return changed


def with_feed(document: Document, endpoint: str) -> Document:
    """Replace the server of the revocation feed."""
    changed = copy.deepcopy(document)
    changed["spec"]["revocation_feed"]["url"] = f"{endpoint}/v1/revocations/feed"
    return changed
