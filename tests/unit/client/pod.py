"""A pod's mounts as a kubelet writes them, and two organisations' material to fill them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.directory import (
    TrustedAuthority,
    build_chain_files,
    build_client_files,
    build_identity_files,
    build_server_files,
)
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.fingerprints import certificate_fingerprint, parse_fingerprint
from bilateral.pki.identities import HeldIdentity, Identity, generate_identity_key, issue_identity
from bilateral.pki.introductions import Introduction, issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.pem import PublicKey
from bilateral.pki.revocations import Revocation, RevocationList, renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA, PinnedFingerprint, Verifier
from testbed import kubelet

YEAR = 365 * 86400
DAY = 86400


class Volume(kubelet.Volume):
    """A mounted Secret, changed by file."""

    def __init__(self, path: Path, files: Mapping[str, bytes] = {}, mode: int = 0o644) -> None:
        super().__init__(path, mode)
        self.replace(files)

    def update(self, files: Mapping[str, bytes]) -> None:
        self.replace({**self.files, **files})

    def remove(self, *names: str) -> None:
        self.replace({name: data for name, data in self.files.items() if name not in names})


@dataclass
class Organisation:
    """An authority, and what it signs."""

    name: str
    authority: Authority
    revocations: RevocationList | None = None

    @property
    def certificate(self) -> x509.Certificate:
        return self.authority.certificate

    @property
    def slug(self) -> str:
        return build_slug(self.authority.certificate)

    def identity(
        self, name: str, *dns_names: str, validity: int = DAY, now: datetime | None = None
    ) -> HeldIdentity:
        key = generate_identity_key(Algorithm.ECDSA_P256)
        return HeldIdentity(self.certify(name, key.public_key(), *dns_names, validity=validity, now=now), key)

    def certify(
        self,
        name: str,
        public_key: PublicKey,
        *dns_names: str,
        validity: int = DAY,
        now: datetime | None = None,
    ) -> Identity:
        return issue_identity(
            self.authority,
            Subject(common_name=name, organization=self.name),
            public_key,
            dns_names=dns_names,
            validity_seconds=validity,
            now=now or datetime.now(UTC),
        )

    def introduce(
        self, held: HeldIdentity, *, validity: int = DAY, now: datetime | None = None
    ) -> Introduction:
        return issue_introduction(
            self.authority, held.identity.certificate_pem, (), validity, now or datetime.now(UTC)
        )

    def revoke(self, *certificates: x509.Certificate, lifetime: int = DAY, ago: int = 0) -> RevocationList:
        now = datetime.now(UTC) - timedelta(seconds=ago)
        self.revocations = renew_revocation_list(
            self.authority,
            [Revocation(each.serial_number, now) for each in certificates],
            self.revocations,
            lifetime_seconds=lifetime,
            now=now,
        )
        return self.revocations


def make_organisation(name: str, algorithm: Algorithm = Algorithm.ECDSA_P256) -> Organisation:
    return Organisation(
        name,
        generate_authority(
            Subject(organization=name, common_name=f"{name} CA"),
            algorithm=algorithm,
            validity_seconds=YEAR,
            now=datetime.now(UTC) - timedelta(days=30),
        ),
    )


def pin(*certificates: bytes | x509.Certificate) -> PinnedFingerprint:
    return PinnedFingerprint(tuple(parse_fingerprint(certificate_fingerprint(each)) for each in certificates))


def peers_json(**due: int) -> bytes:
    """A list of peers that were established long ago, each with its deadline; ``_`` stands for ``-``."""
    return json.dumps(
        [
            {
                "kernelId": name.replace("_", "-"),
                "publicKey": "ab" * 32,
                "establishedAt": 1_000_000_000,
                "rotationDue": moment,
            }
            for name, moment in due.items()
        ]
    ).encode()


@dataclass
class Pod:
    """The Secrets of one identity, mounted side by side under ``root``."""

    root: Path
    home: Organisation
    held: HeldIdentity
    identity: Volume = field(init=False)
    chains: Volume = field(init=False)
    servers: Volume = field(init=False)
    clients: Volume = field(init=False)
    peers: Volume | None = None

    def __post_init__(self) -> None:
        files = build_identity_files(self.held, self.home.certificate)
        self.identity = Volume(self.root / "identity", files, mode=0o440)
        self.chains = Volume(self.root / "id-chains")
        self.servers = Volume(self.root / "known-servers", build_server_files([], self.home.certificate))
        self.clients = Volume(self.root / "known-clients", build_client_files(None, []))

    def take(self, *introductions: Introduction) -> None:
        self.chains.update(build_chain_files(introductions))

    def mount_key_apart(self) -> Volume:
        """As with a provided key: the identity's Secret has none, its owner's is mounted beside it."""
        volume = Volume(
            self.root / "key", {"tls.key": self.held.key_pem, "tls.crt": b"its owner's"}, mode=0o440
        )
        self.identity.replace({n: data for n, data in self.identity.files.items() if not n.endswith(".key")})
        return volume

    def know(
        self,
        alias: str,
        url: str,
        verifier: Verifier | Organisation | None,
        *,
        auths: Sequence[Organisation | str] = (),
        peer: str | None = None,
        token: str | None = None,
    ) -> None:
        """Put a service into known-servers, as the operator does."""
        entry = ServiceEntry(
            alias=alias,
            url=url,
            verifier=PeerCA((verifier.certificate,)) if isinstance(verifier, Organisation) else verifier,
            auths=tuple(each if isinstance(each, str) else each.slug for each in auths),
            peer=peer,
            bearer_token=token,
        )
        self.servers.update(build_server_files([entry], self.home.certificate))

    def accept(self, *organisations: Organisation) -> None:
        """Put these authorities, with their lists, into known-clients, as the operator does."""
        self.clients.replace(
            build_client_files(
                None, [TrustedAuthority(each.certificate, each.revocations) for each in organisations]
            )
        )

    def mount_peers(self, **due: int) -> Volume:
        self.peers = Volume(self.root / "peers", {"peers.json": peers_json(**due)})
        return self.peers


def tree(root: Path) -> dict[str, bytes]:
    """The files below a directory, links followed, by path."""
    found = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = Path(folder) / name
            found[str(path.relative_to(root))] = path.read_bytes()
    return found
