"""Introductions: an authority certifies a party of another organisation, as ``certified introduce`` does.

Rules:

* clientAuth and nothing else. Upstream copies the subject's own host names and adds serverAuth, so that
  whoever is introduced could pose as the introducer's servers; here host names are chosen by us, none by
  default.
* The subject is copied as it stands, attribute by attribute. Never signed: a CA, an empty subject, our
  authority's own name or key, RSA under 2048 bits, an unknown curve (:mod:`bilateral.pki.subjects`).
* The document is that of ``certified introduce``: members ``signed_cert`` and ``ca_cert`` as URL-safe,
  padded base64 of DER, then ``services`` (alias to URL) when there are any; an indent of two, a final
  newline. ``certified add-intro`` installs it.
* Reading is strict: one JSON object, no member twice, services as in :mod:`bilateral.pki.services`;
  members of other names are ignored, as upstream ignores them. Reading proves nothing: whoever installs an
  introduction calls :func:`bilateral.pki.acceptance.accept_introduction`.

Who may be introduced is a policy's or a person's decision. The serial number is recorded by the caller,
before the document leaves.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import Authority
from bilateral.pki.encoding import decode_certificate, encode_certificate
from bilateral.pki.errors import InvalidIntroduction, InvalidService, SubjectRefused
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.identities import build_dns_names
from bilateral.pki.names import rfc4514_name
from bilateral.pki.profiles import Leaf, serial_text, sign_leaf
from bilateral.pki.services import MAX_SERVICES, Service, parse_services
from bilateral.pki.slugs import build_slug
from bilateral.pki.subjects import Candidate, parse_subject
from bilateral.protocol.canonical import JSON, Limits, parse_json
from bilateral.protocol.errors import MalformedDocument

INTRODUCTION_LIMITS = Limits(max_bytes=128 * 1024, max_depth=8, max_members=256, max_values=1024)
"""Two certificates and 64 services fit several times."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """A party's certificate by ``authority``, and the services that it opens.

    Certificates are as they were read or signed; one that was read is not verified.
    """

    certificate: x509.Certificate
    authority: x509.Certificate
    services: tuple[Service, ...] = ()

    @property
    def subject(self) -> str:
        """Who is introduced, as RFC 4514 text."""
        return rfc4514_name(self.certificate.subject)

    @property
    def authority_name(self) -> str:
        """The authority's name as RFC 4514 text: what ``auths`` lists and upstream names the file after."""
        return rfc4514_name(self.authority.subject)

    @property
    def authority_fingerprint(self) -> str:
        """``SHA256:`` + hex over the authority's whole certificate: what a person pins."""
        return certificate_fingerprint(self.authority)

    @property
    def slug(self) -> str:
        """The authority's slug: the file name of the chain in our Secrets, without ``.crt``."""
        return build_slug(self.authority)

    @property
    def serial(self) -> str:
        """The serial number as 40 lower-case hex digits."""
        return serial_text(self.certificate.serial_number)

    @property
    def not_before(self) -> datetime:
        """The first second of validity, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The last second of validity, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def chain_pem(self) -> bytes:
        """What the party presents: the leaf alone, as upstream stores it; a server knows the root."""
        return self.certificate.public_bytes(Encoding.PEM)

    def to_json(self) -> str:
        """Write the document byte for byte as ``certified introduce`` prints it, with ``services`` if any."""
        members: dict[str, str | dict[str, str]] = {
            "signed_cert": encode_certificate(self.certificate),
            "ca_cert": encode_certificate(self.authority),
        }
        if self.services:
            members["services"] = {service.alias: service.url for service in self.services}
        return json.dumps(members, indent=2) + "\n"


def issue_introduction(
    authority: Authority,
    subject: Candidate | str | bytes,
    services: Sequence[Service],
    validity_seconds: int,
    now: datetime,
    *,
    dns_names: Sequence[str] = (),
) -> Introduction:
    """Sign ``subject`` for clientAuth, valid until ``now`` + ``validity_seconds`` or the CA's end.

    ``dns_names`` become the SAN: those that a policy names, never the subject's own wishes. Raises
    SubjectRefused with a ``cause`` of :func:`~bilateral.pki.subjects.parse_subject`, or same-subject or
    own-key; AuthorityExpired or InvalidAuthority (not-yet-valid); InvalidHost; InvalidService (duplicate,
    too-many); ValueError for a validity that is not positive.
    """
    candidate = subject if isinstance(subject, Candidate) else parse_subject(subject)
    checked = _verify_services(services)
    leaf = Leaf(
        subject=candidate.name,
        public_key=candidate.public_key,
        alternative_names=build_dns_names(dns_names),
        usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    )
    signed = sign_leaf(authority, leaf, validity_seconds=validity_seconds, now=now, error=SubjectRefused)
    return Introduction(certificate=signed, authority=authority.certificate, services=checked)


@functools.lru_cache(maxsize=64)  # one look at it asks several times
def parse_introduction(text: str | bytes) -> Introduction:
    """Parse the document that ``certified introduce`` or :meth:`Introduction.to_json` wrote.

    Raises InvalidIntroduction with ``cause``: not-json (or the cause of
    :class:`~bilateral.protocol.errors.MalformedDocument`), not-an-object, signed_cert, ca_cert, services,
    alias, url, too-many.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        document = parse_json(data, INTRODUCTION_LIMITS)
    except MalformedDocument as error:
        raise InvalidIntroduction(error.cause, "expected the JSON of an introduction") from None
    if not isinstance(document, dict):
        raise InvalidIntroduction("not-an-object", "expected a JSON object")
    return Introduction(
        certificate=_member_certificate(document, "signed_cert"),
        authority=_member_certificate(document, "ca_cert"),
        services=_member_services(document),
    )


def _member_certificate(document: dict[str, JSON], member: str) -> x509.Certificate:
    text = document.get(member)
    try:
        return decode_certificate(text if isinstance(text, str) else "")
    except ValueError:
        raise InvalidIntroduction(member, f"{member}: expected one line of base64 of a certificate") from None


def _member_services(document: dict[str, JSON]) -> tuple[Service, ...]:
    services = document.get("services", {})
    if not isinstance(services, dict):
        raise InvalidIntroduction("services", "services: expected an object from alias to URL")
    addresses: dict[str, str] = {}
    for alias, url in services.items():
        if not isinstance(url, str):
            raise InvalidIntroduction("services", "services: expected the URL as text")
        addresses[alias] = url
    try:
        return parse_services(addresses)
    except InvalidService as error:
        raise InvalidIntroduction(error.cause, f"services: {error}") from None


def _verify_services(services: Sequence[Service]) -> tuple[Service, ...]:
    checked = parse_services({service.alias: service.url for service in services})
    if len(checked) != len(services):
        raise InvalidService("duplicate", f"expected each alias once, and at most {MAX_SERVICES}")
    return checked
