"""The contract's policy documents, and the ``spec`` of a FederationPolicy: both ways, nothing lost.

A document is the mapping of a YAML file: ``apiVersion: chio.dev/v1``, ``kind: FederationPolicy``,
``metadata.name`` and a ``spec`` with snake_case members (chio federation overview, "Bilateral
Federation Policies"). A spec is what a manifest of ours says without ``peer``, which a document does
not know: which FederationPeer is meant is for whoever stores it to say.

How a feed's server is verified and which token it is sent are no terms between two parties either:
they stay in the object, and no document has them.

Rules:

- A member that nobody knows is refused: it would be a limit that nothing keeps.
- ``sharing_posture`` is the exception of the contract: any other word means pair-scoped.
- What the contract has no word for is written beside its members, in its style: ``not_after`` and
  ``public_key`` of an issuer, ``tool_server``, ``budget``, the terms of a feed, ``introductions``.
- Two spellings of one spec (a tier, a default that is spelt out) stay apart only in the text that a
  person gave: it is kept beside the object, and :func:`is_document_of` says whether it still holds.

Limits of length, patterns and keys are the kind's, which judges every spec; here are the forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.policy import (
    DEFAULT_INTRODUCTION_SECONDS,
    DEFAULT_MAX_STALENESS_SECONDS,
    DEFAULT_POLL_SECONDS,
    FeedSource,
    IntroductionApproval,
    SharingPosture,
)
from bilateral.protocol.policies.tiers import parse_tier
from bilateral.protocol.strictjson import JSON

DOCUMENT_API_VERSION: Final = "chio.dev/v1"
DOCUMENT_KIND: Final = "FederationPolicy"

Members: TypeAlias = dict[str, JSON]


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A document that was read: its name and, as a manifest has it, its ``spec`` without ``peer``."""

    name: str
    spec: Mapping[str, JSON]


def read_document(document: JSON) -> PolicyDocument:
    """Read the mapping of a document.

    Raises MalformedDocument: ``missing-member``, ``unknown-member``, or the kebab-case name of the
    bad member.
    """
    members = _object(
        document, "not-an-object", frozenset({"apiVersion", "kind", "metadata", "spec"}), frozenset()
    )
    if members["apiVersion"] != DOCUMENT_API_VERSION:
        raise MalformedDocument("api-version")
    if members["kind"] != DOCUMENT_KIND:
        raise MalformedDocument("kind")
    metadata = _object(members["metadata"], "metadata", frozenset({"name"}), frozenset())
    return PolicyDocument(_text(metadata["name"], "name"), _read_spec(members["spec"]))


def write_document(name: str, spec: Mapping[str, JSON]) -> Members:
    """Write a document from the ``spec`` of a manifest; defaults and ``peer`` are left out.

    Raises MalformedDocument for a spec that is none of this kind.
    """
    written: Members = {
        "partner_id": _member(spec, "partnerId"),
        "trusted_issuers": [
            _write_issuer(each) for each in _items(_member(spec, "trustedIssuers"), "issuer")
        ],
        "max_scope": _write_scope(_mapping(_member(spec, "maxScope"), "max-scope")),
        "max_autonomy_tier": parse_tier(
            _text(_member(spec, "maxAutonomyTier"), "max-autonomy-tier")
        ).published,
        "max_evidence_age_secs": _member(spec, "maxEvidenceAgeSeconds"),
    }
    if "revocationFeed" in spec:
        written["revocation_feed"] = _write_feed(_mapping(spec["revocationFeed"], "revocation-feed"))
    posture = spec.get("sharingPosture", SharingPosture.PAIR_SCOPED.value)
    written["sharing_posture"] = _POSTURE_WORDS.get(
        posture if isinstance(posture, str) else "", "pair_scoped"
    )
    introductions = _without(
        _renamed(_mapping(spec.get("introductions", {}), "introductions"), _INTRODUCTIONS_BACK),
        _INTRODUCTION_DEFAULTS,
    )
    if introductions:
        written["introductions"] = introductions
    return {
        "apiVersion": DOCUMENT_API_VERSION,
        "kind": DOCUMENT_KIND,
        "metadata": {"name": name},
        "spec": written,
    }


def is_document_of(document: JSON, spec: Mapping[str, JSON]) -> bool:
    """Whether a document that was kept still says what the ``spec`` says, defaults filled in or not."""
    try:
        kept = read_document(document)
        return canonical_bytes(write_document("", kept.spec)) == canonical_bytes(write_document("", spec))
    except MalformedDocument:
        return False


