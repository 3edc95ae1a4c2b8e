"""What a cluster's folder remembers, so that another process can find, use and end the cluster.

`state.json` is private (it holds the administrator's token) and is replaced whole at every change.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from testbed.errors import TestBedError
from testbed.processes import ProcessRecord


@dataclass(slots=True)
class State:
    """Ports, tokens and processes of one cluster; processes by the name they are spoken of."""

    etcd_port: int
    peer_port: int
    api_port: int
    audit: bool
    admin_token: str = field(repr=False)
    controller_token: str = field(repr=False)
    processes: dict[str, ProcessRecord] = field(default_factory=dict)


def write_state(directory: Path, state: State) -> None:
    """Replace the folder's `state.json`."""
    part = directory / "state.json.part"
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(json.dumps(asdict(state), indent=2) + "\n")
    os.replace(part, directory / "state.json")  # noqa: PTH105 - the atomic replacement is the point


def read_state(directory: Path) -> State | None:
    """Return the folder's state, or None when no cluster was started there (or it was ended)."""
    path = directory / "state.json"
    try:
        members = json.loads(path.read_text())
        members["processes"] = {
            name: ProcessRecord(**record) for name, record in members["processes"].items()
        }
        return State(**members)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise TestBedError(f"{path} is not a test bed's state file") from error
