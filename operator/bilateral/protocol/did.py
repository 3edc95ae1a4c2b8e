"""``did:chio`` documents: a key, written as a DID document.

Resolution is local and deterministic: the identifier holds the key, nobody is asked
(``did:chio:`` + 64 hex digits, Ed25519 only; upper case is read, lower case is written).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from bilateral.protocol.errors import MalformedDocument, MalformedKey
from bilateral.protocol.publickey import PublicKey, parse_public_key
from bilateral.protocol.strictjson import JSON

DID_PREFIX = "did:chio:"

_URL = re.compile(r"[!-~]{1,2048}")


def resolve_did(
    text: str, receipt_log_urls: Sequence[str] = (), passport_status_urls: Sequence[str] = ()
) -> dict[str, JSON]:
    """Build the document of a ``did:chio`` identifier.

    Raises :class:`MalformedKey` or :class:`WeakKey` for the identifier, :class:`MalformedDocument`
    (``service-endpoint``) for a service URL that is none.
    """
    if not text.startswith(DID_PREFIX):
        raise MalformedKey("did-prefix")
    return build_did_document(parse_public_key(text), receipt_log_urls, passport_status_urls)


def build_did_document(
    key: PublicKey, receipt_log_urls: Sequence[str] = (), passport_status_urls: Sequence[str] = ()
) -> dict[str, JSON]:
    """Build the document of ``key``; ``service`` is left out when there is none."""
    did = key.did
    method = f"{did}#key-1"
    document: dict[str, JSON] = {
        "@context": "https://www.w3.org/ns/did/v1",
        "id": did,
        "verificationMethod": [
            {
                "id": method,
                "type": "Ed25519VerificationKey2020",
                "controller": did,
                "publicKeyMultibase": key.multibase,
            }
        ],
        "authentication": [method],
        "assertionMethod": [method],
    }
    services = [
        *_services(did, "receipt-log", "ChioReceiptLogService", receipt_log_urls),
        *_services(did, "passport-status", "ChioPassportStatusService", passport_status_urls),
    ]
    if services:
        document["service"] = services
    return document


def _services(did: str, name: str, kind: str, urls: Sequence[str]) -> list[JSON]:
    """The first service of a kind has no number, the second is ``-2``."""
    services: list[JSON] = []
    for number, url in enumerate(urls, start=1):
        _require_url(url)
        suffix = "" if number == 1 else f"-{number}"
        services.append({"id": f"{did}#{name}{suffix}", "type": kind, "serviceEndpoint": url})
    return services


def _require_url(url: str) -> None:
    if _URL.fullmatch(url) is None:
        raise MalformedDocument("service-endpoint")
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:  # brackets that do not match, or a port that is no number
        raise MalformedDocument("service-endpoint") from None
    if not (parts.scheme in ("https", "http") and parts.hostname and port_is_valid):
        raise MalformedDocument("service-endpoint")
