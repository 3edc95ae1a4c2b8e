"""What the policy for a peer says about introductions now, from the cache: the one that counts, or why none does."""

from __future__ import annotations

from bilateral.engine.policies import Counting, Policies
from bilateral.reconcile.introduction_terms import PeerTerms


def find_terms(policies: Policies, namespace: str, peer: str) -> PeerTerms:
    """The terms of the one policy for a peer; a reason where one does not count, None where there is none."""
    found = policies.of_peer(namespace, peer)
    if not isinstance(found, Counting):
        return found
    return found.meaning.introductions if found.reason is None else found.reason
