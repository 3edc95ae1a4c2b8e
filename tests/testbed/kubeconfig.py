"""Writes kubeconfig files: one cluster, one user with a token, one context."""

import base64
from pathlib import Path

import yaml


def write_kubeconfig(
    path: Path, *, server: str, authority: Path, token: str, user: str, namespace: str
) -> Path:
    """Write `path` (mode 0600) and return it; the authority's certificate is put inside."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "testbed",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [
            {"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": namespace}}
        ],
        "current-context": "testbed",
    }
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
