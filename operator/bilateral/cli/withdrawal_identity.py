"""Which files would leave the Secrets of an identity: told from what is in them now.

Rules: a file leaves when all that it stands for does: a service's with its last holder, an authority's with the
last service or partner that needs it. A known-clients that would be empty gets the authority of nobody; a Secret
for one service keeps its files, emptied. A file that may get a new holder, of which nothing is known yet, is
a doubt and not counted as lost.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography import x509

from bilateral.cli.secret_change import LIST, OWN, Lists, SecretChange, owned
from bilateral.cli.world import NOTHING, Removal, World
from bilateral.client.errors import LayoutInvalid
from bilateral.client.services import Service, load_yaml, parse_service_file
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA
from bilateral.resources.workloadidentity import OWN_AUTHORITY, WorkloadIdentity

_NOBODY = "nobody.crt"
_CERTIFICATE, _NAMES = ".crt", ".yaml"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What an identity would show a service: another authority's chain than now, or none that it has."""

    is_other: bool
    has_chain: bool


class IdentityFiles:
    """The changes of identities' Secrets; ``doubts`` are what cannot be known, each a sentence."""

    def __init__(self, world: World, removal: Removal, lists: Mapping[str, Lists]) -> None:
        self.doubts: dict[str, None] = {}
        self._world = world
        self._removal = removal
        self._lists = lists
        self._secrets = world.objects.secrets or {}
        self._kernel_ids = {world.objects.partners[name].spec.kernel_id for name in removal.partners}

    def _owned(self, name: str, uid: str) -> Mapping[str, bytes] | None:
        return owned(self._secrets, name, uid)

    def changes(self, identity: WorkloadIdentity) -> Iterator[SecretChange]:
        """What becomes of the Secrets of an identity that stays."""
        name, uid = identity.metadata.name, identity.metadata.uid
        lists = self._lists.get(identity.spec.trust_domain, Lists())
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
        yield self._servers(identity, servers, lost, kept, changed, lists.over, own_ends=own_ends)
        yield self._clients(identity, lists, own_ends=own_ends)
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
                self.doubts[
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
            free &= {OWN}
        files = {f"{alias}{_NAMES}" for alias in lost} | {f"{slug}{_CERTIFICATE}" for slug in free - needed}
        loses = tuple(sorted(files & set(servers)))
        changes = tuple(sorted(f"{alias}{_NAMES}" for alias in changed))
        return SecretChange(
            identity.servers_secret_name, identity.metadata.name, loses=loses, changes=changes
        )

    def _clients(self, identity: WorkloadIdentity, lists: Lists, *, own_ends: bool) -> SecretChange:
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
            elif not peers and stem != OWN and (stem in lists.over or (stem in removed and stem not in left)):
                ended.add(stem)
        changes += [f"{stem}{LIST}" for stem in lists.changed - ended if f"{stem}{LIST}" in held]
        files = {f"{stem}{suffix}" for stem in ended for suffix in (_CERTIFICATE, LIST, _NAMES)}
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


@functools.lru_cache(maxsize=4096)  # one service is in a thousand Secrets
def _read(alias: str, data: bytes) -> Service | None:
    try:
        return parse_service_file(alias, data, "")
    except LayoutInvalid:
        return None


def _needs(service: Service | None) -> frozenset[str]:
    """The authorities whose files stand beside a service's."""
    verifier = None if service is None else service.verifier
    return _slugs(verifier.authorities) if isinstance(verifier, ConfiguredCA | PeerCA) else frozenset()


@functools.lru_cache(maxsize=4096)
def _slugs(authorities: tuple[x509.Certificate, ...]) -> frozenset[str]:
    return frozenset(map(build_slug, authorities))


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
