"""Reading and writing the files that a person names; ``-`` is stdin or stdout.

Rules: input is bounded before it is read; what holds a private key is created with mode 0600 and never
overwrites a file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bilateral.cli.errors import InputError

STANDARD = "-"


def read_input(path: str, limit: int) -> bytes:
    """Read at most ``limit`` bytes of a file or of stdin. Raises InputError."""
    try:
        if path == STANDARD:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {_cause(error)}") from None
    if len(data) > limit:
        raise InputError(f"{path} is too large: expected at most {limit} bytes")
    return data


def write_output(path: str, data: bytes) -> None:
    """Write ``data`` to a file, replacing it, or to stdout. Raises InputError."""
    if path == STANDARD:
        click.echo(data, nl=False)
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {_cause(error)}") from None


def write_secret(path: str, data: bytes) -> None:
    """Create a file that only its owner may read. Raises InputError, also when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise InputError(f"{path} exists and is left as it is: name another file") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {_cause(error)}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _cause(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
