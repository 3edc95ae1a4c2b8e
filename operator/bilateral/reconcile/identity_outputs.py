"""The Secrets that an identity's pods mount: what should be in each, as one pure function.

::

    <name>-identity        the certificate and, unless it is provided, the key
    <name>-id-chains       <slug>.crt: the identity as every authority signed it
    <name>-known-servers   <alias>.yaml, self.crt, <slug>.crt
    <name>-known-clients   self.crt, <slug>.crt, their .crl and .yaml; or the certificate of nobody
    <name>-to-<alias>      tls.crt, tls.key, ca.crt: on request, for one service

Rules:

- One chain for each authority: of two introductions the one that lasts longer.
- What is withdrawn leaves its Secret; no Secret is ever deleted. A ``-to-`` Secret whose service may not be
  called any more holds the certificate of nobody and no key.
- Secrets that are not there yet are made only once the identity has its certificate. Those that are there
  follow what is trusted, whatever became of the certificate.
- No Secret may be larger than :data:`MAX_SECRET_BYTES`. One that would be keeps what it has, but for what was
  withdrawn.
- The content hash does not move with revocation lists, which are signed again every day: whoever reads them
  reads them anew, and whoever does not needs no rollout. It is keyed with the identity's private key, since
  there are bearer tokens in the files: nobody can try tokens against it. Where the key is not ours, a token
  does not move it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.directory import (
    NOBODY_PEM,
    TrustedAuthority,
    build_chain_files,
    build_client_files,
    build_identity_files,
    build_server_files,
)
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.identities import HeldIdentity, Identity
from bilateral.pki.pem import PrivateKey
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PinnedFingerprint, PinnedRawKey, WebPKI
from bilateral.reconcile.acceptances import Accepted
from bilateral.reconcile.identity_material import TLS_TYPE, Material, key_secret, secret_type
from bilateral.reconcile.identity_view import IdentityView
from bilateral.reconcile.outcome import SecretView, WrittenSecret
from bilateral.reconcile.services import ResolvedService, build_entry, select_chain
from bilateral.resources.workloadidentity import OWN_AUTHORITY, PerServiceTLS, WorkloadIdentity

MAX_SECRET_BYTES = 1_000_000
"""Of data; Kubernetes refuses a Secret past 1 MiB, names included."""

_NOTHING: Mapping[str, bytes] = {"tls.crt": NOBODY_PEM, "tls.key": b"", "ca.crt": NOBODY_PEM}


@dataclass(frozen=True, slots=True)
class Chain:
    """An introduction that was accepted, and the object that it came with."""

    accepted: Accepted
    name: str

    @property
    def slug(self) -> str:
        """The name of its file, without ``.crt``."""
        return self.accepted.introduction.slug


@dataclass(frozen=True, slots=True)
class Outputs:
    """Every Secret as it should be; ``too_large`` are the names of those that cannot hold what they should."""

    secrets: tuple[WrittenSecret, ...]
    too_large: tuple[str, ...]
    content_hash: str


def choose_chains(found: Iterable[Chain]) -> tuple[Chain, ...]:
    """One chain for each authority, sorted by slug."""
    best: dict[str, Chain] = {}
    for chain in found:
        known = best.get(chain.slug)
        if known is None or _lasts(known) < _lasts(chain):
            best[chain.slug] = chain
    return tuple(chain for _, chain in sorted(best.items()))


def build_outputs(
    identity: WorkloadIdentity,
    view: IdentityView,
    material: Material,
    chains: tuple[Chain, ...],
    services: tuple[ResolvedService, ...],
    moment: datetime,
) -> Outputs:
    """Build what every Secret of the identity should hold at ``moment``."""
    builder = _Builder(identity, view, material, chains, moment)
    entries = [builder.entry(service) for service in services]
    own = builder.generations[0].certificate if builder.generations else None
    introductions = [chain.accepted.introduction for chain in chains]
    wanted = [
        *builder.identity_secret(),
        WrittenSecret(identity.chains_secret_name, build_chain_files(introductions)),
        WrittenSecret(
            identity.servers_secret_name,
            build_server_files(entries, own) | builder.older() | _list_files(services),
        ),
        WrittenSecret(identity.clients_secret_name, builder.client_files()),
        *builder.service_secrets(services),
    ]
    there = [each for each in wanted if material.certificate is not None or each.name in view.secrets]
    too_large = tuple(each.name for each in there if _size(each) > MAX_SECRET_BYTES)
    secrets = tuple(
        each if each.name not in too_large else _shrink(each, view.secrets[each.name])
        for each in there
        if each.name not in too_large or each.name in view.secrets
    )
    return Outputs(secrets, too_large, _hash(identity, material, secrets, entries))


def build_identity_secret(
    identity: WorkloadIdentity, made: Identity, key: PrivateKey | None, authority: x509.Certificate
) -> WrittenSecret:
    """Build the identity's own Secret; ``key`` is None where it is its owner's."""
    if key is not None:
        data = build_identity_files(HeldIdentity(made, key), authority)
    else:
        pem = made.certificate_pem
        data = {"tls.crt": pem, "ca.crt": _pem(authority), "id.crt": pem}
    return WrittenSecret(identity.identity_secret_name, data, secret_type(identity))


class _Builder:
    def __init__(
        self,
        identity: WorkloadIdentity,
        view: IdentityView,
        material: Material,
        chains: tuple[Chain, ...],
        moment: datetime,
    ) -> None:
        self._identity = identity
        self._view = view
        self._material = material
        self._chains = {chain.slug: chain for chain in chains}
        own = () if view.own is None else view.own.generations
        self.generations = tuple(each for each in own if _is_in_date(each.certificate, moment))
        self._moment = moment

    def identity_secret(self) -> Iterable[WrittenSecret]:
        held = self._material
        if held.certificate is not None and held.authority is not None:
            yield build_identity_secret(self._identity, held.certificate, held.private_key, held.authority)

    def older(self) -> dict[str, bytes]:
        """Older generations of our own authority, until nothing that counts is of them."""
        return {
            f"{build_slug(each.certificate)}.crt": _pem(each.certificate) for each in self.generations[1:]
        }

    def client_files(self) -> dict[str, bytes]:
        own: TrustedAuthority | None = None
        partners: list[TrustedAuthority] = []
        if OWN_AUTHORITY in self._identity.spec.clients and self.generations:
            own = self.generations[0]
            partners += self.generations[1:]
        for partner in self._view.clients:
            if partner.withheld is None:
                partners += [
                    TrustedAuthority(
                        certificate,
                        partner.revocations.get(build_slug(certificate)),
                        () if partner.retained else (partner.kernel_id,),
                    )
                    for certificate in partner.authorities
                    if _is_in_date(certificate, self._moment)
                ]
        return build_client_files(own, partners)

    def entry(self, service: ResolvedService) -> ServiceEntry:
        return build_entry(service, select_chain(service, self._chains, self._own()).auths)

    def service_secrets(self, services: tuple[ResolvedService, ...]) -> Iterable[WrittenSecret]:
        """The Secrets for one service each, and those that lost theirs."""
        wanted: dict[str, WrittenSecret] = {}
        if self._identity.spec.per_service_tls is PerServiceTLS.ENABLED:
            for service in services:
                data = self._service_files(service)
                if data is not None:
                    name = self._identity.service_secret_name(service.alias)
                    wanted[name] = WrittenSecret(name, data, TLS_TYPE)
        yield from wanted.values()
        for name, held in sorted(self._view.secrets.items()):
            ours = held.owner_uid == self._identity.metadata.uid
            if ours and name not in wanted and name.startswith(self._identity.service_secret_name("")):
                yield WrittenSecret(name, _NOTHING, TLS_TYPE)

    def _own(self) -> x509.Certificate | None:
        if self._material.authority is not None:
            return self._material.authority
        return self.generations[0].certificate if self.generations else None

    def _service_files(self, service: ResolvedService) -> dict[str, bytes] | None:
        """None where a certificate, a key and authorities cannot say how the service is called."""
        material = self._material
        if material.private_key is None or material.certificate is None:
            return None
        match service.verifier:
            case PinnedFingerprint() | PinnedRawKey():
                return None
            case WebPKI(bundle=bundle):
                roots = bundle or ()
            case verifier:
                roots = verifier.authorities
        choice = select_chain(service, self._chains, self._own())
        if not choice.has_chain:
            return None
        files = {
            "tls.crt": self._presented(choice.auths, material.certificate.certificate_pem),
            "tls.key": HeldIdentity(material.certificate, material.private_key).key_pem,
        }
        return files | ({"ca.crt": b"".join(map(_pem, roots))} if roots else {})

    def _presented(self, auths: tuple[str, ...], own: bytes) -> bytes:
        chains = [
            self._chains[auth].accepted.introduction.chain_pem for auth in auths if auth in self._chains
        ]
        return chains[0] if chains else own


def _list_files(services: Iterable[ResolvedService]) -> dict[str, bytes]:
    """What partners have withdrawn: a client that knows their authorities must not accept those servers."""
    return {f"{slug}.crl": listed.pem for service in services for slug, listed in service.lists}


def _shrink(wanted: WrittenSecret, held: SecretView) -> WrittenSecret:
    """What is there, less what was withdrawn."""
    left = {name: content for name, content in held.data.items() if name in wanted.data}
    is_trust = any(name.endswith(".crt") for name in wanted.data)
    if is_trust and not any(name.endswith(".crt") for name in left):
        left["nobody.crt"] = NOBODY_PEM
    return replace(wanted, data=left)


def _size(wanted: WrittenSecret) -> int:
    return sum(len(name) + len(content) for name, content in wanted.data.items())


def _hash(
    identity: WorkloadIdentity,
    material: Material,
    secrets: Iterable[WrittenSecret],
    entries: Iterable[ServiceEntry],
) -> str:
    """``sha256:`` + hex over every file but the lists, each with the name of its Secret and its own."""
    key, plain = b"provided", {}
    if material.private_key is not None:
        key = key_secret(material.private_key)
    else:
        plain = {f"{entry.alias}.yaml": replace(entry, bearer_token=None).to_yaml() for entry in entries}
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for secret in sorted(secrets, key=lambda each: each.name):
        shown = plain if secret.name == identity.servers_secret_name else {}
        for name, content in sorted(secret.data.items()):
            if name.endswith(".crl"):
                continue
            for part in (secret.name.encode(), name.encode(), shown.get(name, content)):
                digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"


def _lasts(chain: Chain) -> tuple[int, str]:
    return chain.accepted.ends_at, chain.name


def _is_in_date(certificate: x509.Certificate, moment: datetime) -> bool:
    return certificate.not_valid_after_utc >= moment


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
