"""Which certificate the endpoint presents to whom: by name, generated or provided, replaced while it runs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.names import Subject
from bilateral.pki.servers import IssuedCertificate, issue_server_certificate
from bilateral.resources.labels import SECRET_LABEL, SECRET_REFERENCED
from cluster.scene import DOMAINS, SECRETS, Scene, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess


@dataclass(frozen=True)
class Side:
    scene: Scene
    operator: OperatorProcess


@pytest.fixture(scope="module")
def side(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with open_scene(cluster, tmp_path_factory.mktemp("certificates")) as scene:
        operator = scene.operator()
        scene.add_domain("front", url=operator.url)
        scene.wait(DOMAINS, "front", "Ready", status="True")
        yield Side(scene, operator)


def chain_of(side: Side, name: str, authority: str) -> dict[str, str]:
    """What is presented to a caller who asks for a name and trusts one authority."""
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection(("127.0.0.1", side.operator.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return {"fingerprint": certificate_fingerprint(secure.getpeercert(binary_form=True) or b"")}


def own_authority(side: Side, domain: str) -> str:
    pem: str = side.scene.get(DOMAINS, domain)["status"]["certificateAuthority"]["certificate"]
    return pem


def test_each_trust_domain_is_presented_by_its_own_certificate(side: Side) -> None:
    side.scene.add_domain("named", url=f"https://localhost:{side.operator.port}")
    side.scene.wait(DOMAINS, "named", "Ready", status="True")
    for name, domain, stranger in (("localhost", "named", "front"), ("127.0.0.1", "front", "named")):
        shown = chain_of(side, name, own_authority(side, domain))
        assert shown["fingerprint"] == side.scene.get(DOMAINS, domain)["status"]["endpointFingerprint"]
        with pytest.raises(ssl.SSLCertVerificationError):
            chain_of(side, name, own_authority(side, stranger))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        chain_of(side, "somebody-else.test", own_authority(side, "front"))


def new_authority() -> Authority:
    return generate_authority(
        Subject(common_name="Elsewhere"),
        algorithm="ECDSAP256",
        validity_seconds=86_400,
        now=datetime.now(UTC),
    )


def issue(authority: Authority, host: str) -> IssuedCertificate:
    return issue_server_certificate(authority, [host], validity_seconds=3600, now=datetime.now(UTC))


def test_a_provided_certificate_is_presented_checked_and_replaced_without_a_restart(side: Side) -> None:
    scene, host = side.scene, "provided.test"
    authority = new_authority()
    trusted = authority.certificate_pem.decode()
    spec = {
        "url": f"https://{host}:{side.operator.port}",
        "certificate": {"source": "Provided", "secretName": "from-elsewhere"},
    }
    scene.add_domain("provided", endpoint=spec)
    scene.wait(DOMAINS, "provided", "SecretNotFound", status="False")

    def data(certificate: IssuedCertificate) -> dict[str, str]:
        return {"tls.crt": certificate.cert_pem.decode(), "tls.key": certificate.key_pem.decode()}

    labels = {SECRET_LABEL: SECRET_REFERENCED}
    wrong, first, second = issue(authority, "other.test"), issue(authority, host), issue(authority, host)
    scene.create(
        SECRETS,
        {
            "metadata": {"name": "from-elsewhere", "labels": labels},
            "type": "kubernetes.io/tls",
            "stringData": data(wrong),
        },
    )
    scene.wait(DOMAINS, "provided", "CertificateInvalid", status="False")
    for certificate in (first, second):
        scene.patch(SECRETS, "from-elsewhere", {"stringData": data(certificate)})
        fingerprint = certificate_fingerprint(certificate.cert_pem)

        def is_shown(wanted: str = fingerprint) -> bool:
            return bool(scene.get(DOMAINS, "provided")["status"].get("endpointFingerprint") == wanted)

        wait_for(is_shown, "the certificate's fingerprint")
        scene.wait(DOMAINS, "provided", "Ready", status="True")
        assert chain_of(side, host, trusted) == {"fingerprint": fingerprint}
