"""FederationPolicies of a cluster: stored from a document, found by the partner, deleted.

Rules: what is there and says the same is left alone; what says something else is replaced only where the caller
says so; a second policy for a partner is never made, for of two neither would count. All of it with the rights of
whoever calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import AlreadyThereError, AnswerNoError, InputError, NotThereError
from bilateral.cli.policy_documents import build_changes, differing_members, kept_document
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy

_IMMUTABLE = frozenset({"peer", "partner_id"})


class Stored(StrEnum):
    """What became of a document."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Retired:
    """A policy that was deleted."""

    name: str
    peer: str
    issuers: int
    has_feed: bool


def find_peer(cluster: Cluster, partner_id: str, named: str | None) -> str:
    """The FederationPeer that a policy for the partner is for. Raises InputError, NotThereError."""
    if named is not None:
        try:
            found = FederationPeer.parse(cluster.get(FederationPeer.PLURAL, named)).operator_id
        except InvalidResource as error:
            raise AnswerNoError(f"federationpeer/{named} breaks a rule: {error}: correct it first") from None
        if found != partner_id:
            raise InputError(
                f"federationpeer/{named} is of another partner: expected operatorId {partner_id}, the document's "
                f"partner_id, and found {found}"
            )
        return named
    names = sorted(
        str(obj["metadata"]["name"])
        for obj in cluster.list(FederationPeer.PLURAL)
        if _operator_id(obj) == partner_id
    )
    if not names:
        raise NotThereError(
            f"no FederationPeer of namespace {cluster.namespace} has operatorId {partner_id}: set spec.operatorId of "
            "the partner's, or name it with --peer"
        )
    if len(names) > 1:
        raise InputError(
            f"several FederationPeers have operatorId {partner_id}: choose with --peer {'|'.join(names)}"
        )
    return names[0]


def store_policy(cluster: Cluster, wanted: Object, *, replace: bool) -> Stored:
    """Create a policy, or leave or replace the one of its name. Raises AlreadyThereError."""
    name, spec = str(wanted["metadata"]["name"]), wanted["spec"]
    there: Object | None = None
    for obj in cluster.list(FederationPolicy.PLURAL):
        other, other_spec = str(obj["metadata"]["name"]), obj.get("spec") or {}
        if other == name:
            there = obj
        elif other_spec.get("partnerId") == spec["partnerId"] or other_spec.get("peer") == spec["peer"]:
            raise AlreadyThereError(
                f"federationpolicy/{other} is for this partner already, and of two neither would count: delete it "
                f"first, or give the document its name"
            )
    if there is None:
        cluster.create(FederationPolicy.PLURAL, wanted)
        return Stored.CREATED
    differing = differing_members(there.get("spec") or {}, spec)
    if _IMMUTABLE & set(differing):
        raise AlreadyThereError(
            f"federationpolicy/{name} is for another partner, and a policy stays with its partner: delete it first, "
            "or give the document another name"
        )
    if differing and not replace:
        raise AlreadyThereError(
            different(name, differing, "use --replace to have it say what the document says")
        )
    if not differing and kept_document(there) == kept_document(wanted):
        return Stored.UNCHANGED
    cluster.patch(FederationPolicy.PLURAL, name, build_changes(there, wanted))
    return Stored.REPLACED if differing else Stored.UNCHANGED


def different(name: str, differing: list[str], what_to_do: str) -> str:
    """Say in what a policy differs from a document."""
    return f"federationpolicy/{name} is there and differs in {', '.join(differing)}: {what_to_do}"


def policies_of(cluster: Cluster, partner_id: str) -> list[Object]:
    """Every policy of the namespace for the partner."""
    return [
        obj
        for obj in cluster.list(FederationPolicy.PLURAL)
        if (obj.get("spec") or {}).get("partnerId") == partner_id
    ]


def retire_policies(cluster: Cluster, partner_id: str) -> list[Retired]:
    """Delete every policy for the partner. Raises NotThereError when there is none.

    All of them: of two neither counts, and with one of them gone the other would.
    """
    found = policies_of(cluster, partner_id)
    if not found:
        raise NotThereError(
            f"there is no policy for partner {partner_id} in namespace {cluster.namespace}: check the id "
            "(bilateral trust federation-policy list), or choose the namespace with -n"
        )
    retired = []
    for obj in found:
        name, spec = str(obj["metadata"]["name"]), obj.get("spec") or {}
        cluster.delete(FederationPolicy.PLURAL, name, str(obj["metadata"]["uid"]))
        issuers = spec.get("trustedIssuers")
        retired.append(
            Retired(
                name,
                str(spec.get("peer", "")),
                len(issuers) if isinstance(issuers, list) else 0,
                "revocationFeed" in spec,
            )
        )
    return retired


def _operator_id(obj: Object) -> str | None:
    try:
        return FederationPeer.parse(obj).operator_id
    except InvalidResource:
        return None
