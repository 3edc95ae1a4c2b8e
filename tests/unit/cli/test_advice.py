"""Advice: every reason that a person may meet has a meaning, and every bad one a next step."""

from __future__ import annotations

import pytest

from bilateral.cli.advice import ADVICE, advise
from bilateral.protocol.reasons import Reason
from bilateral.resources.kinds import KINDS

READY_REASONS = {
    reason
    for kind in KINDS
    for condition in kind.CONDITIONS
    if condition.name == "Ready"
    for reason in condition.reasons
}
WELL = {
    Reason.READY, Reason.FRESH, Reason.ANCHORED, Reason.PINNED, Reason.ACKNOWLEDGED,
    Reason.UNIQUE, Reason.CLOCK_IN_SYNC, Reason.SETTLED, Reason.ENVELOPE_ACCEPTED,
    Reason.VERIFIER_RESOLVED, Reason.CHAIN_AVAILABLE, Reason.CHAIN_NOT_NEEDED,
    Reason.NOT_OBSERVED, Reason.NOT_APPLICABLE, Reason.ISSUED, Reason.OUTPUTS_WRITTEN, Reason.APPROVED,
    Reason.INSTALLED, Reason.AUTHORITIES_PINNED, Reason.AUTHORITIES_ANNOUNCED,
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(set(Reason) | READY_REASONS))
def test_every_reason_has_a_meaning_and_whose_move_it_is(reason: Reason) -> None:
    advice = ADVICE[reason]
    assert advice.meaning
    assert advice.meaning[0].islower()
    assert not advice.meaning.endswith(".")
    if reason in WELL:
        assert advice.step is None
    else:
        assert advice.step is not None
        assert advice.step.startswith(("Yours", "Theirs:", "Both:", "Nothing to do"))
        assert advice.step.endswith(".")


def test_a_word_of_a_newer_operator_still_gets_an_answer() -> None:
    assert advise("SomethingNew").step
