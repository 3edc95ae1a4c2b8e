"""Decides about partners' capabilities for the kernels of our cluster, on every replica.

What is known is put together from the cache, the clock and the news of revocations; the decision itself is
:func:`~bilateral.protocol.policies.decisions.decide`. Rules:

- Every decision, allowance or denial, is signed as a receipt, and is in the ledger before it is told. One that
  cannot be recorded is a denial, signed as well.
- What was decided from is what held at one moment: the ledger is asked before, nothing is waited for between
  looking and deciding.
- Nobody is answered while there is no key to sign with, or the clock went back.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from bilateral.engine.clock import ClockGuard
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.policies import NOBODY, Counting, Policies
from bilateral.engine.revocations import RevocationNews
from bilateral.engine.views import Domain
from bilateral.exchange.callers import Caller
from bilateral.exchange.errors import Refusal
from bilateral.ledger.errors import LedgerError
from bilateral.ledger.interface import Ledger
from bilateral.ledger.records import Link
from bilateral.protocol.canonical import JSON
from bilateral.protocol.decision_receipts import build_decision_receipt
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.partner_keys import observe_partner
from bilateral.protocol.policies.decisions import decide
from bilateral.protocol.policies.evaluations import Evaluation, build_evaluation_answer
from bilateral.protocol.policies.policy import SharingPosture
from bilateral.protocol.policies.questions import Decision, Situation
from bilateral.protocol.reasons import Reason
from bilateral.protocol.receipts import Receipt
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet

RETRY_AFTER_SECONDS = 5
DECISION_RECORD_SCHEMA = "bilateral.decision-record.v1"
_NO_NEWS = PartnerRevocations(RevocationSet(), "nobody", None)

log = Log("decisions")


class Decisions:
    """Judges questions."""

    def __init__(
        self, policies: Policies, news: RevocationNews, ledger: Ledger, guard: ClockGuard, metrics: Metrics
    ) -> None:
        self._policies = policies
        self._news = news
        self._ledger = ledger
        self._guard = guard
        self._metrics = metrics

    async def evaluate(self, namespace: str, caller: Caller, evaluation: Evaluation) -> bytes:
        """Decide, record, answer. Raises Refusal (NotReady) where nobody can be answered."""
        partner_id = evaluation.question.partner_id
        trouble = await self._learn(self._policies.of_partner(namespace, partner_id))
        found = self._policies.of_partner(namespace, partner_id)
        now = self._guard.now()
        domain = self._policies.signer(namespace, found)
        if domain is None or domain.signing_key is None or self._guard.regressed:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        decision = decide(evaluation.question, self._situation(found, now), now)
        if trouble is not None:
            decision = _denied(decision, trouble)
        try:
            receipt = _sign(decision, domain, evaluation)
        except MalformedDocument as error:  # an allowance that no receipt can tell
            decision = _denied(decision, error.reason)
            receipt = _sign(decision, domain, evaluation)
        link: Link | None = None
        if trouble is None:
            body = _record(decision, namespace, caller, evaluation, domain, found)
            try:
                link = await self._ledger.record_decision(body, receipt.to_members())
            except (LedgerError, MalformedDocument) as error:
                log.warning("a decision could not be recorded, and is a denial", reason=error.reason.value)
                decision = _denied(decision, error.reason)
                receipt = _sign(decision, domain, evaluation)
        self._metrics.decided(decision.reason)
        place: dict[str, JSON] | None = None if link is None else {"seq": link.seq, "hash": link.hash}
        return build_evaluation_answer(decision, receipt, place)

    async def _learn(self, found: Counting | Reason) -> Reason | None:
        """Know what the ledger knows of the partner's revocations; why that cannot be, or None."""
        if isinstance(found, Counting) and found.relation is not None:
            try:
                await self._news.load(found.relation)
            except (LedgerError, MalformedDocument) as error:
                log.warning("the ledger cannot be read: nothing is allowed", reason=error.reason.value)
                return error.reason
        return None

    def _situation(self, found: Counting | Reason, now: int) -> Situation:
        if isinstance(found, Reason):
            return Situation(None, NOBODY, KeyHistory(), _NO_NEWS, found)
        if found.reason is not None:
            return Situation(None, found.standing, KeyHistory(), _NO_NEWS, found.reason)
        news = _NO_NEWS
        if found.relation is not None:
            news = self._news.about(
                found.relation, found.meaning.max_staleness_seconds, found.policy.metadata.created_at
            )
        return Situation(found.meaning, found.standing, history_of(found, now), news)


def history_of(found: Counting, now: int) -> KeyHistory:
    """Which keys spoke for the partner, up to now."""
    return observe_partner(
        found.policy.status.keys,
        anchors=() if found.peer is None else found.peer.anchors,
        pinned=None if found.partner is None else found.partner.public_key,
        policy=found.meaning if found.reason is None else None,
        now=now,
    )


def _denied(decision: Decision, reason: Reason) -> Decision:
    """The same decision, where what it needs to be told cannot be had."""
    if not decision.allowed:
        return decision
    return replace(decision, allowed=False, reason=reason, effective=None, valid_until=None)


def _sign(decision: Decision, domain: Domain, evaluation: Evaluation) -> Receipt:
    if domain.signing_key is None:
        raise ValueError("expected a key to sign with")
    return build_decision_receipt(
        decision,
        receipt_id=f"rcpt-{uuid.uuid4().hex}",
        partner_id=evaluation.question.partner_id,
        call=evaluation.question.call,
        presented=evaluation.presented,
        key=domain.signing_key,
    )


def _record(
    decision: Decision,
    namespace: str,
    caller: Caller,
    evaluation: Evaluation,
    domain: Domain,
    found: Counting | Reason,
) -> dict[str, JSON]:
    """What a later reader is to know (R-G3): who asked, under which policy and key, what was decided and why.

    The sharing posture says of the record itself, and of its receipt, whether a third party may be shown them.
    """
    trust_domain = domain.view.trust_domain
    meaning = found.meaning if isinstance(found, Counting) and found.reason is None else None
    posture = SharingPosture.PAIR_SCOPED if meaning is None else meaning.sharing_posture
    return {
        "schema": DECISION_RECORD_SCHEMA,
        "namespace": namespace,
        "caller": caller.username,
        "partnerId": evaluation.question.partner_id,
        "kernelId": trust_domain.spec.kernel_id,
        "sharingPosture": posture.value,
        "decision": decision.to_wire(),
    }
