"""The reference is as generated, complete, and true of what the decisions say."""

import itertools
from pathlib import Path

import pytest

from bilateral.protocol.handshake import Pin
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.peer import REFUSED_BY_THEM
from bilateral.reconcile.peer_conditions import wanted_conditions
from bilateral.reconcile.peer_status import Findings, Standing
from bilateral.reconcile.sentences import SENTENCES
from bilateral.reference import build_reference, main
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.kinds import KINDS
from bilateral.resources.meta import Resource
from bilateral.resources.schema import build_schema
from unit.resources.manifests import FEDERATION_PEER, KEY, REMOVE, changed

REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"
PEERS = [FEDERATION_PEER, changed(FEDERATION_PEER, {"spec.endpoint": REMOVE})]
BLOCKED = (
    Reason.TRUST_DOMAIN_NOT_FOUND,
    Reason.SUSPENDED,
    Reason.CLOCK_REGRESSED,
    Reason.KERNEL_ID_MISMATCH,
    Reason.OWN_KEY_AS_ANCHOR,
    Reason.KERNEL_ID_CONFLICT,
    Reason.CREDENTIAL_CONFLICT,
    Reason.TRUST_DOMAIN_NOT_READY,
)
FAILURES = (
    *REFUSED_BY_THEM,
    Reason.DESTINATION_REFUSED,
    Reason.TLS_VERIFICATION_FAILED,
    Reason.ANSWER_INVALID,
    Reason.INVALID_SIGNATURE,
)

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)


def test_the_checked_in_file_is_the_generated_one() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == build_reference()


def test_check_tells_a_changed_file(tmp_path: Path) -> None:
    file = tmp_path / "reference.md"
    assert main([str(file)]) == 0
    assert main(["--check", str(file)]) == 0
    file.write_text("changed", encoding="utf-8")
    assert main(["--check", str(file)]) == 1


@kinds
def test_every_field_condition_and_column_is_there(kind: type[Resource]) -> None:
    text = build_reference()
    members = build_schema(kind)["properties"]
    for part in ("spec", "status"):
        assert all(f"| `{name}` |" in text for name in members[part]["properties"])
    assert all(f"| `{condition.name}` |" in text for condition in kind.CONDITIONS)
    assert all(f"| {column.name}" in text for column in kind.COLUMNS)


@kinds
def test_every_reason_of_a_condition_has_its_sentence(kind: type[Resource]) -> None:
    assert {reason for condition in kind.CONDITIONS for reason in condition.reasons} <= SENTENCES.keys()
    assert all(len(set(condition.reasons)) == len(condition.reasons) for condition in kind.CONDITIONS)


@pytest.mark.parametrize("manifest", PEERS, ids=["with an endpoint", "without an endpoint"])
def test_a_peers_conditions_carry_only_the_listed_reasons(manifest: dict[str, object]) -> None:
    peer = FederationPeer.parse(manifest)
    listed = {condition.name: condition.reasons for condition in FederationPeer.CONDITIONS}
    for found in _everything_that_can_be_found():
        wanted = wanted_conditions(peer, found)
        assert list(wanted) == list(listed)
        for name, condition in wanted.items():
            assert condition.reason in listed[name], (name, condition.reason)


def _everything_that_can_be_found() -> list[Findings]:
    key = parse_public_key(KEY)
    pin = Pin(key, 100, 200, 100, ())
    combinations = itertools.product(
        Standing,
        (None, *BLOCKED),
        (None, *FAILURES),
        (None, True, False),
        ((), (key,)),
        (None, 5),
        (False, True),
    )
    return [
        Findings(
            now=150,
            blocked=blocked,
            speechless=speechless,
            bearer_token_missing=missing,
            anchors=anchors,
            pin=None if standing is Standing.NONE else pin,
            seal=None,
            standing=standing,
            failures=0 if failure is None else 1,
            failure=failure,
            acknowledged=acknowledged,
            skew_seconds=skew,
            skew_exceeded=failure is Reason.CLOCK_SKEW_EXCEEDED,
            last_attempt=None,
            next_handshake=None,
            unexpected_key=None,
            offer=None,
        )
        for standing, blocked, failure, acknowledged, anchors, skew, speechless in combinations
        for missing in (False, True)
    ]
