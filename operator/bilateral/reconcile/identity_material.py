"""The key and the certificate that an identity holds, read from its Secret, and what is wrong with them.

Rules:

- The key is made once. It lies twice in the Secret (``tls.key``, ``id.key``): if somebody spoiled one,
  the other is taken; a key that was published is preferred to any other. Only when there is none left is
  a new one made, and then introductions must be made anew too.
- A provided key is its owner's: of their Secret only the public key is used, of a signing request only
  when its signature is right.
- A certificate counts while it is what we would issue now, but for serial and dates: our current authority,
  the spec's subject and names, this key, not withdrawn. It is renewed when two thirds of its life are over
  and the next one would live longer.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509

from bilateral.pki.authority import Authority
from bilateral.pki.errors import InvalidCertificate, PkiError, SubjectRefused
from bilateral.pki.identities import Identity, build_dns_names, is_current
from bilateral.pki.names import build_name
from bilateral.pki.pem import (
    PrivateKey,
    PublicKey,
    parse_certificates,
    parse_private_key,
    private_key_pem,
    verify_key_strength,
    whole_second,
)
from bilateral.pki.profiles import is_same_name, key_fingerprint, spki_der
from bilateral.pki.revocations import is_revoked
from bilateral.pki.subjects import parse_request
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_view import IdentityView, Issue, OwnTrust
from bilateral.reconcile.outcome import SecretView
from bilateral.resources.workloadidentity import WorkloadIdentity

REQUEST = "tls.csr"
CERTIFICATE_FILES = ("tls.crt", "id.crt")
KEY_FILES = ("tls.key", "id.key")
TLS_TYPE = "kubernetes.io/tls"
OPAQUE_TYPE = "Opaque"


@dataclass(frozen=True, slots=True)
class Material:
    """What an identity holds; ``certificate`` is one that may be presented, ``problem`` why there is none.

    ``issue`` is what to sign now: the first certificate, or the next one; ``hindrance`` is why the next one
    cannot be signed although it is time. ``authority`` signed the certificate.
    """

    public_key: PublicKey | None = None
    private_key: PrivateKey | None = field(default=None, repr=False)
    certificate: Identity | None = None
    authority: x509.Certificate | None = None
    issue: Issue | None = None
    problem: Reason | None = None
    hindrance: Reason | None = None


def read_material(identity: WorkloadIdentity, view: IdentityView, moment: datetime) -> Material:
    """Read what the identity's Secret holds, and say what must be signed."""
    name = identity.identity_secret_name
    held = view.secrets.get(name)
    if name in view.foreign_secrets or (held is not None and not _is_ours(identity, held)):
        return Material(problem=Reason.SECRET_CONFLICT)
    private_key: PrivateKey | None = None
    if identity.has_provided_key:
        provided = _read_provided(identity, view)
        if isinstance(provided, Reason):
            return Material(problem=provided)
        public_key: PublicKey | None = provided
    else:
        private_key = _read_key(identity, held)
        public_key = None if private_key is None else private_key.public_key()
    found = None if public_key is None else _read_certificate(identity, held, public_key, view.own)
    certificate, authority = (None, None) if found is None else found
    return _judge(identity, view, moment, Material(public_key, private_key, certificate, authority))


def secret_type(identity: WorkloadIdentity) -> str:
    """The type of the identity's own Secret: a provided key is not in it."""
    return OPAQUE_TYPE if identity.has_provided_key else TLS_TYPE


def _is_ours(identity: WorkloadIdentity, held: SecretView) -> bool:
    return (
        held.owner_uid == identity.metadata.uid
        and not held.referenced
        and held.type == secret_type(identity)  # the type of a Secret can never be changed
    )


def _read_key(identity: WorkloadIdentity, held: SecretView | None) -> PrivateKey | None:
    """The key in our Secret; of two different ones, that which was published."""
    keys: list[PrivateKey] = []
    for name in KEY_FILES if held is not None else ():
        try:
            keys.append(parse_private_key(held.data.get(name, b"") if held else b"", InvalidCertificate))
        except PkiError:
            continue
    published = identity.status.public_key_fingerprint
    for key in keys:
        if key_fingerprint(key.public_key()) == published:
            return key
    return keys[0] if keys else None


