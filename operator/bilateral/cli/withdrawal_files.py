"""Which Secrets of ours would change: told from what is in them now.

Rules: Secrets that the removed object owns go with it. Of a partner that stays, suspended, its authorities leave. A
trust domain's lists name the partner no longer; what is withdrawn enters its record and its revocation lists. The
Secrets of identities are in :mod:`bilateral.cli.withdrawal_identity`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bilateral.cli.cluster import OwnedSecret
from bilateral.cli.issued import ISSUED_FILE, Signed, read_records, signed_by_domain
from bilateral.cli.secret_change import LIST, OWN, Lists, SecretChange, owned
from bilateral.cli.withdrawal_identity import IdentityFiles
from bilateral.cli.world import Removal, World
from bilateral.pki.directory import NOBODY_PEM
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

_STATEMENT = "statement.json"


def change_secrets(
    world: World, removal: Removal, certificates: Collection[Signed], now: int
) -> tuple[tuple[SecretChange, ...], tuple[str, ...]]:
    """Every Secret that changes, by name; and what cannot be known."""
    return _Changes(world, removal, certificates, now).build()


class _Changes:
    def __init__(self, world: World, removal: Removal, certificates: Collection[Signed], now: int) -> None:
        self._world = world
        self._removal = removal
        self._secrets: Mapping[str, OwnedSecret] = world.objects.secrets or {}
        self._now = now
        self._going = {each.serial for each in certificates}
        self._lists = {name: self._lists_of(domain) for name, domain in world.objects.domains.items()}
        self._identities = IdentityFiles(world, removal, self._lists)

    def build(self) -> tuple[tuple[SecretChange, ...], tuple[str, ...]]:
        found = {each.name: each for each in self._all() if each.is_one}
        if self._removal.deletes:
            for name, secret in self._secrets.items():
                if secret.owner_uid == self._removal.uid:
                    found[name] = SecretChange(name, self._removal.identity, deleted=True)
        return tuple(each for _, each in sorted(found.items())), tuple(self._identities.doubts)

    def _all(self) -> Iterator[SecretChange]:
        objects = self._world.objects
        for name in self._removal.partners:
            yield from self._partner(objects.partners[name])
        for name, domain in objects.domains.items():
            if name != self._removal.domain:
                yield from self._domain(domain)
        for name, identity in objects.identities.items():
            if name != self._removal.identity:
                yield from self._identities.changes(identity)

    def _owned(self, name: str, uid: str) -> Mapping[str, bytes] | None:
        return owned(self._secrets, name, uid)

    def _partner(self, partner: FederationPeer) -> Iterator[SecretChange]:
        """Its authorities, where the Secret does not go with it."""
        data = self._owned(partner.authorities_secret_name, partner.metadata.uid)
        if data is None or data.get("ca.crt") == NOBODY_PEM:
            return
        kept = {"ca.crt", "sequence"} | ({_STATEMENT} if self._removal.domain is not None else set())
        loses = tuple(sorted(set(data) - kept))
        yield SecretChange(partner.authorities_secret_name, loses=loses, changes=("ca.crt",))

    def _domain(self, domain: TrustDomain) -> Iterator[SecretChange]:
        """The lists that kernels mount, the issued record, and what partners are told."""
        theirs = [
            each
            for name in self._removal.partners
            if (each := self._world.objects.partners[name]).spec.trust_domain == domain.metadata.name
        ]
        quoted = [f'"{each.spec.kernel_id}"'.encode() for each in theirs]
        for name, secret in self._secrets.items():
            if not quoted or secret.owner_uid != domain.metadata.uid:
                continue
            if not name.startswith(domain.peers_secret_name):
                continue
            listed = [
                file
                for file in ("peer-entries.json", "peers.json")
                if any(each in secret.data.get(file, b"") for each in quoted)
            ]
            if "peers.json" in listed or self._removal.deletes:
                yield SecretChange(name, changes=tuple(listed))
        lists = self._lists[domain.metadata.name]
        if not lists.changed:
            return
        for name, signed in read_records(domain, self._secrets):
            if any(each.serial in self._going for each in signed):
                yield SecretChange(name, changes=(ISSUED_FILE,))
        data = self._owned(domain.statement_secret_name, domain.metadata.uid) or {}
        loses = tuple(sorted(f"{slug}{LIST}" for slug in lists.over))
        changes = {f"{stem}{LIST}" for stem in lists.changed - lists.over} | {_STATEMENT}
        told = tuple(sorted(changes & set(data)))
        yield SecretChange(domain.statement_secret_name, loses=loses, changes=told)

    def _lists_of(self, domain: TrustDomain) -> Lists:
        """The lists that name more than before, and earlier ones to whose authority nothing valid would chain."""
        data = self._owned(domain.statement_secret_name, domain.metadata.uid) or {}
        earlier = {file.removesuffix(LIST) for file in data if file.endswith(LIST)} - {OWN}
        signed = list(signed_by_domain(domain, self._secrets))
        going = {each.authority for each in signed if each.serial in self._going}
        if not going:
            return Lists()
        in_use = {
            each.authority for each in signed if each.counts(self._now) and each.serial not in self._going
        }
        changed = frozenset(slug if slug in earlier else OWN for slug in going)
        return Lists(changed, frozenset(earlier - in_use))
