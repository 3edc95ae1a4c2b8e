"""docs/pods.md on a real API server: every manifest of the page is accepted as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bilateral.resources.kinds import parse_resource
from cluster.conftest import make_namespace
from testbed.cluster import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "pods.md").read_text(encoding="utf-8")
MANIFESTS = re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE)


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> Iterator[str]:
    """A namespace that admits only pods of the standard "restricted"."""
    name = make_namespace(cluster)
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    answer = cluster.request(
        "PATCH",
        f"/api/v1/namespaces/{name}",
        {"metadata": {"labels": labels}},
        content_type="application/merge-patch+json",
    )
    assert answer.status == 200, answer.message
    yield name
    cluster.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize(
    "manifest",
    MANIFESTS,
    ids=["/".join(each["metadata"]["name"] for each in yaml.safe_load_all(text)) for text in MANIFESTS],
)
def test_a_manifest_of_the_page_is_accepted(
    manifest: str, cluster: Cluster, restricted: str, tmp_path: Path
) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(manifest, encoding="utf-8")
    done = cluster.run_kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", restricted, "-f", file
    )
    assert done.returncode == 0, done.stderr
    # A Deployment whose pods a restricted namespace would not admit is accepted, with a warning.
    assert "Warning" not in done.stderr, done.stderr
    for document in yaml.safe_load_all(manifest):
        if document["apiVersion"].startswith("bilateral.dev/"):
            parse_resource(document)
