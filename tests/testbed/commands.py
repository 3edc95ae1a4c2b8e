"""The command lines of a cluster's processes: plain functions of its folder and ports.

Everything listens on 127.0.0.1 only. Nothing is synced to disk: such a cluster is made to be thrown away.
"""

from pathlib import Path

from testbed.build import Programs
from testbed.state import State

# What the tests rely on, no more: accounts, namespace deletion, garbage collection, aggregated roles.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
)


def etcd_command(programs: Programs, directory: Path, state: State) -> list[str]:
    """Return etcd's command line."""
    client, peer = f"http://127.0.0.1:{state.etcd_port}", f"http://127.0.0.1:{state.peer_port}"
    return [
        str(programs.etcd),
        f"--data-dir={directory / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # A small log of recent writes and a small cache: less memory, and nobody reads far back here.
        "--snapshot-count=1000",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
    ]


def apiserver_command(programs: Programs, directory: Path, state: State) -> list[str]:
    """Return the API server's command line."""
    keys = directory / "pki"
    command = [
        str(programs.apiserver),
        f"--etcd-servers=http://127.0.0.1:{state.etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={state.api_port}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--token-auth-file={keys / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys / 'service-accounts.key'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        "--service-cluster-ip-range=10.96.0.0/16",
    ]
    if state.audit:
        command += [
            f"--audit-policy-file={directory / 'audit-policy.yaml'}",
            f"--audit-log-path={directory / 'audit.log'}",
            "--audit-log-mode=blocking",  # an answered call is in the file
            "--audit-log-maxsize=4096",
        ]
    return command


def controllers_command(programs: Programs, directory: Path) -> list[str]:
    """Return the controller manager's command line."""
    keys = directory / "pki"
    return [
        str(programs.controller_manager),
        f"--kubeconfig={directory / 'controllers.kubeconfig'}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={keys / 'service-accounts.key'}",
        f"--root-ca-file={keys / 'ca.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]
