"""What ``bilateral service explain`` is asked about: a service, its partner, and identities that call it."""

from __future__ import annotations

import json
from typing import Any

from bilateral.cli.cluster import Object
from bilateral.pki.authority import generate_authority
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA
from bilateral.resources.times import format_time
from unit.cli.fakes import NOW, Shell, condition, peer, stored, trust_domain
from unit.pki.material import NOW as MOMENT
from unit.pki.material import YEAR

THEIRS = generate_authority(
    Subject(organization="Org B", common_name="Org B CA"),
    algorithm="Ed25519",
    validity_seconds=YEAR,
    now=MOMENT,
)
CA = THEIRS.certificate
SLUG, DN = build_slug(CA), rfc4514_name(CA.subject)
URL = "https://api.org2.example:9443"


def service(
    name: str = "org2-api",
    *,
    ready: str = "True",
    reason: str = "Ready",
    message: str = "",
    verifier: str | None = "PeerCA",
    created: str = "2026-11-20T00:00:00Z",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    wanted = {"url": URL, "peer": "org-b", **spec}
    found: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", ready, reason, message),
            condition("VerifierResolved", "True" if verifier else "False", "VerifierResolved"),
        ],
        "verifier": verifier,
        "pinned": [THEIRS.fingerprint] if verifier == "PeerCA" else [],
    } | (status or {})
    return stored("TrustedService", name, wanted, found, created=created)


def identity(name: str = "client1", *, chains: bool = True, written: bool = True, **spec: Any) -> Object:
    chain = {"authority": DN, "slug": SLUG, "notAfter": format_time(NOW + 86_400), "introduction": "intro"}
    status: dict[str, Any] = {"notAfter": format_time(NOW + 7200), "chains": [chain] if chains else []}
    if written:
        status["contentHash"] = "sha256:" + "0" * 64
    wanted = {"trustDomain": "org-a", "subject": {"commonName": name}, **spec}
    return stored("WorkloadIdentity", name, wanted, status)


def entry(alias: str = "org2-api", auths: tuple[str, ...] = (DN, SLUG), verifier: Any = None) -> bytes:
    return ServiceEntry(
        alias, URL, verifier or PeerCA((CA,)), auths, "org-b-kernel", bearer_token="canary-token"
    ).to_yaml()


def furnished() -> Shell:
    """A fresh partner's service, an identity that has a chain for it, and one that has none."""
    shell = Shell()
    cluster = shell.cluster
    cluster.add("trustdomains", trust_domain())
    cluster.add("federationpeers", peer())
    cluster.add("trustedservices", service())
    cluster.add("workloadidentities", identity())
    cluster.secrets["trust", "client1-known-servers"] = {"org2-api.yaml": entry(), "self.crt": b""}
    return shell


def explain(shell: Shell, *arguments: str, alias: str = "org2-api") -> tuple[int, dict[str, Any]]:
    result = shell.run("service", "explain", alias, *arguments, "-o", "json")
    assert result.stderr == "", result.stderr
    assert "canary" not in result.stdout
    data: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, data
