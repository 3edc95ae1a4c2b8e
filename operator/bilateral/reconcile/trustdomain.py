"""What should be true of a TrustDomain: its keys, its authority, its endpoint's certificate.

Rules (resources.md, TrustDomain; security.md R-K6, R-K7):

- What is missing is made once, in Secrets of ours, and kept. A Secret that is not ours is left
  byte-identical (SecretConflict), unless its owner labelled it as one that we may use.
- The public key, once shown in status, is our identity. While any partner is pinned, another key or
  none is KeyDrift: nothing is signed, and no new identity is made. The one way to change it is to
  announce the next key first and then to name its Secret as the current one.
- A generated authority that is gone or replaced is AuthorityDrift. Another Secret name, or a
  provided authority, is a person's decision and is followed.
- Of two TrustDomains with one kernel id the older keeps it; the newcomer does not speak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bilateral.pki.authority import Authority, load_authority, verify_authority_dates
from bilateral.pki.errors import PkiError
from bilateral.pki.servers import ServerCertificate, is_issued_by, load_server_certificate
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.exports import comparison_groups
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import GeneratedSecret, Recipe, SecretView, next_after
from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.trustdomain import AuthorityStatus, Source, TrustDomain, TrustDomainStatus

PRIVATE_KEY = "private.pem"
SEAL_KEY = "seal.key"
SEAL_BYTES = 32
TLS_CERTIFICATE = "tls.crt"
TLS_KEY = "tls.key"
LOOK_AGAIN_SECONDS = 60
"""How often a conflict or drift is looked at without an event: foreign Secrets are not watched."""


@dataclass(frozen=True, slots=True)
class TrustDomainView:
    """What a look at a TrustDomain depends on; ``secrets`` are those that carry our label."""

    secrets: Mapping[str, SecretView]
    foreign_secrets: frozenset[str]  # names that are taken by Secrets without our label, or of another owner
    kernel_id_taken: bool
    pins_exist: bool
    clock_regressed: bool
    latest_time: int = 0  # the latest that was ever seen (Unix seconds); ahead of a clock that went back


@dataclass(frozen=True, slots=True)
class TrustDomainOutcome:
    """What should be true of a TrustDomain, and what to make."""

    status: TrustDomainStatus
    generate: tuple[GeneratedSecret, ...]
    signing_key: SigningKey | None  # only while it may be used
    seal_key: bytes | None
    endpoint_host: str | None
    endpoint_certificate: ServerCertificate | None
    authority: Authority | None  # only while it may sign
    next_at: int | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that a TrustDomain needs: why it is not there yet, how to make it, whose name others have."""

    problem: Reason | None
    generate: GeneratedSecret | None = None
    taken: str | None = None


def reconcile_trust_domain(domain: TrustDomain, view: TrustDomainView, now: int) -> TrustDomainOutcome:
    """Judge a TrustDomain at ``now`` (Unix seconds)."""
    # Certificates are judged by the latest time that was seen: a clock that went back makes none of
    # them younger, and partners go on to hear from our endpoint that we are not ready.
    moment = datetime.fromtimestamp(max(now, view.latest_time), UTC)
    key, key_part = _signing_key(domain, view)
    next_key, next_part = _next_key(domain, view)
    seal, seal_part = _seal(domain, view)
    authority, authority_part = _authority(domain, view, moment)
    endpoint, endpoint_part = _endpoint(domain, view, authority, authority_part, moment)
    written_parts = _written_later(domain, view)
    usable = key_part.problem is None and not view.kernel_id_taken and not view.clock_regressed
    wanted = _conditions(
        view, key_part, authority_part, (next_part, seal_part, endpoint_part, *written_parts)
    )
    parts = (key_part, next_part, seal_part, authority_part, endpoint_part, *written_parts)
    return TrustDomainOutcome(
        status=_status(domain, key, next_key, authority, endpoint, wanted, now),
        generate=()
        if view.clock_regressed
        else tuple(part.generate for part in parts if part.generate is not None),
        signing_key=key if usable else None,
        seal_key=seal,
        endpoint_host=endpoint_host(domain),
        endpoint_certificate=endpoint,
        authority=authority if authority_part.problem is None and not view.clock_regressed else None,
        next_at=_next_look(parts, endpoint, authority, now),
    )


def _find(
    domain: TrustDomain, view: TrustDomainView, name: str, recipe: Recipe
) -> tuple[SecretView | None, _Part]:
    """A Secret that we may use; else what stands in the way, or how to make it."""
    secret = view.secrets.get(name)
    if secret is None:
        if name in view.foreign_secrets:
            return None, _Part(Reason.SECRET_CONFLICT, GeneratedSecret(name, recipe), name)
        return None, _Part(Reason.OUTPUTS_PENDING, GeneratedSecret(name, recipe))
    if not secret.referenced and secret.owner_uid != domain.metadata.uid:
        return None, _Part(Reason.SECRET_CONFLICT, taken=name)
    return secret, _Part(None)


