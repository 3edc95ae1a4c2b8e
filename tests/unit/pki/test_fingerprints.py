"""Fingerprints: one spelling a kind, over the whole DER, and the near misses refused with help."""

from __future__ import annotations

import hashlib
import string

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.errors import InvalidFingerprint
from bilateral.pki.fingerprints import (
    ED25519_SPKI_PREFIX,
    FingerprintKind,
    certificate_fingerprint,
    parse_fingerprint,
    presented_fingerprint,
)
from unit.pki.material import ED25519_AUTHORITY

HEX = "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6"


@given(st.binary(min_size=32, max_size=32), st.sampled_from(FingerprintKind))
def test_every_fingerprint_is_read_back_as_it_was_written(digest: bytes, kind: FingerprintKind) -> None:
    parsed = parse_fingerprint(f"{kind.value}:{digest.hex()}")
    assert (parsed.kind, parsed.digest) == (kind, digest)
    assert str(parsed) == f"{kind.value}:{digest.hex()}"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDB8s4nGBH2bkhXLqA", "openssh", id="OpenSSH"),
        pytest.param("SHA256:" + "A" * 43 + "=", "openssh", id="OpenSSH with padding"),
        pytest.param("SHA256:" + HEX.upper(), "spelling", id="upper-case hex"),
        pytest.param("sha256:" + HEX, "spelling", id="lower-case prefix (that is a token hash)"),
        pytest.param("ED25519:" + HEX, "spelling", id="upper-case key prefix"),
        pytest.param(
            "SHA256:" + ":".join(HEX[i : i + 2] for i in range(0, 64, 2)),
            "spelling",
            id="colons between bytes",
        ),
        pytest.param(
            "sha256=" + ":".join(HEX[i : i + 2].upper() for i in range(0, 64, 2)),
            "spelling",
            id="as openssl prints",
        ),
        pytest.param("SHA256:0x" + HEX, "spelling", id="0x"),
        pytest.param("SHA256:" + HEX + "\n", "malformed", id="newline at the end"),
        pytest.param(" SHA256:" + HEX, "malformed", id="space before"),
        pytest.param("SHA256:" + HEX[:-1], "malformed", id="63 digits"),
        pytest.param("SHA256:" + HEX + "0", "malformed", id="65 digits"),
        pytest.param("SHA256:" + "\u0662" * 64, "malformed", id="digits of another script"),
        pytest.param(HEX, "malformed", id="no prefix"),
        pytest.param("", "malformed", id="nothing"),
    ],
)
def test_a_near_miss_is_refused(text: str, cause: str) -> None:
    with pytest.raises(InvalidFingerprint) as caught:
        parse_fingerprint(text)
    assert caught.value.cause == cause


@given(st.text(alphabet=string.printable, max_size=100))
def test_no_other_exception_leaves_the_parser(text: str) -> None:
    try:
        parsed = parse_fingerprint(text)
    except InvalidFingerprint:
        return
    assert str(parsed) == text


def test_a_certificate_is_hashed_whole_from_every_form() -> None:
    certificate = ED25519_AUTHORITY.certificate
    der = certificate.public_bytes(Encoding.DER)
    expected = "SHA256:" + hashlib.sha256(der).hexdigest()
    assert certificate_fingerprint(certificate) == expected
    assert certificate_fingerprint(der) == expected
    assert certificate_fingerprint(certificate.public_bytes(Encoding.PEM)) == expected


@pytest.mark.parametrize("junk", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\njunk\n"])
def test_what_is_no_certificate_has_no_fingerprint(junk: bytes) -> None:
    with pytest.raises(InvalidFingerprint):
        certificate_fingerprint(junk)


def test_the_kind_follows_the_shape_of_what_was_presented() -> None:
    spki = ED25519_SPKI_PREFIX + bytes.fromhex(HEX)
    assert presented_fingerprint(spki) == f"ed25519:{HEX}"
    # A certificate that carries an Ed25519 key, and an SPKI with a byte too many, are hashed.
    der = ED25519_AUTHORITY.certificate.public_bytes(Encoding.DER)
    assert presented_fingerprint(der) == "SHA256:" + hashlib.sha256(der).hexdigest()
    assert presented_fingerprint(spki + b"\0").startswith("SHA256:")
