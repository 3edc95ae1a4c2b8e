"""The lists that kernels and nodes mount, and when the next handshake is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.reasons import Reason
from bilateral.reconcile import schedule
from bilateral.reconcile.peer import Direction, Received
from bilateral.reconcile.peer_lists import MAX_PART_BYTES, PeerLine, build_line, build_parts
from bilateral.reconcile.sentences import SENTENCES, sentence

from .conftest import NOW, THEIRS, WINDOW, World, envelope


def line_of(world: World) -> PeerLine:
    outcome = world.look()
    return build_line(world.peer, outcome.findings)


def fresh(**spec: Any) -> World:
    world = World()
    world.spec = {**world.spec, **spec}
    world.look(Received(envelope(timestamp=world.now), Direction.ANSWER))
    return world


def test_a_fresh_peer_is_in_both_lists() -> None:
    line = line_of(
        fresh(
            displayName="Org B",
            fingerprints=["SHA256:" + "ab" * 32, THEIRS.public_key.canonical],
            scopes=["relay:connect"],
            resources={"service": ["gitea"]},
            authTokenHash="sha256:" + "cd" * 32,
        )
    )
    assert line.peer is not None
    assert json.loads(line.peer) == {
        "kernelId": "org-b-kernel",
        "publicKey": THEIRS.public_key.hex,
        "establishedAt": NOW,
        "rotationDue": NOW + WINDOW,
    }
    assert json.loads(line.entry) == {
        "peer_id": "org-b-kernel",
        "fingerprints": ["SHA256:" + "ab" * 32, THEIRS.public_key.canonical],
        "auth_token_hash": "sha256:" + "cd" * 32,
        "scopes": ["relay:connect"],
        "resources": {"service": ["gitea"]},
        "display_name": "Org B",
        "enabled": True,
    }


@pytest.mark.parametrize("why", ["stale", "suspended", "conflict", "never pinned"])
def test_whoever_is_not_fresh_is_disabled_and_no_peer_of_the_kernel(why: str) -> None:
    world = World() if why == "never pinned" else fresh()
    if why == "stale":
        world.now += WINDOW
    elif why == "suspended":
        world.edit(state="Suspended")
    elif why == "conflict":
        world.view = world.view.__class__(domain=world.view.domain, shared_fingerprint=True)
    line = line_of(world)
    assert line.peer is None
    assert json.loads(line.entry)["enabled"] is False


def test_only_a_change_that_takes_trust_away_is_a_withdrawal() -> None:
    world = fresh()
    before = line_of(world)
    world.now += 10
    world.look(Received(envelope(timestamp=world.now), Direction.INBOUND))
    renewed = line_of(world)
    assert renewed != before
    assert not renewed.withdraws(before)
    assert not before.withdraws(None)
    world.edit(state="Suspended")
    assert line_of(world).withdraws(renewed)


LINES = st.lists(
    st.tuples(st.text("abc-", min_size=1, max_size=12), st.integers(0, 100_000)),
    max_size=30,
    unique_by=lambda t: t[0],
)


@given(LINES, st.integers(1, 4))
def test_parts_hold_everybody_once_in_order_and_end_below_the_limit(
    given_lines: list[tuple[str, int]], there: int
) -> None:
    lines = [
        PeerLine(
            name,
            json.dumps({"kernelId": name}).encode(),
            json.dumps({"peer_id": name, "x": "y" * size}).encode(),
        )
        for name, size in given_lines
    ]
    parts = list(build_parts(lines, there))
    assert len(parts) >= there
    found = [entry["peer_id"] for part in parts for entry in json.loads(part["peer-entries.json"])]
    assert found == sorted(name for name, _ in given_lines)
    kernels = [entry["kernelId"] for part in parts for entry in json.loads(part["peers.json"])]
    assert kernels == found
    assert all(sum(map(len, part.values())) <= MAX_PART_BYTES + 16 for part in parts)
    assert list(build_parts(reversed(lines), there)) == parts, "equal trust is equal bytes"


# When next


@given(st.text(min_size=1, max_size=36), st.integers(60, 2_592_000))
def test_renewals_are_at_65_to_75_percent_and_always_the_same(uid: str, window: int) -> None:
    due = schedule.renewal_time(uid, NOW, NOW + window)
    assert 0.65 * window - 1 < due - NOW <= 0.75 * window, "in whole seconds"
    assert due == schedule.renewal_time(uid, NOW, NOW + window)


def test_renewals_are_spread_over_the_peers() -> None:
    times = {schedule.renewal_time(f"uid-{number}", NOW, NOW + WINDOW) for number in range(1000)}
    assert len(times) > 800


@given(st.text(min_size=1, max_size=36), st.integers(1, 1000), st.integers(1, WINDOW))
def test_retries_grow_up_to_a_ceiling_and_never_pass_the_deadline(uid: str, failures: int, left: int) -> None:
    fresh_retry = schedule.retry_time(uid, failures, NOW, WINDOW, NOW + left)
    assert NOW < fresh_retry <= NOW + max(1, left // 4 + 1)
    unpinned = schedule.retry_time(uid, failures, NOW, WINDOW, None)
    assert NOW < unpinned <= NOW + schedule.MAX_UNPINNED_BACKOFF_SECONDS


def test_every_sentence_is_one_and_ends() -> None:
    for reason in SENTENCES:
        text = sentence(reason)
        assert text.endswith("."), reason
        assert text[0].isupper(), reason
    assert set(SENTENCES) <= set(Reason)
