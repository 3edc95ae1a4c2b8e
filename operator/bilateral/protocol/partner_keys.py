"""The keys that a partner has at this moment: what a key history (``key_history``) is told at every look.

They are the anchors that a person installed, the pin if it counts, and the issuers of the policy if one
counts. Of an anchor and of an issuer nobody knows when the partner began to use it, so no beginning is
made up for them; a pin begins when it is first seen. Its deadline moves at each handshake, so it ends when
it is seen to have ended, and a history is not written anew for every renewal.

Whether a pin or a policy counts (a seal, a conflict, a suspended partner) is for the caller to say, who
passes none that does not. A look that could not see them must not be passed off as one that saw none:
then there is nothing to observe.
"""

from __future__ import annotations

from collections.abc import Sequence

from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.policies.policy import Policy
from bilateral.protocol.publickey import PublicKey


def build_present_keys(
    anchors: Sequence[PublicKey], pinned: PublicKey | None, policy: Policy | None, now: int
) -> tuple[KeyInterval, ...]:
    """The keys with their sources, as :meth:`KeyHistory.observe` takes them."""
    present = [KeyInterval(key, KeySource.ANCHOR) for key in anchors]
    if pinned is not None:
        present.append(KeyInterval(pinned, KeySource.PIN, now))
    if policy is not None:
        present += [
            KeyInterval(each.public_key, KeySource.ISSUER, until=each.not_after)
            for each in policy.trusted_issuers
        ]
    return tuple(present)


def observe_partner(
    history: KeyHistory,
    *,
    anchors: Sequence[PublicKey],
    pinned: PublicKey | None,
    policy: Policy | None,
    now: int,
) -> KeyHistory:
    """The history after a look; the same object where nothing is to be written."""
    observed = history.observe(build_present_keys(anchors, pinned, policy, now), now)
    return history if observed == history else observed
