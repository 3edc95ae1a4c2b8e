"""Policy documents: the contract's YAML as a FederationPolicy, and back as it was given.

Rules: a file is data: YAML without aliases, tags or two members of one name, and texts that look like times stay
texts. The given document is kept beside the object, as JSON; it is printed back while it says what the object says,
else what the object says is written as a document. What no document can say of a feed (how its server is verified,
its token) is not touched and not shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import yaml

from bilateral.cli.cluster import Object
from bilateral.cli.errors import InputError
from bilateral.cli.files import read_input
from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.documents import (
    DOCUMENT_API_VERSION,
    DOCUMENT_KIND,
    PolicyDocument,
    is_document_of,
    read_document,
    write_document,
)
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON, Limits, parse_json
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.labels import API_VERSION, POLICY_DOCUMENT

DOCUMENT_LIMITS: Final = Limits(max_bytes=128 * 1024, max_depth=16, max_members=8192, max_values=16_384)
_BESIDE = frozenset({"verifier", "bearerTokenSecretRef"})
"""Members of a feed that no document has a word for."""
_EXPECTED = f"expected one document of {DOCUMENT_API_VERSION}, kind {DOCUMENT_KIND}"


class _Loader(yaml.SafeLoader):
    """Reads YAML as JSON would say it."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not read", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise yaml.constructor.ConstructorError(None, None, "names are texts, each once", None)
        return super().construct_mapping(node, deep)


# A time without quotes is a text, as it is in JSON; "on" and "no" are texts as well.
_PLAIN = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _PLAIN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_data(path: str) -> JSON:
    """Read a file of YAML or JSON (``-``: stdin) as data. Raises InputError."""
    data = read_input(path, DOCUMENT_LIMITS.max_bytes)
    try:
        return parse_json(data, DOCUMENT_LIMITS)
    except MalformedDocument:
        pass  # not JSON: YAML
    try:
        loader = _Loader(data.decode("utf-8"))
        try:
            found = loader.get_single_data()
        finally:
            loader.dispose()
        return parse_json(json.dumps(found, allow_nan=False).encode(), DOCUMENT_LIMITS)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError, MalformedDocument):
        raise InputError(
            f"{path} is neither YAML nor JSON as it is read here: expected one document, each member once, and no "
            "aliases or tags"
        ) from None


def load_document(path: str) -> tuple[PolicyDocument, dict[str, JSON]]:
    """Read a policy document: what it says, and itself. Raises InputError."""
    given = load_data(path)
    try:
        document = read_document(given)
    except MalformedDocument as error:
        raise InputError(f"{path}: {error.reason}: {error}: {_EXPECTED}") from None
    if not isinstance(given, dict):
        raise InputError(f"{path}: {_EXPECTED}")
    return document, given


def build_object(document: PolicyDocument, given: Mapping[str, JSON], peer: str) -> Object:
    """Build the FederationPolicy for a document; :func:`judge_object` says whether it is one."""
    return {
        "apiVersion": API_VERSION,
        "kind": FederationPolicy.KIND,
        "metadata": {"name": document.name, "annotations": {POLICY_DOCUMENT: _keep(given)}},
        "spec": {"peer": peer, **document.spec},
    }


def judge_object(obj: Object, path: str) -> str | None:
    """Judge a policy before it is stored. Raises InputError for what breaks a rule of the kind.

    A key that anybody can sign with is no such rule: what names one can be stored, as the examples that the
    contract publishes do, and never counts. That is told as a warning.
    """
    try:
        FederationPolicy.parse(obj).to_policy()
    except InvalidResource as error:
        if error.reason is not Reason.WEAK_KEY:
            raise InputError(f"{path}: {error.reason}: {error}") from None
        return (
            f"{error.reason}: {error.field} is a key for which anybody can make signatures: the policy is stored as "
            "it is, and every call of the partner is refused until the key is replaced"
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return None


def differing_members(spec: Mapping[str, JSON], wanted: Mapping[str, JSON]) -> list[str]:
    """The members in which two specs differ, in the document's words; what no document can say is no difference."""
    old, new = _said(spec), _said(wanted)
    if old is None or new is None:
        return ["spec"]
    names = [
        name for name in (*new, *old) if canonical_bytes(old.get(name)) != canonical_bytes(new.get(name))
    ]
    return list(dict.fromkeys(["peer"] if spec.get("peer") != wanted.get("peer") else [])) + list(
        dict.fromkeys(names)
    )


def build_changes(obj: Object, wanted: Object) -> Object:
    """Build the merge patch that makes ``obj`` say what ``wanted`` says.

    What no document can say of a feed stays, as long as the feed is at the same URL: a token goes nowhere else.
    """
    old, new = dict(obj["spec"]), dict(wanted["spec"])
    was, feed = old.get("revocationFeed"), new.get("revocationFeed")
    if isinstance(was, dict) and isinstance(feed, dict) and was.get("url") == feed.get("url"):
        new["revocationFeed"] = {name: was[name] for name in sorted(_BESIDE & was.keys())} | feed
    return {
        "metadata": {"uid": obj["metadata"]["uid"], "annotations": dict(wanted["metadata"]["annotations"])},
        "spec": _merge_patch(old, new),
    }


def shown_document(obj: Object) -> dict[str, JSON] | None:
    """The document of a policy: as it was given while that holds, else as it is written; None for no policy."""
    spec = _without_beside(obj.get("spec"))
    metadata = obj.get("metadata") or {}
    kept = kept_document(obj)
    if (
        kept is not None
        and is_document_of(kept, spec)
        and kept.get("metadata") == {"name": metadata.get("name")}
    ):
        return kept
    try:
        return write_document(str(metadata.get("name", "")), spec)
    except MalformedDocument:
        return None


def kept_document(obj: Object) -> dict[str, JSON] | None:
    """The document that is kept beside a policy, if there is one that can be read."""
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(POLICY_DOCUMENT)
    if not isinstance(text, str):
        return None
    try:
        kept = parse_json(text.encode("utf-8", "replace"), DOCUMENT_LIMITS)
    except MalformedDocument:
        return None
    return kept if isinstance(kept, dict) else None


def _keep(given: Mapping[str, JSON]) -> str:
    return json.dumps(given, separators=(",", ":"), ensure_ascii=False)


def _said(spec: Mapping[str, JSON]) -> dict[str, JSON] | None:
    try:
        said = write_document("", _without_beside(spec))["spec"]
    except MalformedDocument:
        return None
    return said if isinstance(said, dict) else None


def _without_beside(spec: object) -> dict[str, JSON]:
    if not isinstance(spec, dict):
        return {}
    feed = spec.get("revocationFeed")
    if not isinstance(feed, dict):
        return spec
    return {**spec, "revocationFeed": {name: value for name, value in feed.items() if name not in _BESIDE}}


def _merge_patch(old: Mapping[str, JSON], new: Mapping[str, JSON]) -> dict[str, JSON]:
    """RFC 7396: what is gone becomes null, objects are gone into, all else is replaced."""
    changes: dict[str, JSON] = dict.fromkeys(old.keys() - new.keys())
    for name, value in new.items():
        was = old.get(name)
        if isinstance(value, dict) and isinstance(was, dict):
            changes[name] = _merge_patch(was, value)
        elif name not in old or canonical_bytes(was) != canonical_bytes(value):
            changes[name] = value
    return changes
