"""The status of an object whose spec breaks a rule: admission did not see it, so we say it.

Nothing of such an object is relied on. What its status said before stays, but for the conditions:
once the spec is right again, a pin that is still fresh counts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.errors import InvalidResource
from bilateral.resources.meta import Resource, Status


def build_invalid_status(
    kind: type[Resource], obj: Mapping[str, Any], error: InvalidResource, now: int
) -> dict[str, Any]:
    """The status, as it is written, of an object that cannot be parsed."""
    status = dict(obj.get("status") or {})
    try:
        before = Status.model_validate({"conditions": status.get("conditions", [])}).conditions
    except ValueError:
        before = ()
    generation = int(obj["metadata"].get("generation", 0))
    wanted = {
        each.name: Wanted(ConditionStatus.UNKNOWN, error.reason, sentence(error.reason))
        for each in kind.CONDITIONS
    }
    wanted["Ready"] = Wanted(ConditionStatus.FALSE, error.reason, f"{error.field} {error.message}.")
    wanted |= progress(reconciling=False, stalled=True)
    status["conditions"] = [each.to_wire() for each in build_conditions(before, wanted, generation, now)]
    status["observedGeneration"] = generation
    return status
