"""A partner's keys over its life: anchored, proven, rotated, retired; each with its interval."""

from __future__ import annotations

from dataclasses import replace

from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.partner_keys import observe_partner
from bilateral.protocol.policies.policy import TrustedIssuer
from support.kernels import KEY_A, KEY_B
from unit.protocol.policy_world import POLICY

A, B = KEY_A.public_key, KEY_B.public_key
NEXT = SigningKey.from_seed(b"\x05" * 32).public_key
DAY = 86_400
ISSUERS = replace(POLICY, trusted_issuers=(TrustedIssuer(B, 9 * DAY), TrustedIssuer(NEXT)))


def test_a_rotation_leaves_the_old_keys_with_their_ends() -> None:
    history = KeyHistory()
    history = observe_partner(history, anchors=[A], pinned=None, policy=None, now=0)
    history = observe_partner(history, anchors=[A], pinned=A, policy=ISSUERS, now=10)
    # Renewed in time, then the next key is anchored and proven, then the old one leaves.
    history = observe_partner(history, anchors=[A, NEXT], pinned=A, policy=ISSUERS, now=DAY)
    history = observe_partner(history, anchors=[A, NEXT], pinned=NEXT, policy=ISSUERS, now=DAY + 5)
    only_next = replace(ISSUERS, trusted_issuers=(TrustedIssuer(NEXT),))
    history = observe_partner(history, anchors=[NEXT], pinned=NEXT, policy=only_next, now=2 * DAY)
    assert set(history.intervals) == {
        KeyInterval(A, KeySource.ANCHOR, None, 2 * DAY),
        KeyInterval(NEXT, KeySource.ANCHOR),
        KeyInterval(A, KeySource.PIN, 10, DAY + 5),
        KeyInterval(NEXT, KeySource.PIN, DAY + 5),
        KeyInterval(B, KeySource.ISSUER, None, 2 * DAY),
        KeyInterval(NEXT, KeySource.ISSUER),
    }
    assert history.keys_at(DAY + 4, KeySource.PIN) == {A}
    assert history.keys_at(DAY + 5, KeySource.PIN) == {NEXT}
    assert history.keys_at(DAY, KeySource.ISSUER) == {B, NEXT}
    assert history.keys_at(2 * DAY, KeySource.ISSUER) == {NEXT}


def test_a_policy_that_no_longer_counts_ends_its_issuers() -> None:
    history = observe_partner(KeyHistory(), anchors=[], pinned=None, policy=ISSUERS, now=5)
    history = observe_partner(history, anchors=[], pinned=None, policy=None, now=9)
    assert history.keys_at(8) == {B, NEXT}
    assert history.keys_at(9) == frozenset()


def test_a_look_at_the_same_keys_writes_nothing() -> None:
    history = observe_partner(KeyHistory(), anchors=[A], pinned=A, policy=ISSUERS, now=10)
    assert observe_partner(history, anchors=[A], pinned=A, policy=ISSUERS, now=500) is history
