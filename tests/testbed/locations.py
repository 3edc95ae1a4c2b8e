"""Where things are: this checkout's folders, and the cache that outlives a checkout.

The cache is `$BILATERAL_CACHE`, else `$XDG_CACHE_HOME/bilateral`, else `~/.cache/bilateral`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from testbed.errors import BuildError

TESTBED = Path(__file__).resolve().parent
TESTS = TESTBED.parent
REPOSITORY = TESTS.parent
CHART = REPOSITORY / "charts" / "bilateral"
CRDS = REPOSITORY / "crds"
GO_LOCK = REPOSITORY / "requirements" / "go.lock"


def find_cache(environment: Mapping[str, str] | None = None) -> Path:
    """Return the cache folder (not yet made). Raises BuildError when there is no home to put it in."""
    values = os.environ if environment is None else environment
    if chosen := values.get("BILATERAL_CACHE"):
        return Path(chosen).expanduser().absolute()
    if base := values.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "bilateral"
    if home := values.get("HOME"):
        return Path(home).absolute() / ".cache" / "bilateral"
    raise BuildError("no place for the cache: set BILATERAL_CACHE to a folder that can be written")
