"""Where the test vectors that nobody of ours wrote are, and what is in them.

``BILATERAL_VECTORS`` names the folder; without it, ``../shared/vectors`` beside the checkout is
used if it exists. Tests over an absent set are skipped and say so; a folder that is there but lacks a
set, or that is named and is not there, fails ``test_every_set_is_there``. No vector is copied into
the project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "BILATERAL_VECTORS"
SETS = (
    "chio/canonical/v1.json",
    "chio/capability/v1.json",
    "chio/hashing/v1.json",
    "chio/receipt/v1.json",
    "chio/signing/v1.json",
    "jcs/testdata/input",
    "jcs/testdata/output",
    "jcs/testdata/outhex",
    "json-test-suite/test_parsing",
    "json-test-suite/test_transform",
    "wycheproof/testvectors_v1/ed25519_test.json",
)

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"


def vectors_folder() -> Path | None:
    """Return the folder that the environment names, else the one beside the checkout if it exists."""
    name = os.environ.get(VARIABLE)
    if name:
        return Path(name)
    return _BESIDE if _BESIDE.is_dir() else None


def find_set(name: str) -> Path | None:
    """Return the file or folder of one set, or None where it is absent."""
    folder = vectors_folder()
    path = folder / name if folder is not None else None
    return path if path is not None and path.exists() else None


def load_set(name: str) -> Any:
    """Load one JSON file of vectors; an absent one is empty."""
    path = find_set(name)
    return json.loads(path.read_bytes()) if path is not None else {}


def list_set(name: str, pattern: str = "*.json") -> list[Path]:
    """List the files of one folder of vectors in order; an absent one is empty."""
    path = find_set(name)
    return sorted(path.glob(pattern)) if path is not None else []


def as_cases(values: Iterable[tuple[str, Any]], name: str) -> list[Any]:
    """Turn (id, value) pairs into parameters, or into one skipped parameter that says what is absent."""
    cases = [pytest.param(value, id=label) for label, value in values]
    if cases:
        return cases
    reason = f"test vectors {name} are absent: set {VARIABLE} to the folder that holds them"
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))]
