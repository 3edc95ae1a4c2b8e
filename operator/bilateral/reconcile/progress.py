"""The two conditions that every kind ends with: whether something is under way, and whether a person is needed."""

from __future__ import annotations

from bilateral.protocol.reasons import Reason
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted


def progress(*, reconciling: bool, stalled: bool) -> dict[str, Wanted]:
    """Both conditions, by type."""
    return {
        "Reconciling": _flag(reconciling, Reason.PROGRESSING),
        "Stalled": _flag(stalled, Reason.NEEDS_ATTENTION),
    }


def _flag(holds: bool, reason: Reason) -> Wanted:
    said = reason if holds else Reason.SETTLED
    return Wanted(ConditionStatus.TRUE if holds else ConditionStatus.FALSE, said, sentence(said))
