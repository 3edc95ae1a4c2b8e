"""Authorities of simulated partners, and the statements that announce them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.revocations import renew_revocation_list
from bilateral.protocol.authority_statement import AuthorityStatement, sign_statement
from bilateral.protocol.keys import SigningKey
from cluster.scene import Scene

DAY = 86_400


def make_authority(name: str = "Simulated CA", *, days: int = 30) -> Authority:
    """An authority that has been there for three days."""
    return generate_authority(
        Subject(common_name=name),
        algorithm="ECDSAP256",
        validity_seconds=days * DAY,
        now=datetime.now(UTC) - timedelta(days=3),
    )


def sign(
    scene: Scene, name: str, ca: Authority, *, sequence: int, key: SigningKey | None = None, ago: int = 0
) -> bytes:
    """What a partner announces of an authority, signed by the partner's key unless another is given."""
    now = datetime.now(UTC) - timedelta(seconds=ago)
    moment = int(now.timestamp())
    crl = renew_revocation_list(ca, [], None, lifetime_seconds=2 * DAY, now=now)
    statement = AuthorityStatement(
        kernel_id=scene.kernel(name),
        sequence=sequence,
        issued_at=moment,
        expires_at=moment + 2 * DAY,
        certificates=(ca.certificate.public_bytes(Encoding.DER),),
        revocation_list=crl.der,
    )
    return sign_statement(statement, key or scene.partner(name).key)
