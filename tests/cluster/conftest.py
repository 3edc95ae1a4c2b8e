"""One real API server for all tests of a session; a namespace and, where asked for, operators for each test.

The programs are built before the first test, outside any test's time limit. If they cannot be built, or the
cluster does not start, every test that needs it fails: it is never skipped.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from testbed.build import build_helm, build_kubernetes
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.errors import TestBedError
from testbed.operator import OperatorProcess, OperatorSettings

OperatorFactory = Callable[..., OperatorProcess]

_build_failure: TestBedError | None = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def pytest_collection_finish(session: pytest.Session) -> None:
    global _build_failure
    if session.config.option.collectonly or not any(
        item.get_closest_marker("cluster") for item in session.items
    ):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        try:
            build_kubernetes()
            build_helm()
        except TestBedError as error:
            _build_failure = error


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the CRDs installed and the audit log on."""
    if _build_failure is not None:
        raise _build_failure
    with Cluster.start(tmp_path_factory.mktemp("cluster")) as started:
        started.install_crds()
        yield started


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace, with the chart's ServiceAccount `bilateral` and its rights in there only."""
    name = make_namespace(cluster)
    cluster.install_chart(name)
    yield name
    cluster.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[OperatorFactory]:
    """Start operators for `namespace`, with the chart's ServiceAccount; they end with the test.

    `operator()` starts one and waits until it is ready; every call starts another (a second replica).
    """
    started: list[OperatorProcess] = []
    numbers = itertools.count(1)

    def start(*, wait: bool = True, **settings: object) -> OperatorProcess:
        process = make_operator(cluster, namespace, tmp_path / f"operator-{next(numbers)}", settings)
        started.append(process)
        process.start(wait=wait)
        cluster.adopt(f"operator-{namespace}-{len(started)}", process.record)
        return process

    yield start
    for process in started:
        process.close()


def make_namespace(cluster: Cluster) -> str:
    """Make a namespace with a name that nothing else has."""
    name = f"t-{secrets.token_hex(4)}"
    answer = cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.message
    return name


def make_operator(
    cluster: Cluster,
    namespace: str,
    directory: Path,
    settings: Mapping[str, object] | None = None,
    *,
    namespaces: Sequence[str] = (),
) -> OperatorProcess:
    """Return an operator (not started) that acts as the chart's ServiceAccount of `namespace`."""
    kubeconfig = cluster.service_account_kubeconfig(namespace, RELEASE)
    wanted: dict[str, object] = {
        "kubeconfig": kubeconfig, "namespaces": namespaces or (namespace,), "lease_namespace": namespace,
    }  # fmt: skip
    return OperatorProcess(OperatorSettings(**(wanted | dict(settings or {}))), directory)  # type: ignore[arg-type]  # by name
