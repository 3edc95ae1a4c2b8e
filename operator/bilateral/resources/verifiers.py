"""How a server is verified, as a spec says it: a closed union without a member that means "not at all".

Which verifier follows for which service is decided elsewhere; here is only what a person may write.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from bilateral.resources.fields import CertificatesPem, ObjectName, SecretKey
from bilateral.resources.model import Rule, SpecModel


class WebPKIVerifier(SpecModel):
    """Judge the server's certificate by public authorities, or by the given bundle."""

    ca_bundle: CertificatesPem | None = Field(
        default=None,
        description="Authorities in PEM that are asked instead of the system's.",
    )


class CertificateAuthorityVerifier(SpecModel):
    """Judge the server's certificate by the partner's own authority."""

    pem: CertificatesPem = Field(description="The authority's certificate in PEM, or several of them.")


class FingerprintVerifier(SpecModel):
    """Judge the server's certificate by its fingerprint, one of ``spec.fingerprints``."""


class Verifier(SpecModel):
    """How the partner's server is verified: exactly one member. None of them switches it off."""

    web_pki: WebPKIVerifier | None = Field(
        default=None, alias="webPKI", description="By public authorities, or by a bundle of yours."
    )
    certificate_authority: CertificateAuthorityVerifier | None = Field(
        default=None, description="By the partner's own authority."
    )
    fingerprint: FingerprintVerifier | None = Field(
        default=None, description="By its fingerprint: the SHA256: entries of spec.fingerprints."
    )


ONE_VERIFIER: Final = Rule[Verifier](
    "[has(self.webPKI), has(self.certificateAuthority), has(self.fingerprint)].exists_one(set, set)",
    "must set exactly one of webPKI, certificateAuthority and fingerprint",
    lambda verifier: (
        [verifier.web_pki, verifier.certificate_authority, verifier.fingerprint].count(None) == 2
    ),
)


class SecretKeyReference(SpecModel):
    """A key of a Secret in the same namespace."""

    name: ObjectName = Field(
        description="The Secret's name; the Secret needs the label bilateral.dev/secret: referenced."
    )
    key: SecretKey = Field(default="token", description="The key in the Secret's data.")
