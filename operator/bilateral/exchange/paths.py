"""The paths of the federation endpoint and the control endpoint, which server and client share (``exchange.md``)."""

from __future__ import annotations

from typing import Final

HANDSHAKE_PATH: Final = "/v1/federation/handshake"
AUTHORITY_PATH: Final = "/v1/federation/authority"
INTRODUCTIONS_PATH: Final = "/v1/federation/introductions"
INTRODUCTION_STATUS_PATH: Final = "/v1/federation/introductions/status"

EVALUATE_PATH: Final = "/v1/federation/policies/evaluate"
POLICIES_PATH: Final = "/v1/federation/policies"
REVOCATIONS_PATH: Final = "/v1/revocations"
