"""The ``certified`` directory as data: which files a party has, what is in each, who may read it.

::

    id.key              the party's key, for its user alone (0600; stock certified refuses anything else)
    id.crt              its certificate by our own authority
    id/<slug>.crt       the same key, certified by one authority each
    known_servers/      <alias>.yaml, self.crt and <slug>.crt of the authorities that they name
    known_clients/      self.crt, <slug>.crt: whose parties may connect; self.crl, <slug>.crl; and
                        <slug>.yaml: which partners' authority it is (``peers``: kernel ids)

Rules:

* Each sub-directory is the content of one Secret, so a new partner appears in running pods by itself. File
  names are slugs, never distinguished names (:mod:`bilateral.pki.slugs`).
* ``known_clients`` always holds a certificate, because a stock server without one does not start:
  where nobody may connect it is :data:`NOBODY_PEM`, an authority that expired in the year 2000.
* The key of an authority is in no file, and a key is in no file but ``id.key``.

What is found in somebody's directory is read by :mod:`bilateral.pki.listing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.encoding import quote_yaml
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.errors import InvalidDirectory
from bilateral.pki.identities import HeldIdentity
from bilateral.pki.introductions import Introduction
from bilateral.pki.revocations import RevocationList
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import ConfiguredCA, PeerCA

PUBLIC_MODE = 0o644
SECRET_MODE = 0o600
OWN = "self"
"""The stem of our own authority's files, as ``certified init`` names them."""

NOBODY_PEM = b"""\
-----BEGIN CERTIFICATE-----
MIIBVDCB/KADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBk5vYm9keTAe
Fw0wMDAxMDEwMDAwMDBaFw0wMDAxMDEwMDAwMDFaMBExDzANBgNVBAMMBk5vYm9k
eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOsYrZ+Kzp481WVV4mnFM5kWvcGc
yZuUj9gujyDSlMb2wdWcbLsD6ZE0lSYsf97F5mcx/iGTkD2FY6xtDGCH5zKjRTBD
MB0GA1UdDgQWBBQVNn1QQngexwGBu1zDpcXTbXqLHjASBgNVHRMBAf8ECDAGAQH/
AgEAMA4GA1UdDwEB/wQEAwICBDAKBggqhkjOPQQDAgNHADBEAiAqV6DEWILHyJPK
6D8mllh2/VwYGjV/1lbf2bfJIv54cAIgXDHkeBw5ofkPIM6YtsQgREBzoBgh1FA8
p65z6zs/zlM=
-----END CERTIFICATE-----
"""
"""An authority that nobody can use: its key is gone, and it was valid for one second of the year 2000."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's content and mode; the content of a secret one never shows in a repr."""

    content: bytes = field(repr=False)
    mode: int = PUBLIC_MODE


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """An authority whose parties may connect, with the list of those that it withdrew.

    ``peers`` are the kernel ids of the partners whose authority it is; their deadlines are its parties'.
    """

    certificate: x509.Certificate
    revocations: RevocationList | None = None
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Party:
    """All that a directory is made of.

    ``chains`` are accepted introductions; ``own_clients`` is our own authority when its parties may
    connect, ``clients`` are the partners'.
    """

    identity: HeldIdentity
    authority: x509.Certificate
    chains: Sequence[Introduction] = ()
    services: Sequence[ServiceEntry] = ()
    own_clients: TrustedAuthority | None = None
    clients: Sequence[TrustedAuthority] = ()


def build_directory(party: Party) -> dict[str, File]:
    """Build all files of a party, by path. Raises InvalidDirectory (duplicate)."""
    identity = build_identity_files(party.identity, party.authority)
    public = {"id.crt": identity["id.crt"]}
    for folder, files in (
        ("id", build_chain_files(party.chains)),
        ("known_servers", build_server_files(party.services, party.authority)),
        ("known_clients", build_client_files(party.own_clients, party.clients)),
    ):
        public |= {f"{folder}/{name}": content for name, content in files.items()}
    return {
        "id.key": File(identity["id.key"], SECRET_MODE),
        **{path: File(content) for path, content in public.items()},
    }


def build_identity_files(held: HeldIdentity, authority: x509.Certificate) -> dict[str, bytes]:
    """The identity's own Secret: as ``kubernetes.io/tls`` names its keys, and as ``certified`` does."""
    certificate, key = held.identity.certificate_pem, held.key_pem
    return {
        "tls.crt": certificate,
        "tls.key": key,
        "ca.crt": _pem(authority),
        "id.crt": certificate,
        "id.key": key,
    }


def build_chain_files(chains: Iterable[Introduction]) -> dict[str, bytes]:
    """``<slug>.crt`` for each authority that certified the identity; one each, else duplicate."""
    return _unique((f"{chain.slug}.crt", chain.chain_pem) for chain in chains)


def build_server_files(
    services: Iterable[ServiceEntry], authority: x509.Certificate | None
) -> dict[str, bytes]:
    """``<alias>.yaml`` for each service, and the authorities that verify them; two with one alias: duplicate.

    ``authority`` is our own, or None while it is not known.
    """
    listed = list(services)
    files = _unique((f"{service.alias}.yaml", service.to_yaml()) for service in listed)
    for service in listed:
        if isinstance(service.verifier, ConfiguredCA | PeerCA):
            files |= {f"{build_slug(each)}.crt": _pem(each) for each in service.verifier.authorities}
    return files if authority is None else {**files, f"{OWN}.crt": _pem(authority)}


def build_client_files(
    own: TrustedAuthority | None, partners: Iterable[TrustedAuthority]
) -> dict[str, bytes]:
    """``self.crt``, ``<slug>.crt``, their ``.crl`` and ``.yaml``; with nobody, the certificate of nobody."""
    files: dict[str, bytes] = {}
    named: dict[str, TrustedAuthority] = {} if own is None else {OWN: own}
    for partner in partners:
        # Two partners may have one authority, if one organisation runs both: its later list counts.
        slug = build_slug(partner.certificate)
        named[slug] = _merge(named.get(slug), partner)
    for stem, authority in named.items():
        files[f"{stem}.crt"] = _pem(authority.certificate)
        if authority.revocations is not None:
            files[f"{stem}.crl"] = authority.revocations.pem
        if authority.peers:
            files[f"{stem}.yaml"] = _write_peers(authority.peers)
    return files or {"nobody.crt": NOBODY_PEM}


def _merge(known: TrustedAuthority | None, other: TrustedAuthority) -> TrustedAuthority:
    if known is None:
        return other
    later = other if _number(known) <= _number(other) else known
    # Naming none would bind its parties to no deadline at all.
    return replace(later, peers=(*known.peers, *other.peers))


def _write_peers(peers: Sequence[str]) -> bytes:
    lines = ("peers:", *(f"- {quote_yaml(peer)}" for peer in sorted(set(peers))), "")
    return "\n".join(lines).encode("ascii")


def _number(authority: TrustedAuthority) -> int:
    return -1 if authority.revocations is None else authority.revocations.number


def _unique(files: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    unique: dict[str, bytes] = {}
    for name, content in files:
        if unique.setdefault(name, content) != content:
            raise InvalidDirectory("duplicate", f"expected one file {name}, found two that differ")
    return unique


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
