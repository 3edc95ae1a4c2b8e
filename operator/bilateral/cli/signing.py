"""The key that commands sign with: read with the caller's own rights, used, and printed never.

It is that of a file, or of a TrustDomain's Secret: no right is lent by the operator.
"""

from __future__ import annotations

from bilateral.cli.cluster import Cluster
from bilateral.cli.errors import AnswerNoError, InputError
from bilateral.cli.files import read_input
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.keys import SigningKey
from bilateral.resources.trustdomain import TrustDomain

KEY_FILE = "private.pem"
_MAX_KEY_BYTES = 64 * 1024


def read_domain_key(cluster: Cluster, domain: TrustDomain) -> SigningKey:
    """Read the key that partners know. Raises AnswerNoError when the Secret holds another one, or none."""
    name = domain.signing_key_secret_name
    pem = cluster.secret(name).get(KEY_FILE)
    if pem is None:
        raise AnswerNoError(f"Secret {name} has no member {KEY_FILE}: expected an Ed25519 key in PKCS#8 PEM")
    try:
        key = SigningKey.from_pkcs8_pem(pem)
    except ProtocolError:
        raise AnswerNoError(f"Secret {name} holds no usable key: expected Ed25519 in PKCS#8 PEM") from None
    published = domain.status.public_key
    if published is not None and published != key.public_key.canonical:
        raise AnswerNoError(
            f"Secret {name} holds the key {key.public_key.canonical}, but partners know {published}: "
            "restore the Secret (KeyDrift)"
        )
    return key


def read_key_file(path: str) -> SigningKey:
    """Read a signing key from a file or stdin. Raises InputError; what was read is not repeated."""
    data = read_input(path, _MAX_KEY_BYTES)
    try:
        return SigningKey.from_pkcs8_pem(data)
    except ProtocolError as error:
        raise InputError(f"{error.reason}: {path} holds no Ed25519 private key in PKCS#8 PEM") from None
