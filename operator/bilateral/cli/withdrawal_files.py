"""Which files would leave which Secrets of ours: told from what is in them now.

Rules: Secrets that the removed object owns go with it. Of the others a file leaves when all that it stands for
does: a service's with its last holder, an authority's with the last service or partner that needs it. A
known-clients that would be empty gets the authority of nobody; a Secret for one service keeps its files,
emptied. A file that may get a new holder, of which nothing is known yet, is a doubt and not counted as lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bilateral.cli.cluster import OwnedSecret
from bilateral.cli.issued import ISSUED_FILE, Signed, read_records, signed_by_domain
from bilateral.cli.world import NOTHING, Removal, World
from bilateral.client.errors import LayoutInvalid
from bilateral.client.services import Service, load_yaml, parse_service_file
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.workloadidentity import OWN_AUTHORITY, WorkloadIdentity

_NOBODY = "nobody.crt"
_OWN = "self"
_CERTIFICATE, _LIST, _NAMES = ".crt", ".crl", ".yaml"
_STATEMENT = "statement.json"


@dataclass(frozen=True, slots=True)
class SecretChange:
    """What becomes of a Secret: it is ``deleted``, ``emptied``, or files leave, come or change."""

    name: str
    identity: str | None = None
    deleted: bool = False
    emptied: bool = False
    loses: tuple[str, ...] = ()
    gains: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def is_list_only(self) -> bool:
        """Whether nothing but revocation lists changes in it, which rolls nothing out."""
        return not (self.deleted or self.emptied or self.loses or self.gains) and all(
            file.endswith(_LIST) for file in self.changes
        )

    @property
    def is_one(self) -> bool:
        """Whether anything happens to it at all."""
        return bool(self.deleted or self.emptied or self.loses or self.gains or self.changes)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What an identity would show a service: another authority's chain than now, or none that it has."""

    is_other: bool
    has_chain: bool


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
        self._certificates = certificates
        self._now = now
        self._doubts: dict[str, None] = {}
        self._kernel_ids = {world.objects.partners[name].spec.kernel_id for name in removal.partners}

    def build(self) -> tuple[tuple[SecretChange, ...], tuple[str, ...]]:
        found = {each.name: each for each in self._all() if each.is_one}
        if self._removal.deletes:
            for name, secret in self._secrets.items():
                if secret.owner_uid == self._removal.uid:
                    found[name] = SecretChange(name, self._removal.identity, deleted=True)
        return tuple(each for _, each in sorted(found.items())), tuple(self._doubts)

    def _all(self) -> Iterator[SecretChange]:
        objects = self._world.objects
        for name in self._removal.partners:
            yield from self._partner(objects.partners[name])
        for name, domain in objects.domains.items():
            if name != self._removal.domain:
                yield from self._domain(domain)
        for name, identity in objects.identities.items():
            if name != self._removal.identity:
                yield from self._identity(identity)

    def _owned(self, name: str, uid: str) -> Mapping[str, bytes] | None:
        secret = self._secrets.get(name)
        return secret.data if secret is not None and secret.owner_uid == uid else None

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
        if not self._withdraws(domain):
            return
        going = {each.serial for each in self._certificates}
        for name, signed in read_records(domain, self._secrets):
            if any(each.serial in going for each in signed):
                yield SecretChange(name, changes=(ISSUED_FILE,))
        data = self._owned(domain.statement_secret_name, domain.metadata.uid) or {}
        loses = sorted(f"{slug}{_LIST}" for slug in self._over(domain))
        changes = {f"{_OWN}{_LIST}", _STATEMENT} & set(data)
        yield SecretChange(domain.statement_secret_name, loses=tuple(loses), changes=tuple(sorted(changes)))

    def _withdraws(self, domain: TrustDomain) -> bool:
        """Whether the trust domain's authorities withdraw anything: then their lists are signed anew."""
        going = {each.serial for each in self._certificates}
        return any(each.serial in going for each in signed_by_domain(domain, self._secrets))

    def _over(self, domain: TrustDomain) -> frozenset[str]:
        """Earlier authorities of ours to which nothing valid would chain any more."""
        data = self._owned(domain.statement_secret_name, domain.metadata.uid) or {}
        stems = {file.removesuffix(_LIST) for file in data if file.endswith(_LIST)} - {_OWN}
        going = {each.serial for each in self._certificates}
        in_use = {
            each.authority
            for each in signed_by_domain(domain, self._secrets)
            if each.counts(self._now) and each.serial not in going
        }
        return frozenset(stems - in_use) if going else frozenset()

    def _identity(self, identity: WorkloadIdentity) -> Iterator[SecretChange]:
        name, uid = identity.metadata.name, identity.metadata.uid
        domain = self._world.objects.domains.get(identity.spec.trust_domain)
        over = frozenset[str]() if domain is None else self._over(domain)
        own_ends = identity.spec.trust_domain == self._removal.domain
        before = self._world.chains(name, NOTHING)
        left = self._world.chains(name, self._removal)
        ended = set(before) - set(left)
        held = self._owned(identity.chains_secret_name, uid) or {}
        swapped = self._swapped(identity, left)
        loses = tuple(sorted({f"{slug}{_CERTIFICATE}" for slug in ended} & set(held)))
        changes = tuple(sorted({f"{slug}{_CERTIFICATE}" for slug in swapped} & set(held)))
        yield SecretChange(identity.chains_secret_name, name, loses=loses, changes=changes)
        servers = self._owned(identity.servers_secret_name, uid) or {}
        lost, taken, kept = self._aliases(identity, servers)
        shows = {
            alias: self._shown(identity, service, ended, left, own_ends=own_ends)
            for alias, service in kept.items()
        }
        changed = [alias for alias, shown in shows.items() if shown is not None and shown.is_other] + taken
        yield self._servers(identity, servers, lost, kept, changed, over, own_ends=own_ends)
        lists = domain is not None and self._withdraws(domain)
        yield self._clients(identity, over, own_ends=own_ends, lists=lists)
        for alias in lost:
            yield from self._emptied(identity, alias)
        for alias, shown in shows.items():
            if own_ends or (shown is not None and not shown.has_chain):
                yield from self._emptied(identity, alias)
            elif (shown is not None and shown.is_other) or self._is_shown(kept[alias], swapped):
                yield from self._presents(identity, alias)

    def _swapped(self, identity: WorkloadIdentity, left: Collection[str]) -> frozenset[str]:
        """The authorities whose chain is another introduction's from then on."""
        names = {each.metadata.name for each in self._world.installed(identity.metadata.name, self._removal)}
        chains = (chain for chain in identity.status.chains if chain.introduction is not None)
        return frozenset(
            chain.slug for chain in chains if chain.slug in left and chain.introduction not in names
        )

    def _is_shown(self, service: Service | None, slugs: Collection[str]) -> bool:
        return service is not None and bool(set(service.auths) & set(slugs))

    def _aliases(
        self, identity: WorkloadIdentity, servers: Mapping[str, bytes]
    ) -> tuple[list[str], list[str], dict[str, Service | None]]:
        """The aliases whose files leave, those that somebody else gets, and all files that stay.

        What is in a file that stays is None where that cannot be read, or is somebody else's.
        """
        lost: list[str] = []
        taken: list[str] = []
        kept: dict[str, Service | None] = {}
        for file in sorted(servers):
            if not file.endswith(_NAMES):
                continue
            alias = file.removesuffix(_NAMES)
            before = self._world.holder(alias, identity, NOTHING)
            after = self._world.holder(alias, identity, self._removal)
            if before is not None and after is None:
                lost.append(alias)
                continue
            kept[alias] = _read(alias, servers[file])
            if before is not None and after is not None and not self._world.is_same(before, after, alias):
                kept[alias] = None
                taken += [alias] if after.sure else []
                self._doubts[
                    f"{after.reference} has the alias {alias} too and would get it: what becomes of {alias} for "
                    f"{identity.metadata.name} depends on that."
                ] = None
        return lost, taken, kept

    def _servers(
        self,
        identity: WorkloadIdentity,
        servers: Mapping[str, bytes],
        lost: Iterable[str],
        kept: Mapping[str, Service | None],
        changed: Iterable[str],
        over: Collection[str],
        *,
        own_ends: bool,
    ) -> SecretChange:
        gone = [_read(alias, servers[f"{alias}{_NAMES}"]) for alias in lost]
        needed = {slug for each in kept.values() for slug in _needs(each)}
        free = {slug for each in gone for slug in _needs(each)} | set(over)
        if own_ends:
            free |= {file.removesuffix(_CERTIFICATE) for file in servers if file.endswith(_CERTIFICATE)}
        if any(each is None for each in kept.values()):
            free &= {_OWN}
        files = {f"{alias}{_NAMES}" for alias in lost} | {f"{slug}{_CERTIFICATE}" for slug in free - needed}
        loses = tuple(sorted(files & set(servers)))
        changes = tuple(sorted(f"{alias}{_NAMES}" for alias in changed))
        return SecretChange(
            identity.servers_secret_name, identity.metadata.name, loses=loses, changes=changes
        )

    def _clients(
        self, identity: WorkloadIdentity, over: Collection[str], *, own_ends: bool, lists: bool
    ) -> SecretChange:
        held = self._owned(identity.clients_secret_name, identity.metadata.uid) or {}
        stems = {file.removesuffix(_CERTIFICATE) for file in held if file.endswith(_CERTIFICATE)} - {"nobody"}
        removed, left = self._retained(identity)
        ended: set[str] = set()
        changes: list[str] = []
        for stem in stems:
            peers = _peers(held.get(f"{stem}{_NAMES}"))
            if own_ends or (peers and peers <= self._kernel_ids):
                ended.add(stem)
            elif peers & self._kernel_ids:
                changes.append(f"{stem}{_NAMES}")
            elif not peers and stem != _OWN and (stem in over or (stem in removed and stem not in left)):
                ended.add(stem)
        if lists and f"{_OWN}{_LIST}" in held and _OWN not in ended:
            changes.append(f"{_OWN}{_LIST}")
        files = {f"{stem}{suffix}" for stem in ended for suffix in (_CERTIFICATE, _LIST, _NAMES)}
        gains = (_NOBODY,) if ended and ended == stems else ()
        return SecretChange(
            identity.clients_secret_name,
            identity.metadata.name,
            loses=tuple(sorted(files & set(held))),
            gains=gains,
            changes=tuple(sorted(changes)),
        )

    def _retained(self, identity: WorkloadIdentity) -> tuple[set[str], set[str]]:
        """The authorities of the identity's clients that go, and that stay; files do not name retained partners."""
        removed: set[str] = set()
        left: set[str] = set()
        for partner in identity.spec.clients:
            slugs = self._world.authorities_of(partner, NOTHING)
            (removed if partner in self._removal.partners else left).update(slugs)
        return removed, left

    def _shown(
        self,
        identity: WorkloadIdentity,
        service: Service | None,
        ended: Collection[str],
        left: Collection[str],
        *,
        own_ends: bool,
    ) -> _Shown | None:
        """Whose chain the identity would show a service that it may still call; None: the same as now."""
        if service is None or not service.auths:
            return None
        holder = self._world.holder(service.alias, identity, self._removal)
        if holder is None or not holder.sure:
            return None
        shown, own = service.auths[-1], self._own_slug(identity)
        wanted = self._world.presented(holder.reference, self._removal)
        goes = shown in ended or (own_ends and shown == own)
        if not goes and wanted == self._world.presented(holder.reference, NOTHING):
            return None
        slugs = [
            own if each == OWN_AUTHORITY else each for each in wanted if each != OWN_AUTHORITY or not own_ends
        ]
        for slug in slugs:
            if slug == own or slug in left:
                return _Shown(slug != shown, has_chain=True)
        return _Shown(slugs[:1] != [shown], has_chain=False)

    def _own_slug(self, identity: WorkloadIdentity) -> str:
        chains = identity.status.chains
        return next((chain.slug for chain in chains if chain.introduction is None), OWN_AUTHORITY)

    def _presents(self, identity: WorkloadIdentity, alias: str) -> Iterator[SecretChange]:
        name = identity.service_secret_name(alias)
        if self._owned(name, identity.metadata.uid) is not None:
            yield SecretChange(name, identity.metadata.name, changes=("tls.crt",))

    def _emptied(self, identity: WorkloadIdentity, alias: str) -> Iterator[SecretChange]:
        name = identity.service_secret_name(alias)
        data = self._owned(name, identity.metadata.uid)
        if data is not None and data.get("tls.key"):
            gains = () if "ca.crt" in data else ("ca.crt",)
            yield SecretChange(name, identity.metadata.name, emptied=True, gains=gains)


def _read(alias: str, data: bytes) -> Service | None:
    try:
        return parse_service_file(alias, data, "")
    except LayoutInvalid:
        return None


def _needs(service: Service | None) -> frozenset[str]:
    """The authorities whose files stand beside a service's."""
    if service is None or not isinstance(service.verifier, ConfiguredCA | PeerCA):
        return frozenset()
    return frozenset(map(build_slug, service.verifier.authorities))


def _peers(data: bytes | None) -> frozenset[str]:
    """The kernel ids of the partners whose authority it is; none for our own, and for one that is retained."""
    try:
        document = None if data is None else load_yaml(data, "")
    except LayoutInvalid:
        return frozenset()
    peers = document.get("peers") if isinstance(document, dict) else None
    return (
        frozenset(each for each in peers if isinstance(each, str)) if isinstance(peers, list) else frozenset()
    )
