"""What is trusted now: services by alias, bound to what is mounted at this moment.

Rules:

* Before each connection and each request the files are asked whether they moved (one system call a
  Secret); when they did, the service is read anew. What did not change keeps its TLS context, so that
  a renewal of one partner closes nobody else's connections.
* A service is used only while it is there, its certificate is in date and its partner is fresh, by the
  mounted list of deadlines and this machine's clock: an operator that is away extends nothing.
* An alias is looked up in the known-servers directory and nowhere else. What is not there does not exist.

Safe for threads: a binding is immutable, and replaced whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509

from bilateral.client.chains import Credentials, Held, choose_credentials, read_identity
from bilateral.client.deadlines import MountedDeadlines
from bilateral.client.errors import LayoutInvalid, ServiceNotFound
from bilateral.client.handshakes import PreparedContext
from bilateral.client.places import AUTHORITY_SUFFIXES, Places, find_names, find_root
from bilateral.client.revocations import SUFFIX, find_anchor
from bilateral.client.services import Service, parse_service_file
from bilateral.client.verification import Expected, build_client_context
from bilateral.client.volumes import Reading, Wanted, read_settled, read_volume
from bilateral.pki.errors import InvalidCertificate, InvalidService
from bilateral.pki.pem import parse_certificates
from bilateral.pki.services import parse_alias
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, Verifier

_MAX_SHARED: Final = 64


@dataclass(frozen=True, slots=True)
class Binding:
    """A service as it may be connected to now; equal contexts mean that nothing of trust changed."""

    service: Service
    context: PreparedContext
    expected: Expected
    readings: tuple[Reading, ...]

    def is_current(self, now: float) -> bool:
        """Whether nothing moved, and what is presented is in date."""
        shown = self.expected.credentials
        return (shown is None or now <= shown.until) and all(
            reading.is_current() for reading in self.readings
        )


class Trust:
    """The mounted trust of one pod; ``now`` is the clock, in POSIX seconds."""

    def __init__(self, places: Places, now: Callable[[], float]) -> None:
        """Trust what is at these places."""
        self.places = places
        self.now = now
        self._bindings: dict[str, Binding] = {}
        self._deadlines = MountedDeadlines(self.places.peers)

    def bind(self, alias: str) -> Binding:
        """Return the service as it may be used now.

        Raises ServiceNotFound, LayoutInvalid, NoUsableChain or PartnerStale.
        """
        now = self.now()
        binding = self._bindings.get(alias)
        if binding is None or not binding.is_current(now):
            binding = self._bind(alias, now, binding)
        if binding.service.peer is not None:
            self._deadlines.verify_fresh(binding.service.peer, now)
        return binding

    def _bind(self, alias: str, now: float, before: Binding | None) -> Binding:
        try:
            parse_alias(alias)
        except InvalidService:
            raise ServiceNotFound(alias) from None
        try:
            binding = read_settled(self.places.known_servers, lambda: self._read(alias, now, before))
        except Exception:
            # Whatever the reason: what was trusted before is not trusted any more.
            self._bindings.pop(alias, None)
            raise
        self._bindings[alias] = binding
        return binding

    def _read(self, alias: str, now: float, before: Binding | None) -> Binding:
        places = self.places
        known, service, verifier = self._read_service(alias)
        listing = (known, *(read_volume(path, _is_list) for path in places.lists))
        wanted = _chain_files(service.auths)
        identity, key = read_identity(places)
        held = Held(
            identity=identity,
            key=key,
            chains=read_volume(places.chains, wanted),
            cross_signed=None if places.cross_signed is None else read_volume(places.cross_signed, wanted),
        )
        shown = choose_credentials(alias, service.auths, held, now, _shown(before))
        expected = Expected(alias, verifier, shown)
        if isinstance(verifier, ConfiguredCA | PeerCA):
            anchors = tuple(find_anchor(build_slug(each), each, listing) for each in verifier.authorities)
            if any(anchor.revocations is not None for anchor in anchors):
                expected = Expected(alias, verifier, shown, anchors)
        kept = before is not None and before.expected == expected
        return Binding(
            service=service,
            context=before.context if kept and before else build_client_context(expected, self.now),
            expected=expected,
            readings=_watched(*listing, identity, key, held.chains, held.cross_signed),
        )

    def _read_service(self, alias: str) -> tuple[Reading, Service, Verifier]:
        place, name = self.places.known_servers, f"{alias}.yaml"
        known = read_volume(place, lambda file: file == name or _is_list(file))
        if name not in known.files:
            raise ServiceNotFound(alias)
        service = parse_service_file(alias, known.files[name], place.name)
        if service.verifier is not None:
            return known, service, service.verifier
        # Certified's "cert: null". Read once more, for the authorities: of one moment with the service.
        known = read_volume(
            place, lambda file: file == name or _is_list(file) or file.endswith(AUTHORITY_SUFFIXES)
        )
        if name not in known.files:
            raise ServiceNotFound(alias)
        service = parse_service_file(alias, known.files[name], place.name)
        if service.verifier is not None:
            return known, service, service.verifier
        return known, service, ConfiguredCA(tuple(_authorities(known)))


@lru_cache(maxsize=_MAX_SHARED)
def _share(root: str, names: frozenset[str], now: Callable[[], float]) -> Trust:
    return Trust(Places.arrange(Path(root), names), now)


def find_trust(config: str | os.PathLike[str] | None = None, now: Callable[[], float] = time.time) -> Trust:
    """Return the trust of a directory (see :mod:`bilateral.client.places`), one for the whole process.

    So a program that makes a client for each request reads and parses nothing at the second one. Raises
    LayoutInvalid.
    """
    root = find_root(config)
    return _share(root, find_names(root), now)


def _watched(*readings: Reading | None) -> tuple[Reading, ...]:
    """Each directory once: all of them are asked before every request."""
    return tuple({reading.path: reading for reading in readings if reading is not None}.values())


def _authorities(known: Reading) -> Iterator[x509.Certificate]:
    found = False
    for name, pem in known.files.items():
        if name.endswith(AUTHORITY_SUFFIXES):
            found = True
            try:
                yield from parse_certificates(pem, InvalidCertificate)
            except InvalidCertificate as error:
                raise LayoutInvalid(error.cause, f"{known.path.name}/{name}", str(error)) from None
    if not found:
        raise LayoutInvalid("no-authority", known.path.name, "expected authorities (*.crt), found none")


def _shown(before: Binding | None) -> Credentials | None:
    return None if before is None else before.expected.credentials


def _is_list(file: str) -> bool:
    return file.endswith(SUFFIX)


def _chain_files(auths: tuple[str, ...]) -> Wanted:
    return frozenset(f"{auth}.crt" for auth in auths).__contains__
