"""What a server reads: whom it knows, and what it presents.

Rules: one bad file spoils that authority only, so that less is trusted and never more; without a single
authority there is no server; only certificates of authorities (CA:TRUE) count, since TLS cannot anchor at
anything else and a leaf here is somebody's mistake.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.client.chains import find_certificate, load_key
from bilateral.client.errors import LayoutInvalid
from bilateral.client.places import AUTHORITY_SUFFIXES
from bilateral.client.revocations import SUFFIX, find_anchor
from bilateral.client.services import load_yaml
from bilateral.client.verification import Anchor
from bilateral.client.volumes import Reading
from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.leaves import is_ca, verify_usage
from bilateral.pki.pem import parse_certificates, verify_key_matches

KNOWN_SUFFIXES = (*AUTHORITY_SUFFIXES, SUFFIX, ".yaml")
_log = logging.getLogger("bilateral.client")


def read_anchors(known: Reading) -> tuple[Anchor, ...]:
    """Read every authority that can be used, by the stem of its file; the others are logged.

    Raises LayoutInvalid (no-authority) when there is none.
    """
    anchors: list[Anchor] = []
    for name, pem in known.files.items():
        stem, dot, suffix = name.rpartition(".")
        if dot + suffix not in AUTHORITY_SUFFIXES:
            continue
        try:
            anchors.extend(
                find_anchor(stem, certificate, (known,))
                for certificate in parse_certificates(pem, InvalidCertificate)
                if is_ca(certificate, InvalidCertificate)
            )
        except (InvalidCertificate, LayoutInvalid) as error:
            _log.warning("an authority is not trusted: %s/%s: %s", known.path.name, name, error)
    if not anchors:
        raise LayoutInvalid(
            "no-authority",
            known.path.name,
            "expected at least one authority (*.crt), found none: a server that knows nobody does not start",
        )
    return tuple(anchors)


def read_peers(known: Reading) -> Mapping[str, tuple[str, ...]]:
    """Read whose authority each is: kernel ids by the stem of the file. Raises LayoutInvalid."""
    peers: dict[str, tuple[str, ...]] = {}
    for name, data in known.files.items():
        stem, dot, _ = name.rpartition(".yaml")
        if dot:
            match load_yaml(data, f"{known.path.name}/{name}"):
                case {"peers": [str(), *_] as listed} if all(isinstance(each, str) for each in listed):
                    peers[stem] = tuple(listed)
                case _:
                    raise LayoutInvalid("malformed", f"{known.path.name}/{name}", "expected a list peers")
    return peers


def read_own_certificate(identity: Reading, held_key: Reading) -> tuple[bytes, bytes]:
    """Read the chain and the key that a server presents, both PEM.

    Raises LayoutInvalid: no-key, no-certificate, key-mismatch, not-for-servers, …
    """
    key_pem, key = load_key(held_key)
    found = find_certificate(identity)
    if found is None:
        raise LayoutInvalid(
            "no-certificate", identity.path.name, "expected a certificate (tls.crt, id.crt), found none"
        )
    try:
        leaf = parse_certificates(found[1], InvalidCertificate)[0]
        verify_key_matches(leaf, key, InvalidCertificate)
        verify_usage(leaf, ExtendedKeyUsageOID.SERVER_AUTH, InvalidCertificate)
    except InvalidCertificate as error:
        hint = ". Ours: give the WorkloadIdentity dnsNames" if error.cause == "not-for-servers" else ""
        raise LayoutInvalid(error.cause, f"{identity.path.name}/{found[0]}", f"{error}{hint}") from None
    return found[1], key_pem
