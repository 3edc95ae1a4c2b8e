"""The contract's two policies go through a real API server and come back as they were published."""

import json
from typing import Any

import pytest
import yaml

from bilateral.protocol.policies.documents import is_document_of, read_document, write_document
from bilateral.resources.labels import API_VERSION
from testbed.cluster import Cluster
from unit.protocol.published_policies import FULL, PUBLISHED

DOCUMENTS = {**{name: yaml.safe_load(text) for name, text in PUBLISHED.items()}, "every member": FULL}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_policy_is_the_same_document_after_the_cluster(
    cluster: Cluster, namespace: str, document: dict[str, Any]
) -> None:
    read = read_document(document)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "FederationPolicy",
        "metadata": {"name": read.name},
        "spec": {"peer": "org-b", **read.spec},
    }
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/federationpolicies"
    answer = cluster.request("POST", path, manifest)
    assert answer.status == 201, answer.message
    shown = json.loads(cluster.kubectl("get", "fpol", read.name, "-n", namespace, "-o", "json"))
    assert is_document_of(document, shown["spec"])
    assert write_document(shown["metadata"]["name"], shown["spec"]) == document
