"""A real Kubernetes for tests, demo and benchmarks: etcd, API server and controllers as plain processes.

- `build` makes the programs, once, from the Go modules in `kube/` and `helm/`, into a cache.
- `cluster.Cluster` runs one cluster in a folder of its own, on loopback, on ports that no other run has.
- `operator.OperatorProcess` runs the operator under test against it, with the chart's ServiceAccount.

There is no node: nothing here runs a pod. On the command line: `python -m testbed up DIR`, `down DIR`,
`build`.
"""
