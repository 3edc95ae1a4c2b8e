"""The test bed itself, on the cluster that it started: what every other test here relies on."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bilateral.resources.kinds import KINDS
from bilateral.resources.labels import GROUP
from support.waiting import wait_for
from testbed.audit import WRITE_VERBS
from testbed.cluster import Cluster
from testbed.errors import CommandError, TestBedError
from testbed.locations import TESTS
from testbed.processes import is_running
from testbed.state import read_state


def test_the_crds_are_served(cluster: Cluster) -> None:
    served = cluster.kubectl("api-resources", "--api-group=bilateral.dev", "--output=name").split()
    assert sorted(served) == sorted(f"{kind.PLURAL}.{GROUP}" for kind in KINDS)


def test_a_refused_command_carries_what_kubectl_said(cluster: Cluster) -> None:
    with pytest.raises(CommandError) as refused:
        cluster.kubectl("get", "nonsense")
    assert refused.value.returncode == 1
    assert "nonsense" in refused.value.stderr
    assert cluster.kubectl("get", "nonsense", check=False) == ""


def test_the_operators_account_may_use_its_namespace_and_no_other(cluster: Cluster, namespace: str) -> None:
    account = cluster.service_account_kubeconfig(namespace, "bilateral")
    assert cluster.run_kubectl("get", "secrets", kubeconfig=account).returncode == 0
    elsewhere = cluster.run_kubectl("get", "secrets", "-n", "default", kubeconfig=account)
    assert elsewhere.returncode == 1
    assert "forbidden" in elsewhere.stderr


def test_the_audit_log_counts_calls_by_user_and_verb(cluster: Cluster, namespace: str) -> None:
    account = cluster.service_account_kubeconfig(namespace, "bilateral")
    user = f"system:serviceaccount:{namespace}:bilateral"
    before = cluster.audit_position()
    secret = "create", "secret", "generic", "one", "--from-literal=a=b"
    assert cluster.run_kubectl(*secret, kubeconfig=account).returncode == 0
    writes = cluster.audit_events(user=user, verb=WRITE_VERBS, since=before)
    assert [(event.verb, event.resource, event.name, event.code) for event in writes] == [
        ("create", "secrets", "one", 201)
    ]
    assert cluster.audit_events(user=user, since=cluster.audit_position()) == []


def test_the_api_servers_metrics_can_be_read(cluster: Cluster) -> None:
    assert cluster.apiserver_metrics().total("apiserver_request_total") > 0


def test_objects_outlive_a_restart_of_the_api_server(cluster: Cluster, namespace: str) -> None:
    cluster.stop_apiserver()
    with pytest.raises(ConnectionRefusedError):
        cluster.request("GET", "/readyz")
    cluster.start_apiserver()
    assert cluster.request("GET", f"/api/v1/namespaces/{namespace}").status == 200


def test_a_frozen_api_server_answers_nothing_until_it_goes_on(cluster: Cluster) -> None:
    cluster.pause()
    try:
        assert not cluster.api.is_ready()
    finally:
        cluster.resume()
    cluster.wait_ready()


def test_what_an_object_of_ours_owns_is_collected_with_it(cluster: Cluster, namespace: str) -> None:
    peers = f"/apis/bilateral.dev/v1alpha1/namespaces/{namespace}/federationpeers"
    peer = {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "FederationPeer",
        "metadata": {"name": "org-b"},
        "spec": {"trustDomain": "org-a", "kernelId": "org-b-kernel"},
    }
    created = cluster.request("POST", peers, peer)
    assert created.status == 201, created.message
    owner = {
        "apiVersion": "bilateral.dev/v1alpha1", "kind": "FederationPeer", "name": "org-b",
        "uid": created.json()["metadata"]["uid"],
    }  # fmt: skip
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    secret = {"metadata": {"name": "org-b-ca", "ownerReferences": [owner]}}
    assert cluster.request("POST", secrets, secret).status == 201
    assert cluster.request("DELETE", f"{peers}/org-b").status == 200
    wait_for(lambda: cluster.get("secrets", "org-b-ca", namespace) is None, "the Secret is gone")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that starts a tied cluster, says so, and then waits."""
    code = (
        "import pathlib, sys; from testbed.cluster import Cluster\n"
        "cluster = Cluster.start(pathlib.Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "tied")],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_a_tied_cluster_ends_with_a_killed_starter(program: subprocess.Popen[str], tmp_path: Path) -> None:
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    state = read_state(tmp_path / "tied")
    assert state is not None
    assert set(state.processes) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    program.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, state.processes.values())), "its processes have ended")
    wait_for(lambda: read_state(tmp_path / "tied") is None, "its state is removed")


def test_a_folder_has_one_cluster_at_a_time(cluster: Cluster) -> None:
    with pytest.raises(TestBedError, match="already"):
        Cluster.start(cluster.directory)


def test_another_process_can_use_a_running_cluster(cluster: Cluster) -> None:
    assert Cluster.load(cluster.directory).request("GET", "/readyz").status == 200
