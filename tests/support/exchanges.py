"""Activation exchanges to change in tests: chio's, and the one that its documentation shows."""

from __future__ import annotations

import copy
from typing import Any

NOW = 1_714_300_000

_EXCHANGE: dict[str, Any] = {
    "schema": "chio.federation-activation-exchange.v1",
    "exchangeId": "fxa-org-a-org-b-1",
    "issuedAt": 1_714_291_200,
    "expiresAt": 1_716_883_200,
    "sourceOperatorId": "org-a",
    "targetOperatorId": "org-b",
    "listingId": "lst-billing-readonly",
    "activationRef": {
        "kind": "trust_activation",
        "schema": "chio.registry.trust-activation.v1",
        "artifactId": "act-1",
        "operatorId": "org-b",
        "sha256": "ad" * 32,
        "uri": "https://registry.org-b.example/act-1",
    },
    "listingRef": {
        "kind": "listing",
        "schema": "chio.registry.listing.v1",
        "artifactId": "lst-billing-readonly@v3",
        "operatorId": "org-b",
        "sha256": "92" * 32,
    },
    "governingCharterRef": {
        "kind": "governance_charter",
        "schema": "chio.registry.charter.v1",
        "artifactId": "charter-1",
        "operatorId": "org-b",
        "sha256": "0f" * 32,
    },
    "scope": {
        "namespace": "billing.org-b.internal",
        "subjectOperatorId": "org-b",
        "allowedActorKinds": ["tool_server"],
        "allowedAdmissionClasses": ["reviewable", "role_gated"],
        "policyReference": "policy-1",
    },
    "delegationControl": {
        "delegatorOperatorId": "org-a",
        "delegateOperatorId": "org-b",
        "maxHops": 1,
        "attenuationRequired": True,
        "visibilityOnlyUntilLocalActivation": True,
    },
    "importControl": {
        "explicitLocalActivationRequired": True,
        "manualReviewRequired": True,
        "rejectStaleInputs": True,
        "allowVisibilityWithoutRuntimeTrust": True,
        "prohibitAmbientRuntimeAdmission": True,
    },
    "note": "read only",
}


def exchange_members(**changes: Any) -> dict[str, Any]:
    """The members of a valid exchange; a change's name is a path with ``__``, None takes the member away."""
    members = copy.deepcopy(_EXCHANGE)
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = members
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[name]
        else:
            place[name] = value
    return members


def documented_envelope() -> dict[str, Any]:
    """The example of the contract's bilateral page, member for member."""
    return {
        "body": {
            "schema": "chio.federation.activation-exchange.v1",
            "exchangeId": "fxa-org-a-org-b-2026-04-28-001",
            "issuedAt": 1_714_291_200,
            "expiresAt": 1_716_883_200,
            "sourceOperatorId": "org-a",
            "targetOperatorId": "org-b",
            "listingId": "lst-billing-readonly",
            "activationRef": {
                "artifactId": "act-org-b-2026-04-21-77",
                "operatorId": "org-b",
                "sha256": "ad81...c4",
            },
            "listingRef": {
                "artifactId": "lst-billing-readonly@v3",
                "operatorId": "org-b",
                "sha256": "92ef...fa",
            },
            "scope": {"namespaces": ["billing.org-b.internal"], "tools": [{"tool": "billing.read"}]},
            "delegationControl": {"maxAutonomyTier": "TIER_2_DELEGATED", "maxRedelegationDepth": 1},
            "importControl": copy.deepcopy(_EXCHANGE["importControl"]),
        },
        "signerOperatorId": "org-a",
        "signerPublicKey": "ed25519:80f2b53c...",
        "signature": "ed25519:7e1b...c4a2",
    }
