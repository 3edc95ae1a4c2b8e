"""Values of the chart with which policies decide: on a file of the one replica, and on a server for several."""

FROM_KERNELS: dict[str, object] = {"namespaceSelector": {"matchLabels": {"team": "kernels"}}}
TO_THE_SERVER: dict[str, object] = {"podSelector": {"matchLabels": {"app": "postgresql"}}}

ON_A_FILE: dict[str, object] = {
    "enabled": True,
    "ledger": {"sqlite": {"size": "20Gi", "storageClassName": "fast", "accessMode": "ReadWriteOncePod"}},
    "control": {"port": 443, "callersFrom": [FROM_KERNELS], "clusterDomain": "cluster.example"},
}
ON_A_SERVER: dict[str, object] = {
    "enabled": True,
    "ledger": {
        "type": "PostgreSQL",
        "postgresql": {
            "urlSecretRef": {"name": "ledger.url", "key": "uri"},
            "caSecretRef": {"name": "ledger-ca"},
            "to": [TO_THE_SERVER, {"ipBlock": {"cidr": "10.9.0.1/32"}}],
            "ports": [5432, 6432],
        },
    },
}
