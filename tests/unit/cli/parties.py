"""Identities, services, introductions and policies as the API server returns them, for tests of the command line."""

from __future__ import annotations

from typing import Any

from bilateral.cli.cluster import Object
from bilateral.resources.times import format_time
from unit.cli.fakes import NOW, THEIR_KEY, condition, stored


def identity(
    name: str = "client1",
    *,
    namespace: str = "trust",
    ready: str = "True",
    reason: str = "Ready",
    message: str = "",
    left: int | None = 86_400,
    conditions: tuple[dict[str, Any], ...] = (),
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    """A WorkloadIdentity whose certificate has ``left`` seconds to go (None: no certificate)."""
    found: dict[str, Any] = {"subject": f"CN={name},O=Org A", "boundServices": 1}
    if left is not None:
        found["notAfter"] = format_time(NOW + left)
    whole = {"trustDomain": "org-a", "subject": {"commonName": name, "organization": "Org A"}, **spec}
    ready_and_more = (condition("Ready", ready, reason, message), *conditions)
    return _object("WorkloadIdentity", name, namespace, whole, found | (status or {}), ready_and_more)


def service(
    name: str = "org2-api",
    *,
    namespace: str = "trust",
    ready: str = "True",
    reason: str = "Ready",
    message: str = "",
    conditions: tuple[dict[str, Any], ...] = (),
    **spec: Any,
) -> Object:
    """A TrustedService of the partner org-b."""
    whole = {"url": f"https://{name}.example:9443", "peer": "org-b", **spec}
    found: dict[str, Any] = {"verifier": "PeerCA", "boundSecrets": 1} if ready == "True" else {}
    ready_and_more = (condition("Ready", ready, reason, message), *conditions)
    return _object("TrustedService", name, namespace, whole, found, ready_and_more)


def introduction(
    name: str,
    *,
    namespace: str = "trust",
    ready: str = "True",
    reason: str = "Ready",
    message: str = "",
    left: int | None = 86_400,
    subject: str | None = "CN=client1,O=Org A",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    """An Introduction of the form that ``spec`` names, with ``left`` seconds to go (None: not signed)."""
    found: dict[str, Any] = {} if subject is None else {"subject": subject}
    if left is not None:
        found["notAfter"] = format_time(NOW + left)
    return _object(
        "Introduction",
        name,
        namespace,
        spec,
        found | (status or {}),
        (condition("Ready", ready, reason, message),),
    )


def policy(
    name: str = "org-b-here",
    *,
    namespace: str = "trust",
    ready: str = "True",
    reason: str = "Ready",
    message: str = "",
    conditions: tuple[dict[str, Any], ...] = (),
    age: int | None = 60,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    """A FederationPolicy for the partner org-b, whose feed was published and read ``age`` seconds ago (None: never)."""
    found: dict[str, Any] = {"policyHash": "ab" * 32}
    if age is not None:
        moment = format_time(NOW - age)
        found["revocations"] = {
            "source": "SignedFeed",
            "treeSize": 2,
            "rootHash": "cd" * 32,
            "entries": 2,
            "publishedAt": moment,
            "receivedAt": moment,
        }
    whole: dict[str, Any] = {
        "peer": "org-b",
        "partnerId": "org-b",
        "trustedIssuers": [{"publicKey": THEIR_KEY.public_key.canonical}],
        "maxScope": {"toolServers": ["billing.org-a.internal"], "tools": [{"tool": "billing.read"}]},
        "maxAutonomyTier": "Delegated",
        "revocationFeed": {
            "url": "https://trust.org-b.example:8940/v1/revocations/feed",
            "maxStalenessSeconds": 900,
        },
        **spec,
    }
    ready_and_more = (condition("Ready", ready, reason, message), *conditions)
    return _object("FederationPolicy", name, namespace, whole, found | (status or {}), ready_and_more)


def _object(
    kind: str,
    name: str,
    namespace: str,
    spec: dict[str, Any],
    status: dict[str, Any],
    conditions: tuple[dict[str, Any], ...],
) -> Object:
    found = {"observedGeneration": 1, "conditions": list(conditions), **status}
    return stored(kind, name, spec, found, namespace=namespace, created="2026-11-20T00:00:00Z")
