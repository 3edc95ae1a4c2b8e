"""The kinds that there are. A new kind is added here, and nowhere else outside its own module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.introduction import Introduction
from bilateral.resources.meta import Resource
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity

KINDS: Final[tuple[type[Resource], ...]] = (
    TrustDomain,
    FederationPeer,
    WorkloadIdentity,
    TrustedService,
    Introduction,
    FederationPolicy,
)
"""Every kind, in the order in which people meet them."""


def parse_resource(obj: Mapping[str, Any]) -> Resource:
    """Parse an object of whichever kind of ours a manifest names. Raises InvalidResource."""
    for kind in KINDS:
        if obj.get("kind") == kind.KIND:
            return kind.parse(obj)
    raise InvalidResource("kind", "must be one of " + ", ".join(kind.KIND for kind in KINDS))
