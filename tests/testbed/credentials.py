"""The certificates, key and token that a cluster of the test bed needs; made anew for each.

One authority signs the API server's certificate (127.0.0.1 and the usual names inside a cluster). The
administrator has a token, as have the controllers, so that the audit log tells the two apart.
"""

import datetime
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONTROLLER_USER = "testbed:controllers"
ADMIN_USER = "testbed:admin"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_LIFE = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths of the files, and the two tokens."""

    authority: Path
    certificate: Path
    key: Path
    account_key: Path
    tokens: Path
    admin_token: str
    controller_token: str


def write_credentials(folder: Path, now: datetime.datetime) -> Credentials:
    """Make everything below `folder` (which exists and is private) and return where it is."""
    names = ("ca.crt", "apiserver.crt", "apiserver.key", "service-accounts.key", "tokens.csv")
    authority, certificate, key, account_key, tokens = (folder / name for name in names)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_certificate = _sign_authority(authority_key, now)
    authority.write_bytes(authority_certificate.public_bytes(Encoding.PEM))
    server_certificate = _sign_server(server_key, authority_certificate, authority_key, now)
    certificate.write_bytes(server_certificate.public_bytes(Encoding.PEM))
    _write_private(key, _pem(server_key))
    _write_private(account_key, _pem(ec.generate_private_key(ec.SECP256R1())))
    admin, controllers = secrets.token_hex(16), secrets.token_hex(16)
    lines = [
        f'{admin},{ADMIN_USER},1,"system:masters"',
        f'{controllers},{CONTROLLER_USER},2,"system:masters"',
    ]
    _write_private(tokens, "\n".join(lines).encode() + b"\n")
    return Credentials(authority, certificate, key, account_key, tokens, admin, controllers)


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test bed authority")])
    usage = _key_usage(sign_certificates=True)
    builder = _start(name, name, key.public_key(), now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256())


def _sign_server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    alternatives: list[x509.GeneralName] = [x509.DNSName(text) for text in _NAMES]
    alternatives.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = _start(name, authority.subject, key.public_key(), now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(issuer, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _start(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # SEC 1, not PKCS#8: only from there does the API server also read the public half of the accounts' key.
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
