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

MAX_SERVICE_BYTES: Final = 256 * 1024

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
    if len(data) > MAX_SERVICE_BYTES:
        raise LayoutInvalid("too-large", file, f"expected at most {MAX_SERVICE_BYTES} bytes")
    try:
        document = _load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise LayoutInvalid("malformed", file, "expected plain YAML, found something else") from None
    try:
        entry = parse_entry(alias, document)
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


def _load(data: bytes) -> object:
    if b"&" in data and any(
        getattr(event, "anchor", None) is not None for event in yaml.parse(data, Loader=_Loader)
    ):
        raise ValueError("a document that refers to itself")
    document: object = yaml.load(data, Loader=_Loader)  # noqa: S506 - the safe loader, in C where there is one
    return document
