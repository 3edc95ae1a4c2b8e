"""What a partner is told: a FederationPeer manifest, and the groups by which people compare it.

Pure. The groups cover everything that trust rests on (kernel id, keys, address and how the server is
verified) and nothing that a partner may choose freely (names, the trust domain, limits); certificates
count by their bytes, so that an editor's re-wrapping changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from bilateral.cli.errors import AnswerNoError, InputError
from bilateral.cli.output import Data
from bilateral.pki.errors import PkiError
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.pem import parse_certificates
from bilateral.protocol.exports import comparison_groups
from bilateral.protocol.keys import parse_public_key
from bilateral.resources.federationpeer import FederationPeer, Verifier
from bilateral.resources.labels import API_VERSION
from bilateral.resources.trustdomain import Source, TrustDomain

PLACEHOLDER = "CHANGE-ME"
"""Stands for the partner's TrustDomain; no object can have this name, so the API server refuses it."""


class EndpointVerifier(StrEnum):
    """How the partner shall verify our endpoint."""

    CA = "ca"
    WEB_PKI = "webpki"
    FINGERPRINT = "fingerprint"


def default_verifier(domain: TrustDomain) -> EndpointVerifier:
    """Choose the verifier that fits the endpoint's certificate: our CA for what our CA signed."""
    endpoint = domain.spec.endpoint
    if endpoint is not None and endpoint.certificate.source is Source.PROVIDED:
        return EndpointVerifier.WEB_PKI
    return EndpointVerifier.CA


def build_manifest(
    domain: TrustDomain, *, partner: str | None, verifier: EndpointVerifier
) -> dict[str, Data]:
    """Build the FederationPeer that tells a partner about ``domain``; ``partner`` is their TrustDomain.

    Raises AnswerNoError while the operator has not published what the manifest must contain.
    """
    status = domain.status
    if status.public_key is None:
        raise _not_published(domain, "public key")
    keys = [status.public_key]
    if status.next_public_key is not None and status.next_public_key not in keys:
        keys.append(status.next_public_key)
    anchors: list[Data] = [{"publicKey": key} for key in keys]
    spec: dict[str, Data] = {
        "trustDomain": partner or PLACEHOLDER,
        "kernelId": domain.spec.kernel_id,
        "operatorId": domain.operator_id,
        "displayName": domain.spec.certificate_authority.subject.organization or domain.operator_id,
        "trustAnchors": anchors,
    }
    if domain.spec.endpoint is not None:
        spec["endpoint"] = {"url": domain.spec.endpoint.url, "verifier": _verifier(domain, verifier)}
        if verifier is EndpointVerifier.FINGERPRINT:
            fingerprints: list[Data] = [status.endpoint_fingerprint]
            spec["fingerprints"] = fingerprints
    return {
        "apiVersion": API_VERSION,
        "kind": FederationPeer.KIND,
        "metadata": {"name": domain.metadata.name},
        "spec": spec,
    }


def _verifier(domain: TrustDomain, verifier: EndpointVerifier) -> dict[str, Data]:
    match verifier:
        case EndpointVerifier.WEB_PKI:
            return {"webPKI": {}}
        case EndpointVerifier.FINGERPRINT:
            if domain.status.endpoint_fingerprint is None:
                raise _not_published(domain, "endpoint certificate")
            return {"fingerprint": {}}
        case EndpointVerifier.CA:
            if domain.status.certificate_authority is None:
                raise _not_published(domain, "certificate authority")
            return {"certificateAuthority": {"pem": domain.status.certificate_authority.certificate}}


def _not_published(domain: TrustDomain, what: str) -> AnswerNoError:
    return AnswerNoError(
        f"TrustDomain {domain.metadata.name} has no {what} yet: wait until it is Ready (bilateral status)"
    )


def groups_of(peer: FederationPeer) -> str:
    """Return the groups of a manifest, the same on both sides. Raises InputError for bad certificates."""
    endpoint: Data = None
    if peer.spec.endpoint is not None:
        endpoint = {"url": peer.spec.endpoint.url, "verifier": _comparable(peer.spec.endpoint.verifier)}
    fingerprints: Data = [*sorted(peer.spec.fingerprints)]
    anchors = [parse_public_key(anchor.public_key) for anchor in peer.spec.trust_anchors]
    return comparison_groups(
        peer.spec.kernel_id, anchors, {"endpoint": endpoint, "fingerprints": fingerprints}
    )


def _comparable(verifier: Verifier) -> Data:
    if verifier.certificate_authority is not None:
        return {"certificateAuthority": _fingerprints(verifier.certificate_authority.pem)}
    if verifier.web_pki is not None:
        bundle = verifier.web_pki.ca_bundle
        return {"webPKI": [] if bundle is None else _fingerprints(bundle)}
    return {"fingerprint": []}


def _fingerprints(pem: str) -> Data:
    try:
        certificates = parse_certificates(pem.encode(), PkiError)
    except PkiError as error:
        raise InputError(f"the verifier's certificates cannot be read: {error}") from None
    return [*sorted(certificate_fingerprint(certificate) for certificate in certificates)]
