"""Good manifests of every kind, and how a test changes one thing of them."""

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

API_VERSION = "bilateral.dev/v1alpha1"
KEY = "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6"
OTHER_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
DID_KEY = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
SPKI_PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    + base64.b64encode(bytes.fromhex("302a300506032b6570032100" + KEY)).decode()
    + "\n-----END PUBLIC KEY-----\n"
)
FINGERPRINT = "SHA256:" + "5a" * 32
CERTIFICATE = (
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUZm9v\nYmFyYmF6cXV4\n-----END CERTIFICATE-----\n"
)
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"

SMALL_ORDER = (
    "00" * 32,
    "00" * 31 + "80",
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 30 + "7f",
    "ec" + "ff" * 31,
    "ed" + "ff" * 30 + "7f",
    "ed" + "ff" * 31,
    "ee" + "ff" * 30 + "7f",
    "ee" + "ff" * 31,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)

MIXED_ORDER = "98b1bd9789d107d20f555a562ddfaee638ba72d33665145be78bef9c3d5e13d8"
"""`KEY` plus a point of order eight."""

REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\nMIIBszCCAVmgAwIBAgIUZm9v\n-----END CERTIFICATE REQUEST-----\n"

REMOVE = object()
"""As a value in a change: take the member away."""


@dataclass(frozen=True)
class Row:
    id: str
    kind: str
    changes: Mapping[str, Any]
    field: str = ""
    says: str = ""

    @property
    def manifest(self) -> dict[str, Any]:
        return changed(BASES[self.kind], self.changes)


TRUST_DOMAIN: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "TrustDomain",
    "metadata": {"name": "org-a"},
    "spec": {"kernelId": "org-a-kernel", "endpoint": {"url": "https://trust.org-a.example:8940"}},
}
FEDERATION_PEER: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "FederationPeer",
    "metadata": {"name": "org-b"},
    "spec": {
        "trustDomain": "org-a",
        "kernelId": "org-b-kernel",
        "trustAnchors": [{"publicKey": f"ed25519:{KEY}"}],
        "endpoint": {"url": "https://trust.org-b.example:8940", "verifier": {"webPKI": {}}},
        "fingerprints": [FINGERPRINT],
    },
}
WORKLOAD_IDENTITY: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "WorkloadIdentity",
    "metadata": {"name": "client1"},
    "spec": {"trustDomain": "org-a", "subject": {"commonName": "client1"}},
}
TRUSTED_SERVICE: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "TrustedService",
    "metadata": {"name": "org2-api"},
    "spec": {"url": "https://api.org-b.example:9443", "peer": "org-b"},
}
INTRODUCTION: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "Introduction",
    "metadata": {"name": "client1-at-org-b"},
    "spec": {"issue": {"trustDomain": "org-a", "subject": CERTIFICATE}},
}
FEDERATION_POLICY: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "FederationPolicy",
    "metadata": {"name": "org-b"},
    "spec": {
        "peer": "org-b",
        "partnerId": "org-b",
        "trustedIssuers": [{"publicKey": f"ed25519:{KEY}"}],
        "maxScope": {"toolServers": ["billing.org-b.internal"], "tools": [{"tool": "billing.read"}]},
        "maxAutonomyTier": "Delegated",
    },
}
BASES = {
    manifest["kind"]: manifest
    for manifest in (
        TRUST_DOMAIN,
        FEDERATION_PEER,
        WORKLOAD_IDENTITY,
        TRUSTED_SERVICE,
        INTRODUCTION,
        FEDERATION_POLICY,
    )
}


def changed(manifest: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the members at these dotted paths set or taken away."""
    built = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        at = built
        for parent in parents:
            at = at.setdefault(parent, {})
        if value is REMOVE:
            at.pop(last, None)
        else:
            at[last] = value
    return built
