"""The floor of ``identities.py``: the same Secrets and statuses, written by a bare client that knows them.

    PYTHONPATH=. python bench/identities_floor.py KUBECONFIG NAMESPACE SAMPLES_JSON

32 workers take turns over kept-alive connections. Each creates the four Secrets of an identity and applies its
status server-side; in a second pass it applies one Secret and two statuses, with the resourceVersion that was
read before, as the operator does. It makes no key and signs nothing, has no cache, queue, watch or record, never
looks at the answer to a write but for its status, and stops at the first error. It prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from bench.floor import CONNECTIONS, api_session
from bench.population import DOMAIN, list_all, path

from bilateral.resources.labels import API_VERSION

IDENTITIES, INTRODUCTIONS = "workloadidentities", "introductions"
OUTPUTS = ("identity", "id-chains", "known-servers", "known-clients")
_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_QUERY = {"fieldManager": "bilateral", "force": "true"}


def build_identity(name: str) -> dict[str, Any]:
    """A WorkloadIdentity, as a person would write it."""
    spec = {"trustDomain": DOMAIN, "subject": {"commonName": name}, "clients": ["self", "org-b"]}
    return {"apiVersion": API_VERSION, "kind": "WorkloadIdentity", "metadata": {"name": name}, "spec": spec}


def build_introduction(name: str, peer: str, document: str) -> dict[str, Any]:
    """An Introduction that accepts, as a person would write it."""
    accept = {"identity": name, "peer": peer, "introduction": document}
    return {
        "apiVersion": API_VERSION,
        "kind": "Introduction",
        "metadata": {"name": name},
        "spec": {"accept": accept},
    }


class Floor:
    """One run over all identities of a namespace."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str, samples: dict[str, Any]) -> None:
        self._session = session
        self._namespace = namespace
        self._samples = samples

    async def issue(self, obj: dict[str, Any]) -> None:
        """Four Secrets and a status."""
        for output in OUTPUTS:
            body = self._secret(obj, output, self._samples["secrets"][output])
            await self._send("POST", f"/api/v1/namespaces/{self._namespace}/secrets", body)
        await self._status(IDENTITIES, obj, self._samples["issued"])

    async def introduce(self, obj: dict[str, Any], introduction: dict[str, Any]) -> None:
        """A Secret and two statuses."""
        body = self._secret(obj, "id-chains", self._samples["chains"])
        name = body["metadata"]["name"]
        await self._send("PATCH", f"/api/v1/namespaces/{self._namespace}/secrets/{name}", body)
        await self._status(IDENTITIES, obj, self._samples["introduced"])
        await self._status(INTRODUCTIONS, introduction, self._samples["introduction"])

    def _secret(self, obj: dict[str, Any], output: str, sample: dict[str, Any]) -> dict[str, Any]:
        owner = sample["metadata"]["ownerReferences"][0] | {
            "name": obj["metadata"]["name"],
            "uid": obj["metadata"]["uid"],
        }
        metadata = {
            "name": f"{obj['metadata']['name']}-{output}",
            "namespace": self._namespace,
            "labels": sample["metadata"]["labels"],
            "ownerReferences": [owner],
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": sample["type"],
            "data": sample.get("data") or {},
        }

    async def _status(self, plural: str, obj: dict[str, Any], status: dict[str, Any]) -> None:
        metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
        body = {"apiVersion": API_VERSION, "kind": obj["kind"], "metadata": metadata, "status": status}
        await self._send("PATCH", path(plural, self._namespace, metadata["name"]) + "/status", body)

    async def _send(self, method: str, where: str, body: dict[str, Any]) -> None:
        headers, query = (_APPLY, _QUERY) if method == "PATCH" else ({}, {"fieldManager": "bilateral"})
        headers = {"Content-Type": "application/json", **headers}
        async with self._session.request(
            method, where, params=query, data=json.dumps(body), headers=headers
        ) as answer:
            await answer.read()
            if answer.status not in (200, 201):
                raise SystemExit(f"error: the API server answered {answer.status}")


async def timed(work: Callable[[Any], Awaitable[None]], things: list[Any]) -> float:
    """Have 32 workers do it to everything; the seconds that it took."""
    waiting = iter(things)

    async def take_turns() -> None:
        for thing in waiting:
            await work(thing)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(take_turns())
    return time.perf_counter() - started


async def run(kubeconfig: Path, namespace: str, samples: dict[str, Any]) -> dict[str, float]:
    """Do it all once."""
    async with api_session(kubeconfig) as session:
        floor = Floor(session, namespace, samples)
        cpu = time.process_time()
        issue = await timed(floor.issue, _with_kind(await list_all(kubeconfig, IDENTITIES, namespace)))
        identities = await list_all(kubeconfig, IDENTITIES, namespace)
        introductions = await list_all(kubeconfig, INTRODUCTIONS, namespace)
        both = sorted(identities, key=_name), sorted(introductions, key=_name)
        pairs = list(zip(*map(_with_kind, both), strict=True))
        introduce = await timed(lambda pair: floor.introduce(*pair), pairs)
    return {"issue": issue, "introduce": introduce, "cpu": time.process_time() - cpu}


def _name(obj: dict[str, Any]) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _with_kind(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items of a list have no kind of their own."""
    return [
        {"kind": "WorkloadIdentity" if "subject" in each["spec"] else "Introduction", **each}
        for each in objects
    ]


if __name__ == "__main__":
    _, _kubeconfig, _namespace, _samples = sys.argv
    print(json.dumps(asyncio.run(run(Path(_kubeconfig), _namespace, json.loads(Path(_samples).read_text())))))
