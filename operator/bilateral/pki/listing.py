"""A ``certified`` directory that is there already, read from its files as a mapping from path to bytes.

Rules:

* Read as tolerantly as upstream reads: names of files are distinguished names or slugs, other files and
  the kubelet's ``..data`` are passed over, unknown members are ignored, any part may be missing.
* But one bad file spoils that file only, where upstream fails at all of a trust directory: it is listed
  in ``unusable`` with a word for what is wrong. For an authority that means fewer are trusted, for a
  service that it cannot be reached: less, never more.
* A path that leads anywhere but one level below the directory is refused, and nothing is read.

It says what is there. Whether a chain may be presented, or a service relied on, is for whoever connects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography import x509

from bilateral.pki.entries import ServiceEntry, parse_entry
from bilateral.pki.errors import InvalidDirectory, PkiError
from bilateral.pki.pem import parse_certificates

MAX_FILES = 20_000
MAX_FILE_BYTES = 1024 * 1024

YamlParser = Callable[[bytes], object]
"""``yaml.safe_load``, or one like it; ValueError or its own error for what is no YAML."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a directory holds; ``unusable`` maps the path of a bad file to what is wrong with it."""

    identity: tuple[x509.Certificate, ...]
    key_pem: bytes | None = field(repr=False)
    chains: Mapping[str, tuple[x509.Certificate, ...]]
    cross_signed: Mapping[str, tuple[x509.Certificate, ...]]
    services: Mapping[str, ServiceEntry]
    known_servers: Mapping[str, tuple[x509.Certificate, ...]]
    known_clients: Mapping[str, tuple[x509.Certificate, ...]]
    revocation_lists: Mapping[str, bytes]
    unusable: Mapping[str, str]


def parse_directory(files: Mapping[str, bytes], parse_yaml: YamlParser) -> Listing:
    """Read a directory's files.

    ``parse_yaml`` is the caller's, since this package has no YAML parser; whatever it raises makes that
    file unusable. Raises InvalidDirectory (path, too-many-files) for a mapping that is no directory.
    """
    if len(files) > MAX_FILES:
        raise InvalidDirectory("too-many-files", f"expected at most {MAX_FILES} files, found {len(files)}")
    return _Reader(files, parse_yaml).read()


class _Reader:
    def __init__(self, files: Mapping[str, bytes], parse_yaml: YamlParser) -> None:
        self._files = {_split(path): content for path, content in files.items()}
        self._parse_yaml = parse_yaml
        self._unusable: dict[str, str] = {}

    def read(self) -> Listing:
        return Listing(
            identity=self._certificates("", "id.crt", self._files.get(("", "id.crt"), b"")),
            key_pem=self._files.get(("", "id.key")),
            chains=self._folder("id", (".crt",)),
            cross_signed=self._folder("CA", (".crt",)),
            services=self._services(),
            known_servers=self._folder("known_servers", (".crt", ".pem")),
            known_clients=self._folder("known_clients", (".crt", ".pem")),
            revocation_lists=MappingProxyType(
                {name[: -len(".crl")]: data for name, data in self._named("known_clients", (".crl",))}
            ),
            unusable=MappingProxyType(self._unusable),
        )

    def _named(self, folder: str, suffixes: tuple[str, ...]) -> list[tuple[str, bytes]]:
        return sorted(
            (name, content)
            for (parent, name), content in self._files.items()
            if parent == folder and name.endswith(suffixes) and not name.startswith("..")
        )

    def _folder(self, folder: str, suffixes: tuple[str, ...]) -> Mapping[str, tuple[x509.Certificate, ...]]:
        found: dict[str, tuple[x509.Certificate, ...]] = {}
        for name, content in self._named(folder, suffixes):
            certificates = self._certificates(folder, name, content)
            if certificates:
                stem = name[: -len(".crt")]
                found[stem] = found.get(stem, ()) + certificates
        return MappingProxyType(found)

    def _certificates(self, folder: str, name: str, content: bytes) -> tuple[x509.Certificate, ...]:
        if not content:
            return ()
        try:
            return tuple(parse_certificates(content, InvalidDirectory))
        except InvalidDirectory as error:
            self._unusable[f"{folder}/{name}".lstrip("/")] = error.cause
            return ()

    def _services(self) -> Mapping[str, ServiceEntry]:
        services: dict[str, ServiceEntry] = {}
        for name, content in self._named("known_servers", (".yaml",)):
            alias = name[: -len(".yaml")]
            try:
                services[alias] = parse_entry(alias, self._document(content))
            except PkiError as error:
                self._unusable[f"known_servers/{name}"] = error.cause
        return MappingProxyType(services)

    def _document(self, content: bytes) -> object:
        if len(content) > MAX_FILE_BYTES:
            raise InvalidDirectory("too-large", f"expected at most {MAX_FILE_BYTES} bytes")
        try:
            return self._parse_yaml(content)
        except Exception:  # noqa: BLE001 - the parser is the caller's, and so are its errors
            # From None: a parser quotes the text, and a token may be in it.
            raise InvalidDirectory("not-yaml", "expected YAML, found something else") from None


def _split(path: str) -> tuple[str, str]:
    folder, slash, name = path.rpartition("/")
    if (
        not name
        or (slash and not folder)
        or "/" in folder
        or "\\" in folder
        or "\0" in path
        or {folder, name} & {".", ".."}
    ):
        raise InvalidDirectory(
            "path", "expected files in the directory or one level below it, found another path"
        )
    return folder, name