def _read_provided(identity: WorkloadIdentity, view: IdentityView) -> PublicKey | Reason:
    secret = view.secrets.get(identity.spec.key.secret_name or "")
    if secret is None or not secret.referenced:
        return Reason.SECRET_NOT_FOUND
    try:
        if REQUEST in secret.data:
            return parse_request(secret.data[REQUEST]).public_key
        if CERTIFICATE_FILES[0] in secret.data:
            leaf = parse_certificates(secret.data[CERTIFICATE_FILES[0]], SubjectRefused)[0]
            return verify_key_strength(leaf.public_key(), SubjectRefused)
    except PkiError:
        return Reason.SUBJECT_REFUSED
    return Reason.SECRET_NOT_FOUND


def _read_certificate(
    identity: WorkloadIdentity, held: SecretView | None, key: PublicKey, own: OwnTrust | None
) -> tuple[Identity, x509.Certificate] | None:
    """The certificate in our Secret that is what the spec asks for, and the authority that signed it.

    Of several the one that lasts longest. By an older generation of our authority only while the current
    one may not sign.
    """
    if own is None or held is None:
        return None
    issuers = [own.authority.certificate] if own.authority is not None else []
    if own.problem is not None:
        issuers += [each.certificate for each in own.generations if each.certificate not in issuers]
    found: list[tuple[Identity, x509.Certificate]] = []
    for pem in dict.fromkeys(held.data.get(name, b"") for name in CERTIFICATE_FILES):
        with suppress(PkiError):
            leaf = parse_certificates(pem, InvalidCertificate)[0]
            found += [(Identity(leaf), by) for by in issuers if _is_wanted(identity, leaf, key, by)]
    lists = [each.revocations for each in own.generations if each.revocations is not None]
    good = [each for each in found if not any(is_revoked(known, each[0].certificate) for known in lists)]
    return max(good, key=lambda each: each[0].not_after, default=None)


def _is_wanted(
    identity: WorkloadIdentity, leaf: x509.Certificate, key: PublicKey, issuer: x509.Certificate
) -> bool:
    spec = identity.spec
    return spki_der(verify_key_strength(leaf.public_key(), InvalidCertificate)) == spki_der(
        key
    ) and is_current(Identity(leaf), issuer, spec.subject.to_subject(), dns_names=spec.dns_names)


def _judge(identity: WorkloadIdentity, view: IdentityView, moment: datetime, held: Material) -> Material:
    """Say whether the certificate is good, and whether one must be signed and may be."""
    certificate = held.certificate
    if certificate is not None and certificate.not_after < moment:
        certificate = None
    own = view.own
    authority = None if own is None else own.authority
    held = replace(held, certificate=certificate, authority=None if certificate is None else held.authority)
    blocked = _blocked(identity, view, held.public_key)
    if blocked is not None or authority is None:
        problem = blocked or Reason.TRUST_DOMAIN_NOT_READY
        if certificate is None:
            return replace(held, problem=problem)
        return replace(held, hindrance=problem if moment >= certificate.renewal_due else None)
    if certificate is not None and not _is_due(identity, certificate, authority, moment):
        return held
    return replace(
        held,
        issue=Issue(
            authority=authority,
            public_key=held.public_key if held.private_key is None else None,
            private_key=held.private_key,
        ),
        problem=Reason.IDENTITY_PENDING if certificate is None else None,
    )


def _is_due(
    identity: WorkloadIdentity, certificate: Identity, authority: Authority, moment: datetime
) -> bool:
    ends = whole_second(moment) + timedelta(seconds=identity.spec.validity_seconds)
    return moment >= certificate.renewal_due and min(ends, authority.not_after) > certificate.not_after


def _blocked(identity: WorkloadIdentity, view: IdentityView, key: PublicKey | None) -> Reason | None:
    """Why nothing can be signed for this identity now, or None."""
    own = view.own
    if view.clock_regressed:
        return Reason.CLOCK_REGRESSED
    if own is None:
        return Reason.TRUST_DOMAIN_NOT_FOUND
    if own.problem is not None or own.authority is None:
        return own.problem or Reason.TRUST_DOMAIN_NOT_READY
    try:
        name = build_name(identity.spec.subject.to_subject())
        build_dns_names(identity.spec.dns_names)
    except PkiError as error:
        return error.reason
    if is_same_name(name, own.authority.certificate.subject):
        return Reason.SUBJECT_REFUSED
    if key is not None and spki_der(key) == spki_der(own.authority.key.public_key()):
        return Reason.SUBJECT_REFUSED
    return None


def key_secret(key: PrivateKey) -> bytes:
    """Bytes that only who holds the key can know: for a keyed hash."""
    return hashlib.sha256(private_key_pem(key)).digest()
