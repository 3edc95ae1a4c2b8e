"""The set of all revocations: whose they are, that they stay, and what a million of them take."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol import revocation_set
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet

_MANY = """
import resource
from bilateral.protocol.revocation_set import RevocationSet
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, known = peak(), RevocationSet()
known.merge("org-b", (f"cap-{number:08d}-0123456789abcdef0123456789" for number in range(1_000_000)))
assert len(known) == 1_000_000
print((peak() - before) // 1024)
"""


def test_a_partner_revokes_its_own_capabilities_only() -> None:
    known = RevocationSet()
    assert known.merge("org-b", ["cap-1", "cap-2"]) == 2
    assert known.is_revoked("org-b", "cap-1")
    assert not known.is_revoked("org-c", "cap-1")
    assert not known.is_revoked("org-b", "cap-3")
    assert (known.count("org-b"), known.count("org-c"), len(known)) == (2, 0, 2)


def test_what_was_merged_may_be_merged_again() -> None:
    known = RevocationSet()
    known.merge("org-b", ["cap-1"])
    assert known.merge("org-b", ["cap-1", "cap-1", "cap-2"]) == 1
    assert known.count("org-b") == 2


@pytest.mark.parametrize("name", ["", "org\0b"])
def test_names_and_ids_cannot_run_together(name: str) -> None:
    with pytest.raises(ValueError, match="partner"):
        RevocationSet().merge(name, ["cap"])


def test_a_question_never_raises() -> None:
    assert not RevocationSet().is_revoked("org-b", "\ud800")


@pytest.mark.parametrize("colliding", [(0, 0), (1, 0), (0, 1), (2**64 - 1, 2**64 - 1), (5 << 32, 0)])
def test_hashes_that_meet_in_a_table_are_told_apart(
    colliding: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every id of a test falls into one table; those of one slot differ in one half only."""
    high, low = colliding
    halves = {f"cap-{number}": (high ^ number << 32, low) for number in range(50)}
    halves |= {f"low-{number}": (high, low ^ (number + 1) << 32) for number in range(50)}
    monkeypatch.setattr(
        revocation_set, "_hash", lambda _, name: halves[name] if any(halves[name]) else (1, 0)
    )
    known = RevocationSet()
    names = [name for name in halves if halves[name] != (0, 0)]
    for count, name in enumerate(names):
        assert not known.is_revoked("org-b", name)
        known.merge("org-b", [name])
        assert known.count("org-b") == count + 1
    assert all(known.is_revoked("org-b", name) for name in names)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.text(max_size=3)), max_size=200))
def test_it_is_a_set_of_pairs(pairs: list[tuple[str, str]]) -> None:
    known, oracle = RevocationSet(), set[tuple[str, str]]()
    for partner, name in pairs:
        assert known.is_revoked(partner, name) == ((partner, name) in oracle)
        assert known.merge(partner, [name]) == ((partner, name) not in oracle)
        oracle.add((partner, name))
    assert len(known) == len(oracle)


def test_what_a_decision_asks() -> None:
    known = RevocationSet()
    known.merge("org-b", ["cap-1"])
    asked = PartnerRevocations(known, "org-b", 60, lesser=True)
    assert (asked.is_revoked("cap-1"), asked.is_revoked("cap-2")) == (True, False)
    assert (asked.fresh_until, asked.lesser, asked.equivocated) == (60, True, False)


def test_a_million_take_less_than_a_hundred_megabytes() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _MANY], capture_output=True, text=True, check=True, env=os.environ
    )
    assert int(found.stdout) < 100


def test_a_look_up_costs_the_same_among_many() -> None:
    known = RevocationSet()
    names = [f"cap-{number}" for number in range(2000)]

    def cost() -> float:
        """The best of several runs: what the machine is otherwise doing is not our question."""
        best = float("inf")
        for _ in range(20):
            started = time.perf_counter()
            for name in names:
                known.is_revoked("org-b", name)
            best = min(best, time.perf_counter() - started)
        return best / len(names)

    few = cost()
    for partner in range(100):
        known.merge(f"org-{partner}", (f"other-{number}" for number in range(1000)))
    assert cost() < 10 * few
