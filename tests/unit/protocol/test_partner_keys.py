"""A partner's keys over its life: anchored, proven, rotated, retired; each with its interval."""

from __future__ import annotations

from dataclasses import replace

from bilateral.protocol.acceptance import Pin
from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.partner_keys import observe_partner
from bilateral.protocol.policies.policy import TrustedIssuer
from support.kernels import KEY_A, KEY_B
from unit.protocol.policy_world import POLICY

A, B = KEY_A.public_key, KEY_B.public_key
NEXT = SigningKey.from_seed(b"\x05" * 32).public_key
DAY = 86_400
ISSUERS = replace(POLICY, trusted_issuers=(TrustedIssuer(B, 9 * DAY), TrustedIssuer(NEXT)))


def pin(key: PublicKey, established_at: int) -> Pin:
    return Pin(key, established_at, established_at + DAY, established_at, ())


def test_a_rotation_leaves_the_old_keys_with_their_ends() -> None:
    history = KeyHistory()
    history = observe_partner(history, anchors=[A], pin=None, policy=None, now=0)
    history = observe_partner(history, anchors=[A], pin=pin(A, 10), policy=ISSUERS, now=10)
    # Renewed in time, then the next key is anchored and proven, then the old one leaves.
    history = observe_partner(history, anchors=[A, NEXT], pin=pin(A, DAY), policy=ISSUERS, now=DAY)
    history = observe_partner(history, anchors=[A, NEXT], pin=pin(NEXT, DAY + 5), policy=ISSUERS, now=DAY + 5)
    only_next = replace(ISSUERS, trusted_issuers=(TrustedIssuer(NEXT),))
    history = observe_partner(history, anchors=[NEXT], pin=pin(NEXT, 2 * DAY), policy=only_next, now=2 * DAY)
    assert set(history.intervals) == {
        KeyInterval(A, KeySource.ANCHOR, None, 2 * DAY),
        KeyInterval(NEXT, KeySource.ANCHOR),
        KeyInterval(A, KeySource.PIN, 10, DAY + 5),
        KeyInterval(NEXT, KeySource.PIN, DAY + 5, 3 * DAY),
        KeyInterval(B, KeySource.ISSUER, None, 2 * DAY),
        KeyInterval(NEXT, KeySource.ISSUER),
    }
    assert history.keys_at(DAY + 4, KeySource.PIN) == {A}
    assert history.keys_at(DAY + 5, KeySource.PIN) == {NEXT}
    assert history.keys_at(DAY, KeySource.ISSUER) == {B, NEXT}
    assert history.keys_at(2 * DAY, KeySource.ISSUER) == {NEXT}


def test_a_policy_that_no_longer_counts_ends_its_issuers() -> None:
    history = observe_partner(KeyHistory(), anchors=[], pin=None, policy=ISSUERS, now=5)
    history = observe_partner(history, anchors=[], pin=None, policy=None, now=9)
    assert history.keys_at(8) == {B, NEXT}
    assert history.keys_at(9) == frozenset()


def test_a_look_at_the_same_keys_writes_nothing() -> None:
    history = observe_partner(KeyHistory(), anchors=[A], pin=pin(A, 10), policy=ISSUERS, now=10)
    assert observe_partner(history, anchors=[A], pin=pin(A, 10), policy=ISSUERS, now=500) is history