# Reading: the contract's members to a manifest's.


def _read_spec(value: JSON) -> Members:
    required = frozenset(
        {"partner_id", "trusted_issuers", "max_scope", "max_autonomy_tier", "max_evidence_age_secs"}
    )
    optional = frozenset({"revocation_feed", "sharing_posture", "introductions"})
    members = _object(value, "spec", required, optional)
    tier = parse_tier(_text(members["max_autonomy_tier"], "max-autonomy-tier"))
    spec: Members = {
        "partnerId": _text(members["partner_id"], "partner-id"),
        "trustedIssuers": [
            _read_issuer(each) for each in _items(members["trusted_issuers"], "trusted-issuers")
        ],
        "maxScope": _read_scope(members["max_scope"]),
        "maxAutonomyTier": tier.camel_case,
        "maxEvidenceAgeSeconds": _number(members["max_evidence_age_secs"], "max-evidence-age-secs"),
    }
    if "revocation_feed" in members:
        spec["revocationFeed"] = _read_feed(members["revocation_feed"])
    if "sharing_posture" in members:
        posture = _text(members["sharing_posture"], "sharing-posture")
        spec["sharingPosture"] = _POSTURES.get(posture, SharingPosture.PAIR_SCOPED).value
    if "introductions" in members:
        spec["introductions"] = _read_terms(
            members["introductions"], "introductions", _INTRODUCTIONS, frozenset()
        )
    return spec


def _read_issuer(value: JSON) -> Members:
    if isinstance(value, str):
        return {"publicKey": value}
    return _read_terms(value, "trusted-issuers", _ISSUER, frozenset({"public_key"}))


def _read_scope(value: JSON) -> Members:
    members = _object(value, "max-scope", frozenset(), frozenset({"tool_servers", "tools", "budget"}))
    scope: Members = {}
    if "tool_servers" in members:
        scope["toolServers"] = [
            _text(each, "tool-servers") for each in _items(members["tool_servers"], "tool-servers")
        ]
    if "tools" in members:
        scope["tools"] = [_read_tool(each) for each in _items(members["tools"], "tools")]
    if "budget" in members:
        budget = _object(members["budget"], "budget", frozenset({"units", "currency"}), frozenset())
        scope["budget"] = {
            "units": _number(budget["units"], "budget"),
            "currency": _text(budget["currency"], "budget"),
        }
    return scope


def _read_tool(value: JSON) -> Members:
    members = _object(value, "tools", frozenset({"tool"}), frozenset({"tool_server", "parameter_bounds"}))
    tool: Members = {"tool": _text(members["tool"], "tool")}
    if "tool_server" in members:
        tool["toolServer"] = _text(members["tool_server"], "tool-server")
    bounds: Members = {}
    values: Members = {}
    for name, bound in _mapping(members.get("parameter_bounds", {}), "parameter-bounds").items():
        if type(bound) is int:
            bounds[name] = bound
        else:
            values[name] = _read_values(bound)
    return (
        tool
        | ({"parameterBounds": bounds} if bounds else {})
        | ({"parameterValues": values} if values else {})
    )


def _read_values(bound: JSON) -> JSON:
    """What a parameter may be, as texts: one value or a list of them."""
    return [_spelt(each) for each in (bound if isinstance(bound, list) else [bound])]


def _spelt(value: JSON) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if type(value) is int else _text(value, "parameter-bounds")


def _read_feed(value: JSON) -> Members:
    if isinstance(value, str):
        return {"url": value}
    return _read_terms(value, "revocation-feed", _FEED, frozenset({"url"}))


def _read_terms(
    value: JSON,
    cause: str,
    names: Mapping[str, tuple[str, Callable[[JSON, str], JSON]]],
    required: frozenset[str],
) -> Members:
    members = _object(value, cause, required, frozenset(names) - required)
    return {names[name][0]: names[name][1](each, cause) for name, each in members.items()}


# Writing: a manifest's members to the contract's.


def _write_issuer(value: JSON) -> JSON:
    issuer = _renamed(_mapping(value, "issuer"), _ISSUER_BACK)
    return issuer["public_key"] if issuer.keys() == {"public_key"} else issuer


def _write_scope(scope: Mapping[str, JSON]) -> Members:
    written: Members = {
        "tool_servers": scope.get("toolServers", []),
        "tools": [_write_tool(_mapping(each, "tools")) for each in _items(scope.get("tools", []), "tools")],
    }
    return written | ({"budget": scope["budget"]} if "budget" in scope else {})


