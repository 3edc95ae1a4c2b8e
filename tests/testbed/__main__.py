"""The command line, with `tests` on PYTHONPATH: `python -m testbed build|postgresql|lint-chart|up DIR|down DIR`."""

import argparse
import sys
import time
from pathlib import Path

from testbed.errors import TestBedError
from testbed.guard import keep_watch


def main() -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(prog="testbed", description="A Kubernetes without nodes, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs now; later runs find them in the cache")
    commands.add_parser(
        "postgresql", help="install Debian's PostgreSQL server if it is missing and we are root"
    )
    commands.add_parser("lint-chart", help="run `helm lint --strict` on the chart")
    for name, text in (
        ("up", "start a cluster; it runs until `down`"),
        ("down", "end a cluster"),
        ("guard", ""),
    ):
        command = commands.add_parser(name, help=text or argparse.SUPPRESS)
        command.add_argument("directory", type=Path, metavar="DIR")
        if name == "up":
            command.add_argument("--audit", action="store_true", help="write DIR/audit.log")
            command.add_argument("--crds", action="store_true", help="install the CRDs of this checkout")
    options = parser.parse_args()
    try:
        _run(options)
    except TestBedError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command prints
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command == "guard":
        keep_watch(options.directory)
        return
    # The rest needs the whole package; the guard is kept light.
    from testbed.build import build_helm, build_kubernetes
    from testbed.chart import lint_chart
    from testbed.cluster import Cluster, stop_processes
    from testbed.postgresql import MISSING, install_postgresql

    if options.command == "build":
        print(f"kubectl: {build_kubernetes().kubectl}\nhelm: {build_helm()}")  # noqa: T201 - a command prints
    elif options.command == "postgresql":
        print(f"postgresql: {install_postgresql() or MISSING}")  # noqa: T201 - a command prints
    elif options.command == "lint-chart":
        print(lint_chart().strip())  # noqa: T201 - a command prints
    elif options.command == "up":
        started = time.monotonic()
        cluster = Cluster.start(options.directory, audit=options.audit, tied=False)
        if options.crds:
            cluster.install_crds()
        seconds = time.monotonic() - started
        print(f"ready after {seconds:.1f} s: export KUBECONFIG={cluster.kubeconfig}")  # noqa: T201 - a command prints
        print(f"its kubectl: {build_kubernetes().kubectl}")  # noqa: T201 - a command prints
    else:
        found = stop_processes(options.directory)
        print(f"{'ended the' if found else 'there is no'} cluster in {options.directory}")  # noqa: T201 - a command prints


if __name__ == "__main__":
    sys.exit(main())
