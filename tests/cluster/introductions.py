"""Introductions in a scene: a partner whose authority we know, what is signed and installed, and where it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.names import Subject
from bilateral.pki.revocations import parse_revocation_list
from bilateral.pki.services import Service
from bilateral.reconcile.issued import IssuedEntry, parse_shard
from cluster.clocked import ClockedOperator
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    Object,
    Scene,
)
from unit.pki.material import request

CLIENT = "client1"
HOUR, DAY = 3600, 86_400
KEY = ec.generate_private_key(ec.SECP256R1())
CSR = request(KEY).decode()
SERVICE = Service("org2-api", "https://api.org2.example:9443")


def authority(name: str = "Org B CA", days: int = 365) -> Authority:
    return generate_authority(
        Subject(organization="Org B", common_name=name),
        algorithm="ECDSAP256",
        validity_seconds=days * DAY,
        now=datetime.now(UTC) - timedelta(days=2),
    )


ORG_B = authority()


def furnish(scene: Scene) -> None:
    operator = scene.operator("--identity=replica-0", make=ClockedOperator)
    scene.add_domain(url=operator.url)
    scene.add_identity(CLIENT)
    scene.add_partner("org-b", ORG_B)
    scene.wait(IDENTITIES, CLIENT, "Ready", status="True")


def issue(scene: Scene, name: str, **issue: Any) -> None:
    scene.add(
        INTRODUCTIONS, name, issue={"trustDomain": "org-a", "subject": CSR, "approval": "Approved", **issue}
    )


def accept(scene: Scene, name: str, text: str | None = None, **accept: Any) -> None:
    whole: Object = {"identity": CLIENT, **accept}
    if text is not None:
        whole["introduction"] = text
    if "authorityFingerprint" not in whole:
        whole.setdefault("peer", "org-b")
    scene.add(INTRODUCTIONS, name, accept=whole)


def approve(scene: Scene, name: str, approval: str) -> None:
    scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": approval}}})


def document(scene: Scene, name: str) -> Document:
    text = scene.get(INTRODUCTIONS, name)["status"]["introduction"]
    found = parse_introduction(text)
    assert found.to_json() == text
    return found


def recorded(scene: Scene, name: str) -> list[IssuedEntry]:
    entries = parse_shard((scene.secret("org-a-issued") or {}).get("issued.jsonl", b"")).entries
    return [each for each in entries if (each.owner.kind, each.owner.name) == ("Introduction", name)]


def withdrawn(scene: Scene) -> set[int]:
    pem = scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]["certificate"]
    data = (scene.secret("org-a-authority") or {}).get("self.crl")
    if data is None:
        return set()
    return set(parse_revocation_list(data, x509.load_pem_x509_certificate(pem.encode())).entries)


def own_certificate(scene: Scene) -> bytes:
    return (scene.secret(f"{CLIENT}-identity") or {})["tls.crt"]


def chains(scene: Scene) -> dict[str, bytes]:
    return scene.secret(f"{CLIENT}-id-chains") or {}


def aliases(scene: Scene) -> set[str]:
    names = scene.secret(f"{CLIENT}-known-servers") or {}
    return {name.removesuffix(".yaml") for name in names if name.endswith(".yaml")}


def introduce(scene: Scene, signer: Authority = ORG_B, **changes: Any) -> str:
    """What an organisation's authority signs for our identity."""
    named: dict[str, Any] = {"services": (), "seconds": 5 * DAY, "now": datetime.now(UTC), **changes}
    return issue_introduction(
        signer, own_certificate(scene), named["services"], named["seconds"], named["now"]
    ).to_json()