def _written_later(domain: TrustDomain, view: TrustDomainView) -> tuple[_Part, ...]:
    """What is written as it comes: the lists of peers, the record of what was signed, the statement."""
    names = (domain.peers_secret_name, domain.issued_secret_name, domain.statement_secret_name)
    taken = (name for name in names if name in view.foreign_secrets)
    return tuple(_Part(Reason.SECRET_CONFLICT, taken=name) for name in taken)


def _load_key(secret: SecretView) -> SigningKey | None:
    try:
        return SigningKey.from_pkcs8_pem(secret.data.get(PRIVATE_KEY, b""))
    except ProtocolError:
        return None


def _signing_key(domain: TrustDomain, view: TrustDomainView) -> tuple[SigningKey | None, _Part]:
    published = domain.status.public_key
    secret, part = _find(domain, view, domain.signing_key_secret_name, Recipe.SIGNING_KEY)
    guarded = published is not None and view.pins_exist
    if secret is None:
        if guarded and part.problem is Reason.OUTPUTS_PENDING:
            return None, _Part(Reason.KEY_DRIFT)
        return None, _Part(
            Reason.KEY_PENDING if part.problem is Reason.OUTPUTS_PENDING else part.problem,
            part.generate,
            part.taken,
        )
    key = _load_key(secret)
    if key is None:
        return None, _Part(Reason.KEY_INVALID)
    announced = (published, domain.status.next_public_key)
    if guarded and key.public_key.canonical not in announced:
        return None, _Part(Reason.KEY_DRIFT)
    return key, part


def _next_key(domain: TrustDomain, view: TrustDomainView) -> tuple[PublicKey | None, _Part]:
    name = domain.next_signing_key_secret_name
    if name is None:
        return None, _Part(None)
    secret, part = _find(domain, view, name, Recipe.SIGNING_KEY)
    if secret is None:
        return None, _Part(
            Reason.KEY_PENDING if part.problem is Reason.OUTPUTS_PENDING else part.problem,
            part.generate,
            part.taken,
        )
    key = _load_key(secret)
    return (None, _Part(Reason.KEY_INVALID)) if key is None else (key.public_key, part)


def _seal(domain: TrustDomain, view: TrustDomainView) -> tuple[bytes | None, _Part]:
    secret, part = _find(domain, view, domain.seal_secret_name, Recipe.SEAL)
    if secret is None:
        return None, part
    key = secret.data.get(SEAL_KEY, b"")
    return (None, _Part(Reason.KEY_INVALID)) if len(key) != SEAL_BYTES else (key, part)


def _authority(
    domain: TrustDomain, view: TrustDomainView, moment: datetime
) -> tuple[Authority | None, _Part]:
    provided = domain.spec.certificate_authority.source is Source.PROVIDED
    known = domain.status.certificate_authority
    name = domain.authority_secret_name
    kept = known is not None and not provided and known.secret_name == name
    secret, part = _find(domain, view, name, Recipe.AUTHORITY)
    if secret is None:
        if provided:
            return None, _Part(Reason.SECRET_NOT_FOUND)
        if kept and part.problem is Reason.OUTPUTS_PENDING:
            return None, _Part(Reason.AUTHORITY_DRIFT)
        pending = part.problem is Reason.OUTPUTS_PENDING
        return None, _Part(Reason.AUTHORITY_PENDING if pending else part.problem, part.generate, part.taken)
    try:
        authority = load_authority(secret.data.get(TLS_CERTIFICATE, b""), secret.data.get(TLS_KEY, b""))
    except PkiError:
        return None, _Part(Reason.AUTHORITY_INVALID)
    if kept and known is not None and authority.fingerprint != known.fingerprint:
        return None, _Part(Reason.AUTHORITY_DRIFT)
    try:
        verify_authority_dates(authority, moment)
    except PkiError:
        return authority, _Part(Reason.AUTHORITY_EXPIRED)
    return authority, part


def endpoint_host(domain: TrustDomain) -> str | None:
    """The host that partners ask for, as the endpoint's URL names it."""
    return None if domain.spec.endpoint is None else urlsplit(domain.spec.endpoint.url).hostname


