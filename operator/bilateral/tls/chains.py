"""Giving OpenSSL a chain and its key from memory.

Rules: the ``ssl`` module takes only a path, the key shall not be written to a disk, and a pod with a
read-only root has nowhere to write; so the path is that of an anonymous file in memory. Where the system
has none, it is a file that only its user may read, gone as soon as it was read. An encrypted key is an
error, never a question on the terminal.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import suppress


def load_chain(context: ssl.SSLContext, chain_pem: bytes, key_pem: bytes) -> None:
    """Load a chain (leaf first) and its unencrypted key. Raises ssl.SSLError, OSError."""
    pem = chain_pem + b"\n" + key_pem
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            _write_all(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
        finally:
            os.close(descriptor)
        return
    descriptor, path = tempfile.mkstemp()
    try:
        _write_all(descriptor, pem)
        context.load_cert_chain(path, password=_no_password)
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - the counterpart of mkstemp


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _no_password() -> str:
    """Answer OpenSSL's question for a password, which would otherwise go to the terminal."""
    return ""
