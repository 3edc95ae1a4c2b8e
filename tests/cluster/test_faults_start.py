"""A replica that cannot begin says so and ends, or waits for what is missing; it never only looks alive."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cluster.conftest import make_operator
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess, OperatorSettings

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--listen", "the endpoint cannot begin"),
        ("--metrics-listen", "probes and metrics cannot listen"),
    ],
)
def test_an_address_that_is_taken_ends_the_replica(
    cluster: Cluster, namespace: str, tmp_path: Path, flag: str, message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"extra": (f"{flag}=127.0.0.1:{port}",)}
        operator = make_operator(cluster, namespace, tmp_path / "operator", settings)
        operator.start(wait=False)
        try:
            wait_for(lambda: not operator.is_running(), "the operator to end", seconds=20)
            assert message in operator.log_file.read_text()
        finally:
            operator.close()


def test_without_its_kinds_the_operator_waits_and_goes_on_when_they_come(tmp_path: Path) -> None:
    cluster = Cluster.start(tmp_path / "cluster")
    try:
        operator = OperatorProcess(
            OperatorSettings(
                kubeconfig=cluster.kubeconfig, namespaces=("default",), lease_namespace="default"
            ),
            tmp_path / "operator",
        )
        operator.start(wait=False)
        try:
            cluster.adopt("operator", operator.record)
            wait_for(lambda: "CRDs" in operator.log_file.read_text(), "a word about the CRDs", seconds=20)
            cluster.install_crds()
            operator.wait_ready()
        finally:
            operator.close()
    finally:
        cluster.stop()
