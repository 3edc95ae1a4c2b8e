"""Conditions: what a status says in one word and one sentence.

- All condition types of a kind are present from the first look.
- ``lastTransitionTime`` moves only when ``status`` flips, never for a new reason or message.
- ``reason`` is a word of the one closed list; ``message`` is ours alone, never remote text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from bilateral.protocol.reasons import Reason
from bilateral.resources.model import ListType, StatusModel
from bilateral.resources.times import Time

MESSAGE_MAX_LENGTH: Final = 1024
"""Longer messages are cut, so that a status can always be written."""


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """One condition of an object, in the form that Kubernetes tools know."""

    type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)] = Field(
        description="What the condition is about; unique in the list."
    )
    status: ConditionStatus = Field(description="Whether it holds: True, False, or Unknown while working.")
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)] = Field(
        description="Why, as one word of a closed list; see the reference."
    )
    message: Annotated[str, StringConstraints(max_length=MESSAGE_MAX_LENGTH)] = Field(
        description="Why, as a sentence: what was found, what was expected, whose move it is."
    )
    observed_generation: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The metadata.generation that this was decided from."
    )
    last_transition_time: Time = Field(description="When the status last flipped.")


Conditions = Annotated[
    tuple[Condition, ...], Field(max_length=16), ListType("map", key="type", attribute="type")
]
"""``status.conditions`` of every kind."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a condition should say, without when it began."""

    status: ConditionStatus
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class ConditionType:
    """A condition type of a kind, as the reference describes it."""

    name: str
    says: str
    reasons: tuple[Reason, ...]


def build_conditions(
    previous: Sequence[Condition],
    wanted: Mapping[str, Wanted],
    observed_generation: int,
    now: int,
) -> list[Condition]:
    """Build the wanted conditions, in the order of ``wanted``, with their transition times.

    A condition whose status is what it was keeps its ``lastTransitionTime``; one that flips or is
    new gets ``now``. A previous condition that is not wanted disappears.
    """
    before = {condition.type: condition for condition in previous}
    built: list[Condition] = []
    for name, want in wanted.items():
        old = before.get(name)
        since = now if old is None or old.status is not want.status else old.last_transition_time
        built.append(
            Condition(
                type=name,
                status=want.status,
                reason=want.reason.value,
                message=want.message[:MESSAGE_MAX_LENGTH],
                observed_generation=observed_generation,
                last_transition_time=since,
            )
        )
    return built
