"""Chains of capabilities to break: an authority, an agent, a worker and a last one, each with a key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.capabilities.links import DelegationLink, sign_link
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.capabilities.tokens import CapabilityToken, sign_token
from bilateral.protocol.keys import SigningKey

ISSUED = 1_714_291_200
NOW = ISSUED + 500
EXPIRES = ISSUED + 3600

AUTHORITY = SigningKey.from_seed(b"\x0b" * 32)
AGENT = SigningKey.from_seed(b"\x0c" * 32)
WORKER = SigningKey.from_seed(b"\x0d" * 32)
LAST = SigningKey.from_seed(b"\x0e" * 32)
STRANGER = SigningKey.from_seed(b"\x0f" * 32)

ROWS = Constraint(ConstraintType.MAX_ROWS_RETURNED, 10_000)
GRANT = ToolGrant(
    server_id="billing.org-b.internal",
    tool_name="reports.read",
    operations=(Operation.INVOKE, Operation.READ_RESULT, Operation.DELEGATE),
    constraints=(ROWS,),
    max_invocations=10,
    max_cost_per_invocation=Money(500, "USD"),
    max_total_cost=Money(5000, "USD"),
    dpop_required=True,
)
SCOPE = Scope(grants=(GRANT,))


def chain_of_one(*, newer: bool = False, scope: Scope = SCOPE) -> Chain:
    """The authority's capability for the agent."""
    return issue(
        AUTHORITY,
        capability_id="cap-root",
        subject=AGENT.public_key,
        scope=scope,
        issued_at=ISSUED,
        expires_at=EXPIRES,
        newer=newer,
    )


def chain_of_two(*, newer: bool = False, **changes: Any) -> Chain:
    """What the agent passed on to the worker, with changes to the arguments of delegate."""
    arguments: dict[str, Any] = {
        "capability_id": "cap-child",
        "subject": WORKER.public_key,
        "scope": SCOPE,
        "issued_at": ISSUED + 100,
        "expires_at": EXPIRES,
    }
    return delegate(chain_of_one(newer=newer), AGENT, newer=newer, **{**arguments, **changes})


def chain_of_three(*, newer: bool = False, **changes: Any) -> Chain:
    """What the worker passed on again, with changes to the arguments of delegate."""
    arguments: dict[str, Any] = {
        "capability_id": "cap-leaf",
        "subject": LAST.public_key,
        "scope": SCOPE,
        "issued_at": ISSUED + 200,
        "expires_at": EXPIRES,
    }
    return delegate(chain_of_two(newer=newer), WORKER, newer=newer, **{**arguments, **changes})


def resign(
    chain: Chain, *, link: dict[str, Any] | None = None, key: SigningKey = AGENT, **token: Any
) -> Chain:
    """Change a chain of two: its one link, then its leaf, and sign both so that every signature holds.

    ``key`` signs the leaf; a ``delegator_key`` among the changes of the link signs that.
    """
    leaf = chain.leaf
    if link is not None:
        changes = dict(link)
        delegator: SigningKey = changes.pop("delegator_key", AGENT)
        changed: DelegationLink = sign_link(replace(leaf.delegation_chain[-1], **changes), delegator)
        leaf = replace(leaf, delegation_chain=(*leaf.delegation_chain[:-1], changed))
    signed: CapabilityToken = sign_token(replace(leaf, **token), key)
    return Chain((*chain.tokens[:-1], signed))
