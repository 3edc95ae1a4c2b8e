"""The identifiers that what is signed may carry.

They are compared as they stand: no case folding, no normalisation, no decoding (R-K14).
"""

from __future__ import annotations

import re

KERNEL_ID_PATTERN = r"[A-Za-z0-9._:-]{1,253}"
NONCE_PATTERN = r"[ -~]{1,128}"
CAPABILITY_ID_PATTERN = r"[!-~]{1,256}"

_KERNEL_ID = re.compile(KERNEL_ID_PATTERN)
_NONCE = re.compile(NONCE_PATTERN)
_CAPABILITY_ID = re.compile(CAPABILITY_ID_PATTERN)


def is_kernel_id(text: str) -> bool:
    """Whether ``text`` may name a kernel: 1 to 253 of ``A-Z a-z 0-9 . _ : -``."""
    return _KERNEL_ID.fullmatch(text) is not None


def is_nonce(text: str) -> bool:
    """Whether ``text`` may be a nonce: 1 to 128 printable ASCII characters."""
    return _NONCE.fullmatch(text) is not None


def is_capability_id(text: str) -> bool:
    """Whether ``text`` may name a capability: 1 to 256 printable ASCII characters without a space."""
    return _CAPABILITY_ID.fullmatch(text) is not None
