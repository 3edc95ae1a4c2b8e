"""A policy over the control endpoint that approves introductions in advance: only for whoever may approve them."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from bilateral.engine.control import Control, approves_in_advance
from bilateral.engine.decisions import Decisions
from bilateral.engine.publishing import Feeds
from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.control import Call
from bilateral.exchange.errors import Refusal
from bilateral.protocol.reasons import Reason

from .conftest import FakeClock
from .memory import MemoryAPI, Replica

CALLER = Caller("officer")
DOCUMENT: dict[str, Any] = {
    "apiVersion": "chio.dev/v1",
    "kind": "FederationPolicy",
    "metadata": {"name": "org-b"},
    "spec": {
        "partner_id": "org-b",
        "trusted_issuers": ["ed25519:" + "ab" * 32],
        "max_scope": {"tool_servers": ["a"], "tools": [{"tool": "b", "parameter_bounds": {}}]},
        "max_autonomy_tier": "Direct",
        "max_evidence_age_secs": 60,
    },
}


class Reviewer:
    """Lets the caller do what is listed."""

    def __init__(self, *verbs: str) -> None:
        self.verbs = verbs
        self.asked: list[Action] = []

    async def authenticate(self, token: str) -> Caller:
        raise AssertionError("nobody shows a token here")

    async def authorize(self, caller: Caller, action: Action) -> None:
        assert caller == CALLER
        self.asked.append(action)
        if action.verb not in self.verbs:
            raise Refusal(Reason.FORBIDDEN)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (None, False),
        ({}, False),
        ({"approval": "Manual", "allowedSubjects": ["CN=a"], "maxValiditySeconds": 600}, False),
        ({"dnsNames": []}, False),
        ({"approval": "Automatic", "allowedSubjects": ["CN=a"]}, True),
        ({"approval": "automatic"}, True),
        ({"dnsNames": ["a.example"]}, True),
    ],
)
def test_what_approves_in_advance(terms: dict[str, Any] | None, expected: bool) -> None:
    assert approves_in_advance({} if terms is None else {"introductions": terms}) is expected


@pytest.mark.parametrize("verbs", [(), ("approve",)])
@pytest.mark.parametrize("terms", [None, {"approval": "Automatic", "allowed_subjects": ["CN=a"]}])
async def test_only_who_may_approve_makes_a_policy_that_approves(
    clock: FakeClock, verbs: tuple[str, ...], terms: dict[str, Any] | None
) -> None:
    api, reviewer = MemoryAPI(), Reviewer(*verbs)
    replica = Replica(api, clock)
    none = cast(Any, None)
    control = Control(api, replica.cache, cast(Decisions, none), cast(Feeds, none), reviewer, ["trust"])
    document = {
        **DOCUMENT,
        "spec": {**DOCUMENT["spec"], **({} if terms is None else {"introductions": terms})},
    }
    call = Call(CALLER, "trust", body=json.dumps({"peer": "org-b", **document}).encode())
    refused = terms is not None and not verbs
    if refused:
        with pytest.raises(Refusal) as caught:
            await control.create_policy(call)
        assert caught.value.reason is Reason.FORBIDDEN
    else:
        await control.create_policy(call)
    assert (("federationpolicies", "org-b") in api.objects) is not refused
    assert reviewer.asked == ([] if terms is None else [Action("approve", "introductions", "trust")])
