"""Which certificate of ours a service is shown: exactly one chain, or a clear no.

Rules:

* A service names the authorities whose signature it accepts (``auths``): by RFC 4514 name, as certified
  does, or by slug; either is the stem of a file. They are tried in the order in which the service names
  them, each first among the chains, then among the CAs that were signed across, and last our own id,
  where its issuer is named. (Stock certified takes the first file that the directory happens to list.)
* What cannot be used is passed over: expired, not begun, for another key, not for clients.
* When nothing is left there is no connection: never one without a certificate, which a server would only
  drop later, with less to say. A service that names nobody is shown our id, if there is one.
* The key and the chains are two Secrets (or three, where the key is provided), and a kubelet updates them
  one after the other. While they do not fit each other, the pair that did is kept, if the same authority's
  chain is still there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.client.errors import LayoutInvalid, NoUsableChain
from bilateral.client.places import Places
from bilateral.client.volumes import Reading, read_volume
from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.leaves import verify_dates, verify_usage
from bilateral.pki.names import rfc4514_name
from bilateral.pki.pem import PrivateKey, parse_certificates, parse_private_key, verify_key_matches

KEY_FILES: Final = ("id.key", "tls.key")
CERTIFICATE_FILES: Final = ("id.crt", "tls.crt")
IDENTITY_FILES: Final = frozenset({*KEY_FILES, *CERTIFICATE_FILES})

_MOVES: Final = {
    "none": "none of ours is by an authority that it names. Theirs: an introduction of this identity",
    "expired": "every one that it accepts has expired. Theirs: a new introduction, or ours: a renewal",
    "not-yet-valid": "the one that it accepts has not begun. Check the clocks of both sides",
    "key-mismatch": "the one that it accepts is for another key than the one mounted here. Wait a minute for the "
    "kubelet to bring both; then, ours: an introduction for the key that is used now",
    "several": "none of those that it accepts can be used. Ours: see the WorkloadIdentity and its Introductions",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is presented: a chain, leaf first, and its key; ``until`` is the first end of it (POSIX)."""

    file: str
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    until: float


@dataclass(frozen=True, slots=True)
class Held:
    """The mounted material that chains are chosen from."""

    identity: Reading
    key: Reading
    chains: Reading
    cross_signed: Reading | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    file: str
    pem: bytes


def choose_credentials(
    alias: str, auths: tuple[str, ...], held: Held, now: float, before: Credentials | None = None
) -> Credentials | None:
    """Choose what ``alias`` is shown; None only where it names nobody and we have nothing.

    ``before`` is what it was shown last. Raises NoUsableChain (none, expired, not-yet-valid,
    key-mismatch, not-for-clients, …, several) and LayoutInvalid (no-key, malformed-key, encrypted-key, …).
    """
    candidates = list(_candidates(auths, held))
    if not candidates:
        if not auths:
            return None
        raise _nothing(alias, ["none"])
    key_pem, key = load_key(held.key)
    causes: list[str] = []
    for candidate in candidates:
        try:
            return _prepare(candidate, key_pem, key, now)
        except InvalidCertificate as error:
            causes.append(error.cause)
            if error.cause == "key-mismatch" and _is_kept(before, candidate, now):
                return before
    raise _nothing(alias, causes)


def read_identity(places: Places) -> tuple[Reading, Reading]:
    """Read the certificate and the key: the same reading where one Secret holds both. Raises LayoutInvalid."""
    identity = read_volume(places.identity, IDENTITY_FILES.__contains__)
    if places.key == places.identity:
        return identity, identity
    return identity, read_volume(places.key, KEY_FILES.__contains__)


def load_key(place: Reading) -> tuple[bytes, PrivateKey]:
    """Read the key that is mounted. Raises LayoutInvalid: no-key, or what is wrong with it."""
    for name in KEY_FILES:
        if name in place.files:
            pem = place.files[name]
            try:
                return pem, parse_private_key(pem, InvalidCertificate)
            except InvalidCertificate as error:
                raise LayoutInvalid(error.cause, f"{place.path.name}/{name}", str(error)) from None
    raise LayoutInvalid(
        "no-key",
        place.path.name,
        "expected a key (tls.key, id.key), found none. Ours: mount the Secret of the identity or, where its key "
        "is provided, also the Secret with the key, as key/",
    )


def find_certificate(identity: Reading) -> tuple[str, bytes] | None:
    """The identity's own certificate, file name and PEM, if it is mounted."""
    for name in CERTIFICATE_FILES:
        if name in identity.files:
            return name, identity.files[name]
    return None


def _candidates(auths: tuple[str, ...], held: Held) -> Iterator[_Candidate]:
    own = find_certificate(held.identity)
    places = [(held.chains, b"")]
    if held.cross_signed is not None and own is not None:
        places.append((held.cross_signed, own[1] + b"\n"))
    for reading, prefix in places:
        for auth in dict.fromkeys(auths):
            pem = reading.files.get(f"{auth}.crt")
            if pem is not None:
                yield _Candidate(f"{reading.path.name}/{auth}.crt", prefix + pem)
    if own is not None and (not auths or _is_issued_by(own[1], auths)):
        yield _Candidate(f"{held.identity.path.name}/{own[0]}", own[1])


def _is_issued_by(pem: bytes, auths: tuple[str, ...]) -> bool:
    try:
        return rfc4514_name(parse_certificates(pem, InvalidCertificate)[0].issuer) in auths
    except InvalidCertificate:
        return False


def _prepare(candidate: _Candidate, key_pem: bytes, key: PrivateKey, now: float) -> Credentials:
    """Check everything that the server would find out only after the handshake."""
    chain = parse_certificates(candidate.pem, InvalidCertificate)
    verify_key_matches(chain[0], key, InvalidCertificate)
    verify_usage(chain[0], ExtendedKeyUsageOID.CLIENT_AUTH, InvalidCertificate)
    moment = datetime.fromtimestamp(now, UTC)
    for certificate in chain:
        verify_dates(certificate, moment, InvalidCertificate, what="the certificate")
    return Credentials(
        file=candidate.file,
        chain_pem=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        key_pem=key_pem,
        until=min(certificate.not_valid_after_utc.timestamp() for certificate in chain),
    )


def _is_kept(before: Credentials | None, candidate: _Candidate, now: float) -> bool:
    return before is not None and before.file == candidate.file and now <= before.until


def _nothing(alias: str, causes: list[str]) -> NoUsableChain:
    cause = causes[0] if len(set(causes)) == 1 else "several"
    move = _MOVES.get(cause, _MOVES["several"])
    return NoUsableChain(cause, alias, f"the service accepts certificates of certain authorities, and {move}")
