"""The paths of the federation endpoint and the control endpoint, which server and client share (``exchange.md``)."""

from __future__ import annotations

from typing import Final

HANDSHAKE_PATH: Final = "/v1/federation/handshake"
AUTHORITY_PATH: Final = "/v1/federation/authority"
DID_PATH: Final = "/v1/federation/did"
INTRODUCTIONS_PATH: Final = "/v1/federation/introductions"
INTRODUCTION_STATUS_PATH: Final = "/v1/federation/introductions/status"
FEED_PATH: Final = "/v1/revocations/feed"

EVALUATE_PATH: Final = "/v1/federation/policies/evaluate"
POLICIES_PATH: Final = "/v1/federation/policies"
REVOCATIONS_PATH: Final = "/v1/revocations"
