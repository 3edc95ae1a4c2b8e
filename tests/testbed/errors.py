"""What can go wrong in the test bed.

TestBedError
├── BuildError      the programs cannot be built (no usable Go, a failing compiler, an unwritable cache)
├── StartError      a process ended, or did not become ready in time; the text names its log file
└── CommandError    kubectl or helm said no; carries the exit code and what it printed
"""

from collections.abc import Sequence


class TestBedError(Exception):
    """Anything the test bed cannot do; the text is written for the person at the terminal."""

    __test__ = False  # not a test class, whatever its name begins with


class BuildError(TestBedError):
    """The programs cannot be built."""


class StartError(TestBedError):
    """A process ended early or did not become ready in time."""


class CommandError(TestBedError):
    """A command line program failed: `arguments`, `returncode`, `stdout` and `stderr` say how."""

    def __init__(self, arguments: Sequence[str], returncode: int, stdout: str, stderr: str) -> None:
        self.arguments = tuple(arguments)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(f"{' '.join(arguments)}: exit code {returncode}: {stderr.strip() or stdout.strip()}")
