"""Advice for the reasons of a chain of capabilities that does not hold, whatever a policy would say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bilateral.cli.advice_entry import Advice
from bilateral.protocol.reasons import Reason

CAPABILITY_ADVICE: Final[Mapping[Reason, Advice]] = {
    Reason.MALFORMED_CAPABILITY: Advice(
        "what was presented is no capability, or no list of capabilities",
        "Theirs: present the capability as it was issued, with its ancestors from the root to the leaf.",
    ),
    Reason.UNSUPPORTED_KEY_ALGORITHM: Advice(
        "a key or signature in the chain is not Ed25519",
        "Theirs: have the capability issued to and by Ed25519 keys; P-256, P-384 and hybrid keys are not verified.",
    ),
    Reason.UNSUPPORTED_CAPABILITY: Advice(
        "a capability carries a condition that cannot be enforced here, so it is not passed over",
        "Theirs: issue it without caveats, without budgets of a whole family, and with schema chio.capability.v1.",
    ),
    Reason.DUPLICATE_GRANT: Advice(
        "a capability lists the same grant twice, and its budget would count twice",
        "Theirs: issue it with each grant once.",
    ),
    Reason.DELEGATION_TOO_DEEP: Advice(
        "the capability was passed on more often than is allowed",
        "Theirs: delegate from nearer to the root; four delegations are allowed.",
    ),
    Reason.ANCESTOR_MISSING: Advice(
        "a delegation names a capability that was not presented with the chain",
        "Theirs: present the whole list, from the root to the leaf.",
    ),
    Reason.DELEGATION_MISSING: Advice(
        "a capability in the list was not delegated from the one before it",
        "Theirs: present only the leaf and its ancestors; every child carries a delegation for each of them.",
    ),
    Reason.DELEGATION_OUT_OF_ORDER: Advice(
        "capabilities or delegations are in another order than from the root to the leaf, or one stands twice",
        "Theirs: put the list in order, each capability once.",
    ),
    Reason.DELEGATION_BROKEN: Advice(
        "a delegation was made by or for somebody else than the capabilities beside it name",
        "Theirs: delegate again: by the subject of the parent, to the subject of the child.",
    ),
    Reason.FOREIGN_ISSUER: Advice(
        "a child was issued by somebody who neither holds its parent nor issued the root",
        "Theirs: have it issued by the subject of the parent, or by the authority of the root.",
    ),
    Reason.CAPABILITY_SIGNATURE_INVALID: Advice(
        "the signature of a capability does not fit it",
        "Theirs: present it as it was issued; if this repeats, somebody changes it on the way.",
    ),
    Reason.LINK_SIGNATURE_INVALID: Advice(
        "the signature of a delegation does not fit it",
        "Theirs: present it as it was made; if this repeats, somebody changes it on the way.",
    ),
    Reason.CAPABILITY_NOT_YET_VALID: Advice(
        "a capability in the chain is not in force yet",
        "Both: compare the clocks; if they agree, wait until it begins.",
    ),
    Reason.CAPABILITY_EXPIRED: Advice(
        "a capability in the chain is past its end",
        "Theirs: have it issued anew; a child ends with its parent.",
    ),
    Reason.DELEGATION_TIME_INVALID: Advice(
        "a delegation was made outside the time of what it delegates, or after its child was issued",
        "Theirs: compare the clocks of their agents, and delegate again.",
    ),
    Reason.CAPABILITY_WIDENED: Advice(
        "a child allows more than its parent",
        "Theirs: issue it again within the parent; the member that is named shows the ceiling.",
    ),
    Reason.DELEGATION_NOT_PERMITTED: Advice(
        "the parent may not be passed on",
        "Theirs: have the parent issued with the operation delegate, and without a budget of its own.",
    ),
    Reason.ATTENUATION_NOT_APPLIED: Advice(
        "a delegation declares a narrowing that the child does not have",
        "Theirs: issue the child as narrow as declared, or declare what it is.",
    ),
    Reason.SCOPE_BINDING_INVALID: Advice(
        "a signed hash or proof is not of these capabilities",
        "Theirs: delegate again; the proof quotes the parent's scope and the child's as they are.",
    ),
}