def _write_tool(tool: Mapping[str, JSON]) -> Members:
    written: Members = {"tool": _member(tool, "tool")}
    if "toolServer" in tool:
        written["tool_server"] = tool["toolServer"]
    bounds: Members = {
        **_mapping(tool.get("parameterBounds", {}), "parameter-bounds"),
        **_mapping(tool.get("parameterValues", {}), "parameter-bounds"),
    }
    return written | ({"parameter_bounds": dict(sorted(bounds.items()))} if bounds else {})


def _write_feed(feed: Mapping[str, JSON]) -> JSON:
    terms = {name: value for name, value in feed.items() if name not in _OF_THIS_CLUSTER}
    written = _without(_renamed(terms, _FEED_BACK), _FEED_DEFAULTS)
    return written["url"] if written.keys() == {"url"} else written


def _renamed(members: Mapping[str, JSON], names: Mapping[str, str]) -> Members:
    if not members.keys() <= names.keys():
        raise MalformedDocument("unknown-member")
    return {new: members[old] for old, new in names.items() if old in members}


def _without(members: Members, defaults: Mapping[str, JSON]) -> Members:
    return {name: value for name, value in members.items() if name not in defaults or value != defaults[name]}


# The shapes that both directions share.


def _object(value: JSON, cause: str, required: frozenset[str], optional: frozenset[str]) -> Members:
    members = _mapping(value, cause)
    if not required <= members.keys():
        raise MalformedDocument("missing-member")
    if not members.keys() <= required | optional:
        raise MalformedDocument("unknown-member")
    return members


def _mapping(value: JSON, cause: str) -> Members:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise MalformedDocument(cause)
    return value


def _items(value: JSON, cause: str) -> list[JSON]:
    if not isinstance(value, list):
        raise MalformedDocument(cause)
    return value


def _text(value: JSON, cause: str) -> str:
    if not isinstance(value, str) or not value:
        raise MalformedDocument(cause)
    return value


def _number(value: JSON, cause: str) -> int:
    # type(), not isinstance(): True is an int to Python.
    if type(value) is not int:
        raise MalformedDocument(cause)
    return value


def _texts(value: JSON, cause: str) -> JSON:
    return [_text(each, cause) for each in _items(value, cause)]


def _member(members: Mapping[str, JSON], name: str) -> JSON:
    if name not in members:
        raise MalformedDocument("missing-member")
    return members[name]


_ISSUER: Final[Mapping[str, tuple[str, Callable[[JSON, str], JSON]]]] = {
    "public_key": ("publicKey", _text),
    "not_after": ("notAfter", _text),
}
_FEED: Final[Mapping[str, tuple[str, Callable[[JSON, str], JSON]]]] = {
    "url": ("url", _text),
    "source": ("source", _text),
    "signers": ("signers", _texts),
    "poll_secs": ("pollSeconds", _number),
    "max_staleness_secs": ("maxStalenessSeconds", _number),
}
_INTRODUCTIONS: Final[Mapping[str, tuple[str, Callable[[JSON, str], JSON]]]] = {
    "approval": ("approval", _text),
    "max_validity_secs": ("maxValiditySeconds", _number),
    "allowed_subjects": ("allowedSubjects", _texts),
    "dns_names": ("dnsNames", _texts),
}
_OF_THIS_CLUSTER: Final = frozenset({"verifier", "bearerTokenSecretRef"})
_ISSUER_BACK: Final = {new: old for old, (new, _) in _ISSUER.items()}
_FEED_BACK: Final = {new: old for old, (new, _) in _FEED.items()}
_INTRODUCTIONS_BACK: Final = {new: old for old, (new, _) in _INTRODUCTIONS.items()}

_POSTURES: Final = {
    "pair_scoped": SharingPosture.PAIR_SCOPED,
    "reexport_allowed": SharingPosture.REEXPORT_ALLOWED,
}
_POSTURE_WORDS: Final = {posture.value: word for word, posture in _POSTURES.items()}
_FEED_DEFAULTS: Final[Mapping[str, JSON]] = {
    "source": FeedSource.SIGNED_FEED.value,
    "signers": [],
    "poll_secs": DEFAULT_POLL_SECONDS,
    "max_staleness_secs": DEFAULT_MAX_STALENESS_SECONDS,
}
_INTRODUCTION_DEFAULTS: Final[Mapping[str, JSON]] = {
    "approval": IntroductionApproval.MANUAL.value,
    "max_validity_secs": DEFAULT_INTRODUCTION_SECONDS,
    "allowed_subjects": [],
    "dns_names": [],
}
