"""The two policies that chio's documentation publishes, member for member and with their spellings."""

from typing import Any

OVERVIEW = """\
apiVersion: chio.dev/v1
kind: FederationPolicy
metadata:
  name: org-a-to-org-b
spec:
  partner_id: org-b
  trusted_issuers:
    # Org B's current authority plus previous generation for rotation overlap.
    - ed25519:9a4f1c3b2e7d8a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b
    - ed25519:7f3b9c1e4d6a8b0c2d4e6f8a0b2c4d6e8f0a2b4c6d8e0f2a4b6c8d0e2f4a6b8c
  max_scope:
    tool_servers:
      - billing.org-b.internal
      - reports.org-b.internal
    tools:
      - tool: reports.read
        parameter_bounds:
          row_limit: 10000
  max_autonomy_tier: TIER_2_DELEGATED
  max_evidence_age_secs: 3600
  revocation_feed: https://trust.org-b.example/v1/revocations/feed
  sharing_posture: pair_scoped
"""
BILATERAL = """\
apiVersion: chio.dev/v1
kind: FederationPolicy
metadata:
  name: org-a-to-org-b
spec:
  partner_id: org-b
  trusted_issuers:
    - ed25519:9a4f1c3b2e7d8a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b
  max_scope:
    tool_servers: [billing.org-b.internal]
    tools:
      - tool: billing.read
  max_autonomy_tier: TIER_2_DELEGATED
  max_evidence_age_secs: 3600
  revocation_feed: https://trust.org-b.example/v1/revocations/feed
  sharing_posture: pair_scoped
"""
PUBLISHED = {"overview": OVERVIEW, "bilateral federation": BILATERAL}
KEYS = (
    "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
)

FULL: dict[str, Any] = {
    "apiVersion": "chio.dev/v1",
    "kind": "FederationPolicy",
    "metadata": {"name": "org-b"},
    "spec": {
        "partner_id": "org-b",
        "trusted_issuers": [KEYS[0], {"public_key": f"0x{KEYS[1]}", "not_after": "2027-01-01T00:00:00Z"}],
        "max_scope": {
            "tool_servers": ["billing.org-b.internal"],
            "tools": [
                {"tool": "billing.read", "tool_server": "billing.org-b.internal"},
                {"tool": "reports.export", "parameter_bounds": {"format": ["csv", "json"], "pages": 20}},
            ],
            "budget": {"units": 5000, "currency": "USD"},
        },
        "max_autonomy_tier": "TIER_3_AUTONOMOUS",
        "max_evidence_age_secs": 1800,
        "revocation_feed": {
            "url": "https://trust.org-b.example/v1/revocations/feed",
            "signers": [KEYS[0]],
            "poll_secs": 30,
            "max_staleness_secs": 900,
        },
        "sharing_posture": "reexport_allowed",
        "introductions": {
            "approval": "Automatic",
            "max_validity_secs": 86_400,
            "allowed_subjects": ["CN=client1,O=Org B"],
            "dns_names": ["client1.org-b.example"],
        },
    },
}
"""A document with every member that there is, those that the contract has no word for as well."""
