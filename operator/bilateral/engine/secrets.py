"""Secrets that the operator makes: their content, their form, and how they are written.

Rules (security.md R-K6, R-K7):

- A Secret is first created, never applied over whatever may be there: a name that is taken by a
  Secret without our label is remembered as foreign, and that Secret is not touched or read.
- Afterwards it is written only when it differs, at the version that was seen.
- Key material is made here and goes to the API server; it is in no log and no error.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bilateral.engine.api import AlreadyExists, Conflict, KubernetesAPI, NotFound, path_of
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.pki.authority import generate_authority, load_authority
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.keys import SigningKey
from bilateral.reconcile.outcome import GeneratedSecret, Recipe, SecretView, WrittenSecret
from bilateral.reconcile.trustdomain import (
    PRIVATE_KEY,
    SEAL_BYTES,
    SEAL_KEY,
    TLS_CERTIFICATE,
    TLS_KEY,
    endpoint_host,
)
from bilateral.resources.labels import (
    API_VERSION,
    FIELD_MANAGER,
    SECRET_LABEL,
    SECRET_OWNED,
    SECRET_REFERENCED,
)
from bilateral.resources.meta import Resource
from bilateral.resources.trustdomain import TrustDomain

TLS_TYPE = "kubernetes.io/tls"
OPAQUE_TYPE = "Opaque"
ENDPOINT_VALIDITY_SECONDS = 30 * 86400

log = Log("secrets")


def view_of(obj: dict[str, Any]) -> SecretView:
    """A Secret from the cache as decisions see it."""
    metadata = obj["metadata"]
    owners = [owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    return SecretView(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        owner_uid=owners[0]["uid"] if owners else None,
        referenced=(metadata.get("labels") or {}).get(SECRET_LABEL) == SECRET_REFERENCED,
        type=obj.get("type", OPAQUE_TYPE),
        data={name: base64.b64decode(value) for name, value in (obj.get("data") or {}).items()},
    )


class SecretWriter:
    """Creates and writes the Secrets that objects of ours own."""

    def __init__(self, api: KubernetesAPI, cache: Cache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._foreign: set[tuple[str, str]] = set()
        self.on_taken: Callable[[Resource], None] = lambda _owner: None
        """Told of the owner of a name that was found taken, or free again: its status speaks of it."""

    def foreign(self, namespace: str) -> frozenset[str]:
        """Names in a namespace that were found taken by Secrets without our label: by what we cannot see."""
        return frozenset(
            name
            for where, name in self._foreign
            if where == namespace and Key(Kind.SECRET, namespace, name) not in self._cache
        )

    def taken(self, namespace: str) -> frozenset[str]:
        """Names that were found taken by whatever is not its owner's, also by what has our label."""
        return frozenset(name for where, name in self._foreign if where == namespace)

    async def look_again(self, owner: Resource, name: str) -> bool:
        """Ask whether a name that was found taken is free now, without reading what has it. Raises APIError."""
        namespace = owner.metadata.namespace
        path = path_of(Kind.SECRET, namespace, group="", version="v1")
        try:
            await self._api.try_create(path, self._body(owner, name, OPAQUE_TYPE, {}), manager=FIELD_MANAGER)
        except AlreadyExists:
            return False
        self._found(owner, name, taken=False)
        return True

    async def generate(self, domain: TrustDomain, wanted: GeneratedSecret, now: int) -> bool:
        """Make a Secret by its recipe; false when the name is taken or it changed meanwhile."""
        made = self._content(domain, wanted.recipe, now)
        if made is None:
            return False
        kind, data = made
        body = self._body(domain, wanted.name, kind, data)
        return await self._put(domain, wanted.name, body, wanted.replaces)

    async def write(self, owner: Resource, wanted: WrittenSecret) -> bool:
        """Bring a Secret to the wanted content; true when it is there, without a write if it was.

        False when the name is taken by a Secret that ``owner`` does not own (see :meth:`foreign`), or
        when it changed meanwhile. Raises APIError.
        """
        namespace = owner.metadata.namespace
        raw = self._cache.raw(Key(Kind.SECRET, namespace, wanted.name))
        version = None
        if raw is not None:
            held = view_of(raw)
            if held.owner_uid != owner.metadata.uid:
                self._found(owner, wanted.name, taken=True)
                return False
            if held.data == wanted.data:
                self._found(owner, wanted.name, taken=False)
                return True
            version = held.resource_version
        body = self._body(owner, wanted.name, wanted.type, wanted.data)
        return await self._put(owner, wanted.name, body, version)

    def _found(self, owner: Resource, name: str, *, taken: bool) -> None:
        place = (owner.metadata.namespace, name)
        if (place in self._foreign) == taken:
            return
        if taken:
            self._foreign.add(place)
        else:
            self._foreign.discard(place)
        self.on_taken(owner)

    async def _put(self, owner: Resource, name: str, body: dict[str, Any], version: str | None) -> bool:
        namespace = owner.metadata.namespace
        try:
            if version is None:
                path = path_of(Kind.SECRET, namespace, group="", version="v1")
                stored = await self._api.create(path, body, manager=FIELD_MANAGER)
            else:
                body["metadata"]["resourceVersion"] = version
                path = path_of(Kind.SECRET, namespace, name, group="", version="v1")
                stored = await self._api.apply(path, body, manager=FIELD_MANAGER)
                if (stored.get("data") or {}) != body["data"]:  # an apply leaves what somebody else added
                    stored = await self._api.overwrite(
                        path,
                        {"data": body["data"]},
                        stored["metadata"]["resourceVersion"],
                        manager=FIELD_MANAGER,
                    )
        except AlreadyExists:
            if Key(Kind.SECRET, namespace, name) not in self._cache:
                self._found(owner, name, taken=True)
            return False
        except Conflict:
            return False  # it changed: its event brings us back
        except NotFound:
            if version is None:
                raise  # no namespace, or an API server that is still starting: nothing will tell us when it is there
            return False  # it went: its event brings us back
        self._found(owner, name, taken=False)
        self._metrics.writes.labels(Kind.SECRET.value).inc()
        self._cache.written(Kind.SECRET, stored)
        log.info("Secret written", namespace=namespace, name=name)
        return True

    def _content(
        self, domain: TrustDomain, recipe: Recipe, now: int
    ) -> tuple[str, Mapping[str, bytes]] | None:
        moment = datetime.fromtimestamp(now, UTC)
        if recipe is Recipe.SIGNING_KEY:
            return OPAQUE_TYPE, {PRIVATE_KEY: SigningKey.generate().pkcs8_pem()}
        if recipe is Recipe.SEAL:
            return OPAQUE_TYPE, {SEAL_KEY: os.urandom(SEAL_BYTES)}
        if recipe is Recipe.AUTHORITY:
            spec = domain.spec.certificate_authority
            authority = generate_authority(
                domain.authority_subject,
                algorithm=spec.algorithm.value,
                validity_seconds=spec.validity_seconds,
                now=moment,
            )
            return TLS_TYPE, {TLS_CERTIFICATE: authority.certificate_pem, TLS_KEY: authority.key_pem}
        return self._endpoint_certificate(domain, moment)

    def _endpoint_certificate(
        self, domain: TrustDomain, moment: datetime
    ) -> tuple[str, Mapping[str, bytes]] | None:
        raw = self._cache.raw(Key(Kind.SECRET, domain.metadata.namespace, domain.authority_secret_name))
        host = endpoint_host(domain)
        if raw is None or host is None:
            return None
        data = view_of(raw).data
        authority = load_authority(data[TLS_CERTIFICATE], data[TLS_KEY])
        issued = issue_server_certificate(
            authority, [host], validity_seconds=ENDPOINT_VALIDITY_SECONDS, now=moment
        )
        return TLS_TYPE, {TLS_CERTIFICATE: issued.cert_pem, TLS_KEY: issued.key_pem}

    def _body(self, owner: Resource, name: str, kind: str, data: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": owner.metadata.namespace,
                "labels": {SECRET_LABEL: SECRET_OWNED, "app.kubernetes.io/managed-by": FIELD_MANAGER},
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": owner.KIND,
                        "name": owner.metadata.name,
                        "uid": owner.metadata.uid,
                        "controller": True,
                        "blockOwnerDeletion": False,
                    }
                ],
            },
            "type": kind,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
