"""What the control endpoint does for its callers, whom the cluster's roles have let in.

A policy is made and deleted with the operator's own rights, for a caller who has the same verb on the same kind:
the API server judges the object as any other. One that approves introductions in advance needs the caller's verb
``approve`` on them as well, as at the API server. Rules: a document is kept beside the object that was made from it, so
that it can be printed back as it was given; what is there already is not changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bilateral.engine.api import AlreadyExists, APIError, Forbidden, Invalid, KubernetesAPI, NotFound, path_of
from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.decisions import Decisions
from bilateral.engine.log import Log
from bilateral.engine.publishing import Feeds
from bilateral.exchange.callers import Action, Reviewer
from bilateral.exchange.control import MAX_BODY_BYTES, Call
from bilateral.exchange.errors import Refusal
from bilateral.ledger.errors import LedgerError
from bilateral.protocol.capabilities.members import read_list, read_object, read_text
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.identifiers import is_capability_id
from bilateral.protocol.policies.documents import read_document
from bilateral.protocol.policies.evaluations import parse_evaluation
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON, Limits, parse_json
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import API_VERSION, FIELD_MANAGER, GROUP, POLICY_DOCUMENT, VERSION
from bilateral.resources.trustdomain import TrustDomain

RETRY_AFTER_SECONDS = 5
MAX_REVOKED_AT_ONCE = 1000
POLICIES_SCHEMA = "bilateral.policies.v1"
_LIMITS = Limits(max_bytes=MAX_BODY_BYTES, max_depth=16, max_members=8192, max_values=16_384)

log = Log("control")


class Control:
    """Does what callers of the control endpoint ask."""

    def __init__(
        self,
        api: KubernetesAPI,
        cache: Cache,
        decisions: Decisions,
        feeds: Feeds,
        reviewer: Reviewer,
        namespaces: Sequence[str],
    ) -> None:
        self._api = api
        self._cache = cache
        self._decisions = decisions
        self._feeds = feeds
        self._reviewer = reviewer
        self._namespaces = tuple(namespaces)
        self.ready = False

    def namespace(self, asked: str) -> str:
        """The namespace that is meant. Raises Refusal: NotFound, NotReady."""
        if not self.ready:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        if not asked and len(self._namespaces) == 1:
            return self._namespaces[0]
        if not asked or (self._namespaces and asked not in self._namespaces):
            raise Refusal(Reason.NOT_FOUND)
        return asked

    async def evaluate(self, call: Call) -> bytes:
        """Decide about a chain of capabilities. Raises MalformedDocument, Refusal."""
        return await self._decisions.evaluate(call.namespace, call.caller, parse_evaluation(call.body))

    async def list_policies(self, call: Call) -> bytes:
        """The policies of the namespace, by name, each with the document that it was made from."""
        keys = sorted(
            key for key in self._cache.keys(Kind.FEDERATION_POLICY) if key.namespace == call.namespace
        )
        found = [raw for key in keys if (raw := self._cache.raw(key)) is not None]
        return _write({"schema": POLICIES_SCHEMA, "policies": [_told(each) for each in found]})

    async def create_policy(self, call: Call) -> bytes:
        """Make a policy from the published document. Raises MalformedDocument, Refusal."""
        given = parse_json(call.body, _LIMITS)
        if not isinstance(given, dict):
            raise MalformedDocument("not-an-object")
        peer = given.pop("peer", None)
        document = read_document(given)
        if approves_in_advance(document.spec):
            action = Action("approve", Kind.INTRODUCTION.value, call.namespace)
            await self._reviewer.authorize(call.caller, action)
        partner_id = read_text(document.spec.get("partnerId"), "partner-id")
        name = self._peer_of(call.namespace, partner_id) if peer is None else read_text(peer, "peer")
        body = {
            "apiVersion": API_VERSION,
            "kind": "FederationPolicy",
            "metadata": {
                "name": document.name,
                "namespace": call.namespace,
                "annotations": {POLICY_DOCUMENT: json.dumps(given, separators=(",", ":"))},
            },
            "spec": {"peer": name, **document.spec},
        }
        path = path_of(Kind.FEDERATION_POLICY, call.namespace, group=GROUP, version=VERSION)
        try:
            await self._api.create(path, body, manager=FIELD_MANAGER)
        except APIError as error:
            raise _refusal_of(error) from None
        log.info(
            "a policy was made", namespace=call.namespace, name=document.name, caller=call.caller.username
        )
        return _write({"name": document.name, "partnerId": partner_id})

    async def delete_policy(self, call: Call) -> bytes:
        """Retire the policy of a partner. Raises Refusal."""
        keys = self._cache.find(Index.POLICY_BY_PARTNER, call.namespace, call.partner_id)
        if not keys:
            raise Refusal(Reason.NO_POLICY)
        for key in sorted(keys):
            path = path_of(key.kind, key.namespace, key.name, group=GROUP, version=VERSION)
            try:
                await self._api.delete(path, uid=self._cache.uid(key))
            except NotFound:
                continue
            except APIError as error:
                raise _refusal_of(error) from None
            log.info(
                "a policy was deleted", namespace=key.namespace, name=key.name, caller=call.caller.username
            )
        return _write({"partnerId": call.partner_id, "deleted": True})

    async def revoke(self, call: Call) -> bytes:
        """Revoke capabilities in the feed of a trust domain. Raises MalformedDocument, Refusal."""
        members = read_object(parse_json(call.body, _LIMITS), "not-an-object", frozenset({"capabilityIds"}))
        ids = read_list(members["capabilityIds"], "capability-ids", MAX_REVOKED_AT_ONCE, _read_id, minimum=1)
        raw = self._cache.raw(Key(Kind.TRUST_DOMAIN, call.namespace, call.trust_domain))
        try:
            domain = None if raw is None else TrustDomain.parse(raw)
        except InvalidResource:
            domain = None
        if domain is None:
            raise Refusal(Reason.TRUST_DOMAIN_NOT_FOUND)
        try:
            head = await self._feeds.revoke(domain.spec.kernel_id, ids)
        except LedgerError as error:
            log.warning("nothing was revoked", name=call.trust_domain, reason=error.reason.value)
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS) from None
        log.info(
            "capabilities were revoked", name=call.trust_domain, count=len(ids), caller=call.caller.username
        )
        return _write({"treeSize": head.size, "rootHash": head.root_hash, "publishedAt": head.published_at})

    def _peer_of(self, namespace: str, partner_id: str) -> str:
        """The one peer that has the partner's name. Raises Refusal: PeerNotFound, PolicyConflict."""
        found = []
        for key in self._cache.keys(Kind.FEDERATION_PEER):
            raw = self._cache.raw(key) if key.namespace == namespace else None
            try:
                if raw is not None and FederationPeer.parse(raw).operator_id == partner_id:
                    found.append(key.name)
            except InvalidResource:
                continue
        if len(found) != 1:
            raise Refusal(Reason.POLICY_CONFLICT if found else Reason.PEER_NOT_FOUND)
        return found[0]


