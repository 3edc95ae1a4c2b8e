"""What the policy for a peer says about introductions now, from the cache: the one that counts, or why none does."""

from __future__ import annotations

from bilateral.engine.cache import Cache, Index
from bilateral.engine.policies import Policies
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_terms import PeerTerms
from bilateral.resources.errors import InvalidResource


def find_terms(cache: Cache, policies: Policies, namespace: str, peer: str) -> PeerTerms:
    """The terms of the one policy for a peer; a reason where one does not count, None where there is none."""
    keys = cache.find(Index.POLICIES_OF_PEER, namespace, peer)
    if len(keys) > 1:
        return Reason.POLICY_CONFLICT
    for key in keys:
        try:
            found = policies.counting(key)
        except InvalidResource as error:
            return error.reason
        if found is not None:
            return found.meaning.introductions if found.reason is None else found.reason
    return None
