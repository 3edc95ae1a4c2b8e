"""One builder at a time: an advisory lock on a file, released by the kernel when its holder dies."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import BuildError


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (made when absent), waiting for another holder with a line on stderr."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise BuildError(
            f"the cache cannot be written ({error}); set BILATERAL_CACHE to another folder"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build of the test bed to end ...", file=sys.stderr, flush=True)  # noqa: T201 - a person waits
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
