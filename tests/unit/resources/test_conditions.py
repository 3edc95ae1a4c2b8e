import pytest

from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import (
    MESSAGE_MAX_LENGTH,
    Condition,
    ConditionStatus,
    Wanted,
    build_conditions,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def _held(status: ConditionStatus, reason: Reason = Reason.FRESH, since: int = 100) -> Condition:
    return Condition(
        type="Ready",
        status=status,
        reason=reason.value,
        message="m",
        observed_generation=1,
        last_transition_time=since,
    )


@pytest.mark.parametrize(
    ("previous", "wanted", "since"),
    [
        pytest.param([], Wanted(TRUE, Reason.FRESH, "m"), 500, id="a new condition begins now"),
        pytest.param([_held(TRUE)], Wanted(TRUE, Reason.FRESH, "m"), 100, id="the same keeps its time"),
        pytest.param(
            [_held(TRUE)], Wanted(TRUE, Reason.PINNED, "m"), 100, id="another reason keeps its time"
        ),
        pytest.param(
            [_held(TRUE)], Wanted(TRUE, Reason.FRESH, "n"), 100, id="another message keeps its time"
        ),
        pytest.param(
            [_held(TRUE)], Wanted(FALSE, Reason.PEER_STALE, "m"), 500, id="True to False begins now"
        ),
        pytest.param(
            [_held(FALSE)], Wanted(UNKNOWN, Reason.PROGRESSING, "m"), 500, id="False to Unknown begins now"
        ),
    ],
)
def test_the_transition_time_moves_only_when_the_status_flips(
    previous: list[Condition], wanted: Wanted, since: int
) -> None:
    (built,) = build_conditions(previous, {"Ready": wanted}, observed_generation=7, now=500)
    assert built.last_transition_time == since
    assert (built.status, built.reason, built.message) == (wanted.status, wanted.reason, wanted.message)
    assert built.observed_generation == 7


def test_exactly_the_wanted_types_in_the_wanted_order() -> None:
    wanted = {name: Wanted(TRUE, Reason.SETTLED, "m") for name in ("Ready", "Fresh", "Anchored")}
    built = build_conditions([_held(TRUE).model_copy(update={"type": "Gone"})], wanted, 1, 500)
    assert [condition.type for condition in built] == ["Ready", "Fresh", "Anchored"]


def test_building_again_changes_nothing() -> None:
    wanted = {name: Wanted(TRUE, Reason.SETTLED, "m") for name in ("Ready", "Fresh")}
    once = build_conditions([], wanted, 1, 500)
    assert build_conditions(once, wanted, 1, 900) == once


def test_a_long_message_is_cut_to_what_can_be_written() -> None:
    (built,) = build_conditions([], {"Ready": Wanted(TRUE, Reason.READY, "x" * 5000)}, 1, 500)
    assert len(built.message) == MESSAGE_MAX_LENGTH


def test_the_wire_form() -> None:
    assert _held(TRUE).to_wire() == {
        "type": "Ready",
        "status": "True",
        "reason": "Fresh",
        "message": "m",
        "observedGeneration": 1,
        "lastTransitionTime": "1970-01-01T00:01:40Z",
    }