def _endpoint(
    domain: TrustDomain,
    view: TrustDomainView,
    authority: Authority | None,
    authority_part: _Part,
    moment: datetime,
) -> tuple[ServerCertificate | None, _Part]:
    """The certificate that the endpoint presents: provided, or issued by our authority and renewed."""
    host = endpoint_host(domain)
    if domain.spec.endpoint is None or host is None:
        return None, _Part(None)
    name = domain.endpoint_secret_name
    if domain.spec.endpoint.certificate.source is Source.PROVIDED:
        secret = view.secrets.get(name)
        if secret is None:
            return None, _Part(Reason.SECRET_NOT_FOUND)
        certificate = _load_certificate(secret, host, moment)
        return certificate, _Part(Reason.CERTIFICATE_INVALID if certificate is None else None)
    secret, part = _find(domain, view, name, Recipe.ENDPOINT_CERTIFICATE)
    if authority is None:
        return None, _Part(Reason.AUTHORITY_PENDING)
    if authority_part.problem is not None:
        return None, _Part(authority_part.problem)  # past its end: so is what it issued
    if secret is None:
        return None, part
    renew = GeneratedSecret(name, Recipe.ENDPOINT_CERTIFICATE, replaces=secret.resource_version)
    certificate = _load_certificate(secret, host, moment)
    if certificate is None or not is_issued_by(certificate.leaf, authority):
        return None, _Part(Reason.OUTPUTS_PENDING, renew)
    if moment >= certificate.renewal_due and certificate.not_after < authority.not_after:
        return certificate, _Part(None, renew)
    return certificate, part


def _load_certificate(secret: SecretView, host: str, moment: datetime) -> ServerCertificate | None:
    try:
        return load_server_certificate(
            secret.data.get(TLS_CERTIFICATE, b""), secret.data.get(TLS_KEY, b""), host=host, now=moment
        )
    except PkiError:
        return None


def _conditions(
    view: TrustDomainView, key: _Part, authority: _Part, others: tuple[_Part, ...]
) -> dict[str, Wanted]:
    unique = Reason.KERNEL_ID_CONFLICT if view.kernel_id_taken else None
    regressed = Reason.CLOCK_REGRESSED if view.clock_regressed else None
    parts = (_Part(unique), _Part(regressed), key, authority, *others)
    ready = _wanted(next((part for part in parts if part.problem is not None), _Part(None)), Reason.READY)
    return {
        "Ready": ready,
        "KeyReady": _wanted(key, Reason.READY),
        "AuthorityReady": _wanted(authority, Reason.READY),
        "Unique": _wanted(_Part(unique), Reason.UNIQUE),
        **progress(
            reconciling=ready.status is ConditionStatus.UNKNOWN,
            stalled=ready.status is ConditionStatus.FALSE,
        ),
    }


_PENDING = frozenset({Reason.KEY_PENDING, Reason.AUTHORITY_PENDING, Reason.OUTPUTS_PENDING})


def _wanted(part: _Part, good: Reason) -> Wanted:
    if part.problem is None:
        return Wanted(ConditionStatus.TRUE, good, sentence(good))
    status = ConditionStatus.UNKNOWN if part.problem in _PENDING else ConditionStatus.FALSE
    said = sentence(part.problem, () if part.taken is None else (part.taken,))
    return Wanted(status, part.problem, said)


def _status(
    domain: TrustDomain,
    key: SigningKey | None,
    next_key: PublicKey | None,
    authority: Authority | None,
    endpoint: ServerCertificate | None,
    wanted: dict[str, Wanted],
    now: int,
) -> TrustDomainStatus:
    """The whole status; what was published stays published while its Secret is away."""
    before = domain.status
    public = before.public_key if key is None else key.public_key.canonical
    current = None if public is None else PublicKey(bytes.fromhex(public.removeprefix("ed25519:")))
    announced = before.next_public_key if domain.next_signing_key_secret_name is not None else None
    if next_key is not None:
        announced = next_key.canonical
    if key is None and announced is None:
        announced = before.next_public_key
    return TrustDomainStatus(
        observed_generation=domain.metadata.generation,
        reconciled_now=domain.metadata.reconcile_now,
        conditions=tuple(build_conditions(before.conditions, wanted, domain.metadata.generation, now)),
        kernel_id=domain.spec.kernel_id,
        public_key=public,
        did=None if current is None else current.did,
        fingerprint=None if current is None else comparison_groups(domain.spec.kernel_id, (current,), None),
        next_public_key=announced,
        endpoint_fingerprint=before.endpoint_fingerprint if endpoint is None else endpoint.fingerprint,
        certificate_authority=before.certificate_authority
        if authority is None
        else AuthorityStatus(
            subject=authority.subject,
            fingerprint=authority.fingerprint,
            not_after=int(authority.not_after.timestamp()),
            certificate=authority.certificate_pem.decode(),
            secret_name=domain.authority_secret_name,
        ),
    )


def _next_look(
    parts: tuple[_Part, ...], endpoint: ServerCertificate | None, authority: Authority | None, now: int
) -> int | None:
    moments = []
    if any(part.problem is not None for part in parts):
        moments.append(now + LOOK_AGAIN_SECONDS)
    if endpoint is not None:
        moments.append(int(endpoint.renewal_due.timestamp()))
    if authority is not None:
        moments.append(int(authority.not_after.timestamp()) + 1)
    return next_after(now, moments)
