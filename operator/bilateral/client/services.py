"""A service's file, ``known-servers/<alias>.yaml``: bytes in, an address and one way to verify it out.

Rules: what the members mean is :mod:`bilateral.pki.entries`; here the bytes are bounded before they are
parsed, YAML that grows (aliases, which nobody writes here) is refused, and the parser's own errors, which
quote the file, go no further: there may be a token in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import yaml

from bilateral.client.errors import LayoutInvalid
from bilateral.pki.entries import parse_entry
from bilateral.pki.errors import PkiError
from bilateral.pki.verifiers import Verifier

MAX_YAML_BYTES: Final = 256 * 1024

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Service:
    """One service, ready to be connected to; ``path`` is what requests' paths are joined to, or empty.

    ``verifier`` None is certified's ``cert: null``: every authority of known-servers.
    """

    alias: str
    host: str
    port: int | None
    path: str
    verifier: Verifier | None
    auths: tuple[str, ...]
    peer: str | None = None
    bearer_token: str | None = field(default=None, repr=False)


def parse_service_file(alias: str, data: bytes, directory: str) -> Service:
    """Read ``<alias>.yaml`` of ``directory``.

    Raises LayoutInvalid with ``cause``: too-large, malformed, or that of
    :func:`~bilateral.pki.entries.parse_entry`.
    """
    file = f"{directory}/{alias}.yaml"
    try:
        entry = parse_entry(alias, load_yaml(data, file))
    except PkiError as error:
        raise LayoutInvalid(error.cause, file, str(error)) from None
    url = urlsplit(entry.url)
    return Service(
        alias=alias,
        host=url.hostname or "",
        port=url.port,
        path=url.path.rstrip("/"),
        verifier=entry.verifier,
        auths=entry.auths,
        peer=entry.peer,
        bearer_token=entry.bearer_token,
    )


def load_yaml(data: bytes, file: str) -> object:
    """Parse a small YAML file. Raises LayoutInvalid (too-large, malformed) for ``file``."""
    if len(data) > MAX_YAML_BYTES:
        raise LayoutInvalid("too-large", file, f"expected at most {MAX_YAML_BYTES} bytes")
    try:
        refers = b"&" in data and any(
            getattr(event, "anchor", None) is not None for event in yaml.parse(data, Loader=_Loader)
        )
        # The safe loader, in C where there is one.
        document: object = None if refers else yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError):
        raise LayoutInvalid("malformed", file, "expected plain YAML, found something else") from None
    return document
