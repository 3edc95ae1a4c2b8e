"""Looks at FederationPolicies: reads the partner's feed when it is time, and says what there is.

Without a ledger nothing is decided and no feed is read; the status says so.
"""

from __future__ import annotations

from typing import Protocol

from bilateral.engine.cache import Key
from bilateral.engine.decisions import history_of
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.policies import Policies
from bilateral.engine.readings import Readings
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet
from bilateral.reconcile.policies import FeedView, PolicyView, reconcile_policy
from bilateral.resources.federationpolicy import FederationPolicy

_NO_LEDGER = FeedView(
    PartnerRevocations(RevocationSet(), "nobody", None), failure=Reason.LEDGER_MISCONFIGURED
)


class Judging(Protocol):
    """What there is of the ledger's side; ``readings`` is None while there is no open ledger."""

    policies: Policies
    readings: Readings | None


class FederationPolicyLooker:
    """Looks at FederationPolicies."""

    def __init__(self, tools: Tools, judge: Judging) -> None:
        self._tools = tools
        self._judge = judge
        self._uids: dict[Key, str] = {}

    async def look(self, key: Key) -> None:
        """Look at a FederationPolicy."""
        tools, policies, readings = self._tools, self._judge.policies, self._judge.readings
        found = await tools.read(FederationPolicy, key)
        counting = None if found is None else policies.counting(key)
        if counting is None:
            self._forget(key)
            return
        self._uids[key] = counting.policy.metadata.uid
        if readings is not None:
            due = readings.due_at(counting)
            if due is not None and due <= tools.now() and tools.holds():
                await readings.read(counting)
                found = await tools.read(FederationPolicy, key)
                counting = None if found is None else policies.counting(key)
        if found is None or counting is None or not tools.holds():
            return
        raw, policy = found
        feed = _NO_LEDGER if readings is None else await readings.view(counting)
        now = tools.now()
        view = PolicyView(
            counting.partner,
            None if counting.peer is None else counting.peer.operator_id,
            counting.rivals,
            feed,
            history_of(counting, now),
        )
        outcome = reconcile_policy(policy, view, now)
        await tools.write_status(key, raw, outcome.status.to_wire())
        next_reading = None if readings is None else readings.due_at(counting)
        planned = [at for at in (outcome.next_at, next_reading) if at is not None]
        if planned:
            tools.schedule(key, min(planned))

    def _forget(self, key: Key) -> None:
        uid = self._uids.pop(key, None)
        if uid is not None and self._judge.readings is not None:
            self._judge.readings.forget(uid)
