"""Where the files are: Secrets mounted side by side, or a directory as ``certified`` makes it.

Rules:

* The root is the argument, else ``$BILATERAL_CONFIG``, else ``$CERTIFIED_CONFIG``, else
  ``/var/run/bilateral``. Nothing is guessed from a virtual environment.
* Each part is looked for under its name as a mounted Secret first, then under certified's:

  ===============  ============================  ==============================
  part             mounted                       certified
  ===============  ============================  ==============================
  key and id       ``identity/``                 ``id.key``, ``id.crt``
  a provided key   ``key/``                      --
  chains           ``id-chains/``                ``id/``
  services         ``known-servers/``            ``known_servers/``
  callers          ``known-clients/``            ``known_clients/``
  cross-signed CA  --                            ``CA/``
  deadlines        ``peers/``, ``peers-1/``, …   the same
  ===============  ============================  ==============================

* The key is looked for in ``key/`` where that is mounted, and then nowhere else: it belongs to an identity
  whose key is provided, so that the Secret of the identity has none.

It reads no file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bilateral.client.errors import LayoutInvalid

CONFIG_VARIABLE: Final = "BILATERAL_CONFIG"
CERTIFIED_VARIABLE: Final = "CERTIFIED_CONFIG"
DEFAULT_ROOT: Final = Path("/var/run/bilateral")
AUTHORITY_SUFFIXES: Final = (".crt", ".pem")
"""What certified takes for certificates in its trust directories."""

_CALLERS = frozenset({"known-clients", "known_clients"})
_PEERS = re.compile(r"peers(-[1-9][0-9]*)?")


@dataclass(frozen=True, slots=True)
class Places:
    """The directories that are read; one that does not exist is like one without files.

    ``peers`` are those that were there when this was made: with none, no deadline is asked for. ``lists``
    are those beside ``known_servers`` where revocation lists may be.
    """

    identity: Path
    key: Path
    """As ``identity``, unless the key is mounted apart."""
    chains: Path
    cross_signed: Path | None
    known_servers: Path
    known_clients: Path
    lists: tuple[Path, ...] = ()
    peers: tuple[Path, ...] = ()

    @classmethod
    def locate(cls, config: str | os.PathLike[str] | None = None) -> Places:
        """Find the parts under a root. Raises LayoutInvalid (no-directory)."""
        root = find_root(config)
        return cls.arrange(Path(root), find_names(root))

    @classmethod
    def arrange(cls, root: Path, names: frozenset[str]) -> Places:
        """Say which part is where, in a root with directories of these names."""
        return cls(
            identity=root / "identity" if "identity" in names else root,
            key=root / _find_key(names),
            chains=root / ("id-chains" if "id-chains" in names else "id"),
            cross_signed=None if "identity" in names else root / "CA",
            known_servers=root / ("known-servers" if "known-servers" in names else "known_servers"),
            known_clients=root / ("known-clients" if "known-clients" in names else "known_clients"),
            lists=tuple(root / name for name in sorted(names & _CALLERS)),
            peers=tuple(root / name for name in sorted(names) if _PEERS.fullmatch(name)),
        )


def find_names(root: str) -> frozenset[str]:
    """The directories under a root. Raises LayoutInvalid (no-directory)."""
    try:
        with os.scandir(root) as entries:
            return frozenset([entry.name for entry in entries if entry.is_dir()])
    except OSError:
        raise LayoutInvalid(
            "no-directory",
            Path(root).name or root,
            "no such directory. Yours: mount the Secrets of the WorkloadIdentity there, or name another "
            f"place in ${CONFIG_VARIABLE}",
        ) from None


def _find_key(names: frozenset[str]) -> str:
    if "identity" not in names:
        return ""
    return "key" if "key" in names else "identity"


def find_root(config: str | os.PathLike[str] | None = None) -> str:
    """The directory that everything is under: the argument, the environment's, or the default."""
    chosen = config or os.environ.get(CONFIG_VARIABLE) or os.environ.get(CERTIFIED_VARIABLE)
    return os.fspath(chosen) if chosen else str(DEFAULT_ROOT)
