"""Renders the Helm chart with the Helm that the test bed built; reads nothing of the user's Helm settings."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.build import KUBERNETES_VERSION, build_helm
from testbed.errors import CommandError
from testbed.locations import CHART

RELEASE = "bilateral"

# What is applied where there is no node to run a pod: accounts, rights, types and admission rules.
ACCESS_KINDS = frozenset(
    {
        "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding",
        "CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    }
)  # fmt: skip


def run_helm(*arguments: str | Path, kubeconfig: Path | None = None) -> str:
    """Run helm, without a cluster unless one is given, and return what it printed. Raises CommandError."""
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HELM_")}
        environment |= {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
        environment["KUBECONFIG"] = str(kubeconfig or os.devnull)
        command = [str(build_helm()), *map(str, arguments)]
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    if answer.returncode != 0:
        raise CommandError(("helm", *command[1:]), answer.returncode, answer.stdout, answer.stderr)
    return answer.stdout


def lint_chart(chart: Path = CHART) -> str:
    """Run `helm lint` and return its report; warnings count as errors. Raises CommandError."""
    return run_helm("lint", "--strict", "--kube-version", KUBERNETES_VERSION, chart)


def render_chart(
    namespace: str,
    values: Mapping[str, object] | None = None,
    *,
    release: str = RELEASE,
    chart: Path = CHART,
    api_versions: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Return the manifests that `helm install` would send. Raises CommandError (for refused values too)."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        arguments: list[str | Path] = [
            "template",
            release,
            chart,
            "--namespace",
            namespace,
            "--values",
            file.name,
        ]
        for version in api_versions:
            arguments += ["--api-versions", version]
        text = run_helm(*arguments, "--kube-version", KUBERNETES_VERSION)
    return [document for document in yaml.safe_load_all(text) if document]
