"""A chain and its key reach OpenSSL without a disk, and a bad one is an error, never a question."""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.tls.chains import load_chain

NOW = datetime.now(UTC)
AUTHORITY = generate_authority(Subject(common_name="CA"), algorithm="Ed25519", validity_seconds=600, now=NOW)
ISSUED = issue_server_certificate(AUTHORITY, ["api.example"], validity_seconds=600, now=NOW)
OTHER = issue_server_certificate(AUTHORITY, ["api.example"], validity_seconds=600, now=NOW)


@pytest.fixture(params=["in memory", "in a file"])
def no_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Both ways, with a temporary directory of our own to look into."""
    if request.param == "in a file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def test_a_chain_is_loaded_and_nothing_stays(no_disk: Path) -> None:
    open_before = descriptors()
    load_chain(context(), ISSUED.cert_pem.rstrip(), ISSUED.key_pem)
    assert list(no_disk.iterdir()) == []
    assert descriptors() == open_before


@pytest.mark.parametrize("broken", ["other key", "no key", "no chain", "encrypted"])
def test_what_does_not_fit_is_an_error_and_nothing_stays(broken: str, no_disk: Path) -> None:
    key = load_pem_private_key(ISSUED.key_pem, password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    chain, given = {
        "other key": (ISSUED.cert_pem, OTHER.key_pem),
        "no key": (ISSUED.cert_pem, b""),
        "no chain": (b"", ISSUED.key_pem),
        "encrypted": (ISSUED.cert_pem, encrypted),
    }[broken]
    open_before = descriptors()
    with pytest.raises((ssl.SSLError, OSError)):
        load_chain(context(), chain, given)
    assert list(no_disk.iterdir()) == []
    assert descriptors() == open_before
