"""Advice about policies: why the policy refuses a capability, and why a partner's feed cannot be read.

Rules as in `bilateral.cli.advice`. "Theirs" is the organisation that issued the capability, or whose
agent presents it; "yours" the one whose policy refused it. ``docs/decisions.md`` shows the same words.
"""

from __future__ import annotations

from collections.abc import Mapping

from bilateral.cli.advice_entry import Advice
from bilateral.protocol.reasons import Reason

POLICY_ADVICE: Mapping[Reason, Advice] = {
    # The policy.
    Reason.NO_POLICY: Advice(
        "no policy counts for the partner, and without one nothing is allowed",
        "Yours: create a FederationPolicy for the partner, if it is to do anything here.",
    ),
    Reason.POLICY_CONFLICT: Advice(
        "two policies are for one peer or one partner id, and of two neither counts",
        "Yours: delete one of the two (kubectl get fpol).",
    ),
    Reason.PARTNER_ID_MISMATCH: Advice(
        "the policy names the partner otherwise than its FederationPeer does",
        "Yours: make spec.partnerId of the policy the operatorId of the peer, or correct that.",
    ),
    # The issuer.
    Reason.ISSUER_NOT_TRUSTED: Advice(
        "the key that issued the capability is not among the policy's trusted issuers",
        "Both: if they changed their key, compare it over another channel, and put it into spec.trustedIssuers.",
    ),
    Reason.ISSUER_EXPIRED: Advice(
        "the issuer is past the notAfter that the policy gives it",
        "Theirs: issue with the current key; yours is only to list it.",
    ),
    Reason.ISSUER_RETIRED: Advice(
        "the capability was issued after its issuer's key had ceased to be the partner's",
        "Theirs: issue with the current key; if they did not issue it, the old key is in foreign hands.",
    ),
    # What is asked for.
    Reason.AUTONOMY_TIER_EXCEEDED: Advice(
        "more autonomy is presented, or demanded by the grant, than the policy accepts",
        "Yours, if it is wanted: raise spec.maxAutonomyTier; otherwise a person of theirs takes the step.",
    ),
    Reason.NOTHING_ALLOWED: Advice(
        "nothing of the capability is within the policy's scope",
        "Yours, if it is wanted: add the server and the tool to spec.maxScope.",
    ),
    Reason.TOOL_SERVER_NOT_ALLOWED: Advice(
        "the tool server is not in the policy",
        "Yours, if it is wanted: add it to spec.maxScope.toolServers.",
    ),
    Reason.TOOL_NOT_ALLOWED: Advice(
        "the tool is not in the policy for this server",
        "Yours, if it is wanted: add it to spec.maxScope.tools.",
    ),
    Reason.TOOL_NOT_GRANTED: Advice(
        "the policy would allow the tool, and the capability does not grant it",
        "Theirs: present a capability for this tool on this server.",
    ),
    Reason.OPERATION_NOT_GRANTED: Advice(
        "the capability grants the tool, and not this operation on it",
        "Theirs: present a capability with the operation.",
    ),
    Reason.SCOPE_TOO_LARGE: Advice(
        "the capability is for everything, and the policy names too much to show what follows",
        "Both: ask with the call, or present a capability that names its tools.",
    ),
    Reason.PARAMETER_EXCEEDED: Advice(
        "a parameter of the call is above its bound, or below zero",
        "Theirs: ask for less; the check names the bound. Yours is spec.maxScope.tools.",
    ),
    Reason.PARAMETER_MISSING: Advice(
        "a parameter that the policy bounds is not given, and what the tool would take instead is not known",
        "Theirs: give the parameter that the check names.",
    ),
    Reason.PARAMETER_NOT_ALLOWED: Advice(
        "a parameter has a value, or a kind of value, that the policy does not allow",
        "Theirs: give one that the check names.",
    ),
    Reason.BUDGET_EXCEEDED: Advice(
        "the call costs more than the policy or the capability allows",
        "Theirs: ask for less. Yours is spec.maxScope.budget.",
    ),
    Reason.CURRENCY_MISMATCH: Advice(
        "an amount is in another currency than the budget, and there are no rates here",
        "Both: agree on one currency in the policy and in the capability.",
    ),
    # Evidence.
    Reason.EVIDENCE_TOO_OLD: Advice(
        "a piece of evidence is older than the policy accepts", "Theirs: bring evidence that is newer."
    ),
    Reason.EVIDENCE_NOT_YET_VALID: Advice(
        "a piece of evidence was issued in the future", "Both: compare the clocks of both sides."
    ),
    # Revocation.
    Reason.CAPABILITY_REVOKED: Advice(
        "the capability, or one that it was delegated from, was revoked",
        "Theirs: it never counts again; issue a new one, if that was not meant.",
    ),
    Reason.REVOCATION_FEED_STALE: Advice(
        "what is known of the partner's revocations is too old, so everything is refused",
        "Yours: see the policy's condition RevocationFresh for why the feed cannot be read.",
    ),
    Reason.REVOCATIONS_UNSIGNED: Advice(
        "the news of revocations comes from a source that signs nothing, and the policy asks for a signed feed",
        "Yours: name a signed feed, or accept the lesser source with source: ChioService.",
    ),
    Reason.EQUIVOCATION: Advice(
        "the partner's feed took something back or showed two histories, so everything of theirs is refused",
        "Both: ask them for an explanation, with the evidence; only a new policy opens the partner again.",
    ),
    # Reading a feed.
    Reason.AWAITING_FEED: Advice(
        "the partner's feed has not been read yet, and until then everything is refused",
        "Nothing to do yet: this passes by itself.",
    ),
    Reason.FEED_OF_ANOTHER: Advice(
        "the feed that was read is another party's",
        "Yours: compare spec.revocationFeed.url with their export.",
    ),
    Reason.FEED_SIGNER_UNKNOWN: Advice(
        "the feed is signed by a key that may not sign it",
        "Both: compare keys over another channel; then list theirs in spec.revocationFeed.signers.",
    ),
    Reason.FEED_ENTRY_INVALID: Advice(
        "an entry of the feed is malformed, or not signed by its signer",
        "Theirs: look at what publishes the feed; nothing after that entry counts.",
    ),
    Reason.FEED_TOO_LARGE: Advice(
        "the feed has more entries than can be kept",
        "Both: talk about how much is revoked, and let capabilities live shorter.",
    ),
    Reason.FEED_INCOMPLETE: Advice(
        "a chio service lists only its newest revocations, and there are more",
        "Both: read a signed feed instead: name theirs in spec.revocationFeed.",
    ),
    Reason.INVALID_PROOF: Advice(
        "the feed's proof does not lead from the last head to this one",
        "Theirs: look at what publishes the feed; it may not lose or change entries.",
    ),
}
"""The reasons of denials that are the policy's, and those of feeds; a chain's defects have their own table."""
