"""Certificates, a partner's server and our endpoint, all on loopback."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.names import Subject
from bilateral.pki.servers import IssuedCertificate, issue_server_certificate


@dataclass(frozen=True)
class Credentials:
    """A CA of a test's own, and what it signs."""

    authority: Authority

    @property
    def pem(self) -> bytes:
        return self.authority.certificate_pem

    def issue(
        self, *hosts: str, validity_seconds: int = 3600, now: datetime | None = None
    ) -> IssuedCertificate:
        return issue_server_certificate(
            self.authority, hosts, validity_seconds=validity_seconds, now=now or datetime.now(UTC)
        )

    def pair(self, *hosts: str) -> tuple[bytes, bytes]:
        issued = self.issue(*hosts)
        return issued.cert_pem, issued.key_pem

    def trust(self, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = minimum
        context.load_verify_locations(cadata=self.pem.decode())
        return context


def make_credentials(name: str = "Test CA", algorithm: Algorithm = Algorithm.ECDSA_P256) -> Credentials:
    return Credentials(
        generate_authority(
            Subject(organization=name, common_name=name),
            algorithm=algorithm,
            validity_seconds=10 * 86400,
            now=datetime.now(UTC) - timedelta(days=5),
        )
    )


def fingerprint(issued: IssuedCertificate) -> str:
    return certificate_fingerprint(issued.cert_pem)


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return make_credentials()
