"""A service as a certified directory describes it: ``known_servers/<alias>.yaml``.

==================  ==========================================================================================
member              meaning
==================  ==========================================================================================
``auths``           upstream's: whose certificate of ours the service accepts, by RFC 4514 name or by slug
``cert``            upstream's: the one authority that the server must be of, base64 of DER
``url``             upstream's: where the service is
``verifier``        the row of the verifier table: ``WebPKI``, ``ConfiguredCA``, ``PeerCA``,
                    ``PinnedFingerprint`` or ``PinnedRawKey``
``caBundle``        PEM: all authorities where there are several (one replaces another), or WebPKI's bundle
``fingerprints``    of the two pinned kinds: what the server must present
``peer``            the partner's kernel id: its deadline is the service's
``bearerToken``     what is sent as ``Authorization: Bearer`` once the server is verified
==================  ==========================================================================================

Rules:

* Upstream reads its three members and ignores the others. Without ``cert`` it would trust every authority
  of the directory; so where its one authority cannot express the verifier, ``cert`` is an empty text, at
  which a stock client stops. A pin never turns into an authority because a program does not know pins.
* Without ``verifier`` a file is upstream's own: ``cert``, or every authority of the directory where that
  is null. With one, exactly the members that it needs.
* ``cert`` is the first authority: the one that the caller prefers while two generations overlap.

What is read here comes from a YAML parser and is taken for nothing until it was checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.encoding import decode_certificate, encode_certificate, quote_yaml
from bilateral.pki.errors import InvalidDirectory, PkiError
from bilateral.pki.fingerprints import Fingerprint, FingerprintKind, parse_fingerprint
from bilateral.pki.pem import parse_certificates
from bilateral.pki.services import parse_alias, parse_stored_url
from bilateral.pki.verifiers import (
    ConfiguredCA,
    PeerCA,
    PinnedFingerprint,
    PinnedRawKey,
    Verifier,
    WebPKI,
)

MAX_LIST = 64
MAX_TEXT = 64 * 1024
NO_AUTHORITY = ""
"""``cert`` of a service that a client knowing only upstream's members must not connect to."""

