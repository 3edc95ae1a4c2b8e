"""How a command ends when it cannot do what was asked: one line on stderr and an exit code.

::

    CLIError                    exit code
    ├── AnswerNoError           1   the question was understood and the answer is no
    │   ├── NotThereError       1   the object that was named does not exist
    │   └── AlreadyThereError   1   an object of that name exists already
    ├── InputError              2   an argument or a file is not what it should be
    └── ClusterError            3   the API server cannot be reached
        └── NotPermittedError   3   it does not permit what was asked

The line says what was found, what was expected and what to do. Code 2 is also click's own, for wrong
options; code 70 is a fault of ours.
"""

from __future__ import annotations

import re
from typing import IO, ClassVar

import click

from bilateral.protocol.errors import ProtocolError, WeakKey

INTERNAL_EXIT_CODE = 70
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class CLIError(click.ClickException):
    """Base of the tree; the message is one sentence or two, without a newline."""

    exit_code: ClassVar[int] = 1

    def show(self, file: IO[str] | None = None) -> None:
        """Write ``error: …`` to stderr, as one line and without terminal control characters."""
        click.echo(f"error: {printable(self.message)}", file=file, err=file is None)


class AnswerNoError(CLIError):
    """The answer is no: refused, or not ready."""

    exit_code = 1


class NotThereError(AnswerNoError):
    """The named object does not exist."""


class AlreadyThereError(AnswerNoError):
    """An object of that name exists already."""


class InputError(CLIError):
    """An argument, or the content of a file, is not what it should be."""

    exit_code = 2


class ClusterError(CLIError):
    """The API server cannot be reached, or does not permit what was asked."""

    exit_code = 3


class NotPermittedError(ClusterError):
    """The API server does not permit what was asked."""


def unusable_key(error: ProtocolError, hint: str = "") -> InputError:
    """Say what is wrong with a key that was given, and what would be right; the text is not repeated."""
    if isinstance(error, WeakKey):
        return InputError(f"{error.reason}: {error}, so anybody could sign for it: ask for the right key")
    return InputError(
        f"{error.reason}: {error}: expected ed25519:<64 hex digits>, the bare digits, did:chio:…, did:key:…, "
        f"ssh-ed25519 … or PEM{hint}"
    )


def printable(text: str) -> str:
    """Return ``text`` with control and direction characters replaced, for a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