def approves_in_advance(spec: Mapping[str, JSON]) -> bool:
    """Whether a policy has our authority sign without a person, or under names of its own."""
    terms = spec.get("introductions")
    return isinstance(terms, dict) and (
        terms.get("approval", "Manual") != "Manual" or bool(terms.get("dnsNames"))
    )


def _told(raw: dict[str, Any]) -> JSON:
    metadata = raw["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {POLICY_DOCUMENT: annotations[POLICY_DOCUMENT]} if POLICY_DOCUMENT in annotations else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "FederationPolicy",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "annotations": kept},
        "spec": raw.get("spec") or {},
        "status": raw.get("status") or {},
    }


def _read_id(value: JSON) -> str:
    if type(value) is not str or not is_capability_id(value):
        raise MalformedDocument("capability-id")
    return value


def _refusal_of(error: APIError) -> Refusal:
    """What a caller is told of the API server's answer: the reason, never its words."""
    if isinstance(error, AlreadyExists):
        return Refusal(Reason.POLICY_CONFLICT)
    if isinstance(error, Invalid):
        return Refusal(Reason.INVALID_SPEC)
    if isinstance(error, Forbidden):
        log.warning("the operator has not the right to do what was asked", status=error.status)
        return Refusal(Reason.FORBIDDEN)
    return Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)


def _write(members: dict[str, JSON]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