_KERNEL_ID = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_TOKEN = re.compile(r"[!-~]{1,4096}")


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service, how its server is verified, and whose chain it is shown.

    ``verifier`` None is upstream's ``cert: null``: any authority of ``known_servers``.
    """

    alias: str
    url: str
    verifier: Verifier | None
    auths: tuple[str, ...] = ()
    peer: str | None = None
    bearer_token: str | None = field(default=None, repr=False)

    def to_yaml(self) -> bytes:
        """Write the file: members sorted, every text in double quotes, the same bytes every time."""
        members = {
            "auths": self.auths,
            "bearerToken": self.bearer_token,
            "peer": self.peer,
            "url": self.url,
            **_verifier_members(self.verifier),
        }
        lines: list[str] = []
        for name, value in sorted(members.items()):
            if isinstance(value, str):
                lines.append(f"{name}: {quote_yaml(value)}")
            elif value:
                lines.append(f"{name}:")
                lines.extend(f"- {quote_yaml(text)}" for text in value)
        return "\n".join([*lines, ""]).encode("ascii")


def parse_entry(alias: str, document: object) -> ServiceEntry:
    """Check what a YAML parser made of ``<alias>.yaml``.

    Raises InvalidDirectory with ``cause``: members, url, cert, auths, verifier, caBundle, fingerprints,
    peer, bearerToken; InvalidService (alias).
    """
    parse_alias(alias)
    if not isinstance(document, dict):
        raise InvalidDirectory("members", "expected members, such as url")
    members = {name: value for name, value in document.items() if isinstance(name, str) and value is not None}
    try:
        url = parse_stored_url(_text(members, "url") or "")
    except PkiError:
        raise InvalidDirectory(
            "url", "url: expected https, a host in lower case, an optional port and path"
        ) from None
    peer = _text(members, "peer")
    if peer is not None and _KERNEL_ID.fullmatch(peer) is None:
        raise InvalidDirectory("peer", "peer: expected a kernel id")
    token = _text(members, "bearerToken")
    if token is not None and _TOKEN.fullmatch(token) is None:
        raise InvalidDirectory("bearerToken", "bearerToken: expected printable ASCII without spaces")
    return ServiceEntry(
        alias=alias,
        url=url,
        verifier=_parse_verifier(members, peer),
        auths=_texts(document, "auths"),
        peer=peer,
        bearer_token=token,
    )


def _verifier_members(verifier: Verifier | None) -> dict[str, str | Sequence[str] | None]:
    match verifier:
        case None:
            return {}
        case WebPKI(bundle=bundle):
            stored: dict[str, str | Sequence[str] | None] = {"cert": NO_AUTHORITY}
            if bundle is not None:
                stored["caBundle"] = _bundle(bundle)
        case ConfiguredCA(authorities=authorities) | PeerCA(authorities=authorities):
            stored = {"cert": encode_certificate(authorities[0])}
            if len(authorities) > 1:
                stored["caBundle"] = _bundle(authorities)
        case PinnedFingerprint(fingerprints=fingerprints) | PinnedRawKey(fingerprints=fingerprints):
            stored = {"cert": NO_AUTHORITY, "fingerprints": [str(each) for each in fingerprints]}
    return {**stored, "verifier": verifier.kind}


def _parse_verifier(members: Mapping[str, object], peer: str | None) -> Verifier | None:
    kind = _text(members, "verifier")
    has = {name for name in ("cert", "caBundle", "fingerprints") if members.get(name)}
    match kind:
        case None if has == {"cert"} and members["cert"] != NO_AUTHORITY:
            return ConfiguredCA((_certificate(members),))
        case None if not has and "cert" not in members and peer is None:
            return None
        case "ConfiguredCA" | "PeerCA" if "cert" in has and "fingerprints" not in has:
            authorities = _authorities(members)
            return PeerCA(authorities) if kind == PeerCA.kind else ConfiguredCA(authorities)
        case "WebPKI" if "fingerprints" not in has and "cert" not in has:
            return WebPKI(_certificates(members) if "caBundle" in members else None)
        case "PinnedFingerprint" if has == {"fingerprints"}:
            return PinnedFingerprint(_fingerprints(members, FingerprintKind.CERTIFICATE))
        case "PinnedRawKey" if has == {"fingerprints"}:
            return PinnedRawKey(_fingerprints(members, FingerprintKind.RAW_KEY))
    raise InvalidDirectory(
        "verifier", "verifier: expected one that is known, and exactly the members that it needs"
    )


def _authorities(members: Mapping[str, object]) -> tuple[x509.Certificate, ...]:
    first = _certificate(members)
    listed = _certificates(members) if "caBundle" in members else (first,)
    if first not in listed:
        raise InvalidDirectory("caBundle", "caBundle: expected the authority of cert among the others")
    return listed


def _certificate(members: Mapping[str, object]) -> x509.Certificate:
    try:
        return decode_certificate(_text(members, "cert") or "")
    except ValueError:
        raise InvalidDirectory("cert", "cert: expected one line of base64 of a certificate") from None


def _certificates(members: Mapping[str, object]) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(parse_certificates((_text(members, "caBundle") or "").encode("ascii"), InvalidDirectory))
    except (UnicodeEncodeError, InvalidDirectory):
        raise InvalidDirectory("caBundle", "caBundle: expected PEM certificates") from None


def _fingerprints(members: Mapping[str, object], kind: FingerprintKind) -> tuple[Fingerprint, ...]:
    try:
        parsed = tuple(parse_fingerprint(text) for text in _texts(members, "fingerprints"))
    except PkiError as error:
        raise InvalidDirectory("fingerprints", f"fingerprints: {error}") from None
    if any(fingerprint.kind is not kind for fingerprint in parsed):
        raise InvalidDirectory("fingerprints", f"fingerprints: expected {kind.value}: only")
    return parsed


def _text(members: Mapping[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= MAX_TEXT):
        raise InvalidDirectory(name, f"{name}: expected text of at most {MAX_TEXT} characters")
    return value


def _texts(members: Mapping[object, object] | Mapping[str, object], name: str) -> tuple[str, ...]:
    value = members.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise InvalidDirectory(name, f"{name}: expected a list of at most {MAX_LIST} texts")
    texts = [text for text in value if isinstance(text, str) and 0 < len(text) <= MAX_TEXT]
    if len(texts) != len(value):
        raise InvalidDirectory(name, f"{name}: expected a list of texts")
    return tuple(texts)


def _bundle(certificates: Sequence[x509.Certificate]) -> str:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates).decode("ascii")
