"""Introductions that are asked for: when the partner is asked, what of the answers counts, what is said."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.services import Service
from bilateral.protocol.introduction_request import Granted, RequestState, Waiting
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_request import (
    AskFailed,
    Question,
    RequestOutcome,
    RequestView,
    reconcile_request,
)
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.request_schedule import after_answer, after_failure
from bilateral.resources.federationpeer import PeerEndpoint
from bilateral.resources.introduction import Introduction
from unit.pki.material import ED25519_AUTHORITY, P256_AUTHORITY, request

START = datetime(2026, 11, 22, tzinfo=UTC)
NOW = int(START.timestamp())
HOUR = 3600
LIFE = 24 * HOUR
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
ID = "0123456789abcdef0123456789abcdef"
ANOTHER_ID = "f" * 32
PENDING = Waiting(ID, RequestState.PENDING)
ENDPOINT = PeerEndpoint.model_validate({"url": "https://trust.org-b.example", "verifier": {"webPKI": {}}})
SERVICE = Service("org-b-api", "https://api.org-b.example:9443")


def signed(now: int = NOW, *, key: Any = KEY, authority: Any = P256_AUTHORITY, life: int = LIFE) -> Document:
    moment = datetime.fromtimestamp(now, UTC)
    return issue_introduction(authority, request(key), (SERVICE,), life, moment)


def partner(**changes: Any) -> Partner:
    return replace(
        Partner(
            name="org-b",
            uid="peer-uid",
            kernel_id="org-b-kernel",
            trust_domain="org-a",
            withheld=None,
            fresh=True,
            public_key=SigningKey.generate().public_key,
            rotation_due=NOW + 10 * LIFE,
            authorities=(P256_AUTHORITY.certificate,),
            endpoint=ENDPOINT,
        ),
        **changes,
    )


@dataclass
class World:
    """An Introduction whose status is fed back after every look, as the API server would."""

    now: int = NOW
    status: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    view: RequestView = field(
        default_factory=lambda: RequestView(KEY.public_key(), can_ask=True, partner=partner())
    )
    writes: int = 0

    @property
    def resource(self) -> Introduction:
        return Introduction.parse(
            {
                "metadata": {
                    "name": "client1-at-org-b",
                    "namespace": "trust",
                    "uid": "intro-uid",
                    "generation": 1,
                    "annotations": self.annotations,
                },
                "spec": {"request": {"identity": "client1", "peer": "org-b", "services": ["org-b-api"]}},
                "status": self.status,
            }
        )

    def look(self, happened: Waiting | Granted | AskFailed | None = None) -> RequestOutcome:
        outcome = reconcile_request(self.resource, replace(self.view, happened=happened), self.now)
        told = outcome.status.to_wire()
        self.writes += told != self.status
        self.status = json.loads(json.dumps(told))
        allowed = {each.name: each.reasons for each in Introduction.CONDITIONS}
        for each in outcome.status.conditions:
            assert each.reason in allowed[each.type], (each.type, each.reason)
        assert [each.type for each in outcome.status.conditions] == [
            each.name for each in Introduction.CONDITIONS
        ]
        return outcome

    def ask(self, answer: Waiting | Granted | AskFailed) -> RequestOutcome:
        """Look when it is time, and be answered."""
        plan = reconcile_request(self.resource, self.view, self.now)
        assert plan.ask is not None
        return self.look(answer)

    def go_on(self) -> RequestOutcome:
        """Wait until the next question."""
        self.now = self.resource.status.next_request_time or self.now
        return reconcile_request(self.resource, self.view, self.now)

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]

    @property
    def conditions(self) -> list[tuple[str, str]]:
        return [self.condition(kind) for kind in ("Ready", "Approved", "Issued", "Installed")]


@pytest.fixture
def world() -> World:
    return World()


def granted(document: Document, request_id: str = ID) -> Granted:
    return Granted(request_id, document.to_json())


def test_a_new_one_is_asked_for_at_once(world: World) -> None:
    assert world.look().ask is Question.REQUEST


def test_while_a_person_must_approve_the_question_is_repeated_by_its_id_less_and_less_often(
    world: World,
) -> None:
    world.ask(PENDING)
    assert world.conditions == [
        ("Unknown", "RequestPending"),
        ("Unknown", "RequestPending"),
        ("Unknown", "RequestPending"),
        ("Unknown", "RequestPending"),
    ]
    assert world.condition("Stalled") == ("False", "Settled")
    assert world.resource.status.request_id == ID
    waits = []
    for _ in range(12):
        before = world.now
        assert world.go_on().ask is Question.STATUS
        waits.append(world.now - before)
        world.look(PENDING)
    assert 27 <= waits[0] <= 30
    assert all(late >= early * 0.9 for early, late in pairwise(waits))
    assert 270 <= waits[-1] <= 300


def test_looks_in_between_ask_nothing_and_write_nothing(world: World) -> None:
    world.ask(PENDING)
    writes = world.writes
    for _ in range(5):
        world.now += 3
        assert world.look().ask is None
    assert world.writes == writes


def test_what_was_granted_is_installed_and_told(world: World) -> None:
    document = signed()
    world.ask(granted(document))
    assert world.conditions == [
        ("True", "Ready"),
        ("True", "Approved"),
        ("True", "Issued"),
        ("True", "Installed"),
    ]
    status = world.resource.status
    assert status.introduction == document.to_json()
    assert (status.serial, status.subject, status.authority_fingerprint) == (
        document.serial,
        "CN=client1",
        document.authority_fingerprint,
    )
    assert status.not_after == NOW + LIFE
    assert status.renewal_time is not None
    assert NOW + LIFE * 2 // 3 <= status.renewal_time <= NOW + LIFE * 2 // 3 + LIFE // 20
    assert status.next_request_time == status.renewal_time
    writes = world.writes
    world.now += HOUR
    assert world.look().ask is None
    assert world.writes == writes


def test_the_next_one_is_asked_for_when_two_thirds_are_over_until_it_is_another(world: World) -> None:
    old = signed()
    world.ask(granted(old))
    assert world.go_on().ask is Question.STATUS
    world.look(granted(old))  # not signed anew yet
    assert world.condition("Ready") == ("True", "Ready")
    assert 27 <= (world.resource.status.next_request_time or 0) - world.now <= 30
    assert world.go_on().ask is Question.STATUS
    new = signed(world.now)
    world.look(granted(new))
    assert world.resource.status.serial == new.serial
    assert world.resource.status.not_after == world.now + LIFE


def test_a_failed_renewal_takes_nothing_away_until_the_end(world: World) -> None:
    world.ask(granted(signed()))
    end = NOW + LIFE
    asked = 0
    while world.go_on().ask is not None and world.now <= end:
        world.look(AskFailed(Reason.CONNECTION_FAILED))
        asked += 1
        assert world.condition("Ready") == ("True", "Ready")
        assert world.condition("Issued") == ("False", "ConnectionFailed")
        assert world.resource.status.introduction is not None
    assert asked < LIFE // 3 // 60
    world.now = end + 1
    world.look(AskFailed(Reason.CONNECTION_FAILED))
    assert world.condition("Ready")[0] == "False"
    assert world.resource.status.introduction is None


REFUSED: dict[str, tuple[Granted, str]] = {
    "for another key": (granted(signed(key=OTHER)), "IdentityKeyMismatch"),
    "by another authority": (granted(signed(authority=ED25519_AUTHORITY)), "AuthorityNotPinned"),
    "long over": (granted(signed(NOW - 1200, life=600)), "IntroductionExpired"),
    "no introduction": (Granted(ID, '{"signed_cert": "c4n4ry"}'), "IntroductionInvalid"),
    "no JSON": (Granted(ID, "c4n4ry"), "IntroductionInvalid"),
    "a hostile alias": (
        Granted(ID, json.dumps({**json.loads(signed().to_json()), "services": {"../c4n4ry": "https://a.b"}})),
        "IntroductionInvalid",
    ),
}


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_answer_that_is_not_accepted_goes_nowhere(answer: Granted, reason: str, world: World) -> None:
    world.ask(answer)
    assert world.condition("Ready") == ("False", reason)
    assert world.condition("Installed") == ("False", reason)
    assert world.resource.status.introduction is None
    assert "c4n4ry" not in json.dumps(world.status)
    assert world.go_on().ask is not None  # it is asked again: their side may have corrected it


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_nor_does_it_replace_a_good_one(answer: Granted, reason: str, world: World) -> None:
    good = signed()
    world.ask(granted(good))
    world.go_on()
    world.look(answer)
    assert world.resource.status.introduction == good.to_json()
    assert world.condition("Ready") == ("True", "Ready")
    assert world.condition("Issued") == ("False", reason)


def test_another_key_is_asked_for_anew(world: World) -> None:
    """The identity's key was lost: the partner's answer to the old id is for the old key."""
    world.ask(granted(signed()))
    world.view = replace(world.view, public_key=OTHER.public_key())
    assert world.look().ask is Question.REQUEST
    assert world.resource.status.introduction is None
    assert world.condition("Ready") == ("False", "IdentityKeyMismatch")
    new = signed(key=OTHER)
    world.look(granted(new, ANOTHER_ID))
    assert (world.resource.status.request_id, world.resource.status.serial) == (ANOTHER_ID, new.serial)


def test_a_denial_removes_what_was_granted_and_is_asked_about_every_hour(world: World) -> None:
    world.ask(granted(signed()))
    world.go_on()
    world.look(AskFailed(Reason.DENIED))
    assert world.conditions == [("False", "Denied")] * 4
    assert world.resource.status.introduction is None
    assert world.condition("Stalled") == ("True", "NeedsAttention")
    assert (world.resource.status.next_request_time or 0) - world.now == HOUR
    assert world.look().ask is None
    assert world.go_on().ask is Question.STATUS
    world.look(AskFailed(Reason.DENIED))
    assert world.conditions == [("False", "Denied")] * 4
    world.go_on()
    world.look(PENDING)
    assert world.condition("Approved") == ("Unknown", "RequestPending")


def test_a_request_that_the_partner_forgot_is_made_anew(world: World) -> None:
    world.ask(PENDING)
    world.go_on()
    world.look(AskFailed(Reason.UNKNOWN_REQUEST))
    outcome = reconcile_request(world.resource, world.view, world.now)
    assert outcome.ask is Question.REQUEST
    world.look(replace(PENDING, id=ANOTHER_ID))
    assert world.resource.status.request_id == ANOTHER_ID


def test_a_partner_that_never_knows_it_is_not_asked_in_a_loop(world: World) -> None:
    world.ask(AskFailed(Reason.UNKNOWN_REQUEST))
    assert (world.resource.status.next_request_time or 0) > world.now


FAILURES = [
    (Reason.CONNECTION_FAILED, "False", "False"),
    (Reason.TLS_VERIFICATION_FAILED, "False", "True"),
    (Reason.ANSWER_TIMEOUT, "False", "False"),
    (Reason.AWAITING_PARTNER, "Unknown", "False"),
    (Reason.REFUSED_BY_PARTNER, "False", "True"),
    (Reason.CLOCK_SKEW_EXCEEDED, "False", "False"),
    (Reason.SUBJECT_REFUSED, "False", "True"),
    (Reason.DESTINATION_REFUSED, "False", "True"),
    (Reason.SECRET_NOT_FOUND, "False", "True"),
    (Reason.TOO_MANY_REQUESTS, "False", "False"),
]


@pytest.mark.parametrize(("reason", "ready", "stalled"), FAILURES)
def test_a_failure_is_said_and_tried_again(reason: Reason, ready: str, stalled: str, world: World) -> None:
    world.ask(AskFailed(reason))
    assert world.condition("Ready") == (ready, reason)
    assert world.condition("Stalled")[0] == stalled
    assert world.resource.status.consecutive_failures == 1
    assert world.look().ask is None
    assert world.condition("Ready") == (ready, reason)  # a later look says the same
    assert world.go_on().ask is Question.REQUEST
    world.look(PENDING)
    assert world.resource.status.consecutive_failures == 0
    assert world.condition("Ready") == ("Unknown", "RequestPending")


def test_a_partner_may_ask_us_to_wait(world: World) -> None:
    world.ask(AskFailed(Reason.TOO_MANY_REQUESTS, 600))
    assert (world.resource.status.next_request_time or 0) == NOW + 600


BLOCKED: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "no peer": ({"partner": None}, ("False", "PeerNotFound")),
    "stale": (
        {"partner": partner(withheld=Reason.PEER_STALE, fresh=False, authorities=(), public_key=None)},
        ("False", "PeerStale"),
    ),
    "suspended": (
        {"partner": partner(withheld=Reason.SUSPENDED, fresh=False, authorities=(), public_key=None)},
        ("False", "Suspended"),
    ),
    "no endpoint": ({"partner": partner(endpoint=None)}, ("False", "NoEndpoint")),
    "no authority": ({"partner": partner(authorities=())}, ("False", "AuthorityUnknown")),
    "no identity": ({"public_key": None}, ("Unknown", "AwaitingIdentity")),
    "a key that cannot ask": ({"can_ask": False}, ("Unknown", "AwaitingIdentity")),
    "we may not sign": ({"speechless": True}, ("Unknown", "TrustDomainNotReady")),
}


@pytest.mark.parametrize(("changes", "ready"), BLOCKED.values(), ids=BLOCKED)
def test_nobody_is_asked_where_an_answer_could_not_be_judged(
    changes: dict[str, Any], ready: tuple[str, str], world: World
) -> None:
    good = world.view
    world.view = replace(good, **changes)
    assert world.look().ask is None
    assert world.condition("Ready") == ready
    world.view = good
    assert world.look().ask is Question.REQUEST


@pytest.mark.parametrize("name", ["stale", "suspended", "no peer"])
def test_a_partner_that_ends_takes_the_chain_and_gives_it_back_when_it_is_fresh_again(
    name: str, world: World
) -> None:
    document = signed()
    world.ask(granted(document))
    good, (changes, ready) = world.view, BLOCKED[name]
    world.view = replace(good, **changes)
    world.look()
    assert world.condition("Installed") == ready
    assert world.resource.status.introduction == document.to_json()
    world.view = good
    assert world.look().ask is None
    assert world.condition("Installed") == ("True", "Installed")


def test_what_their_list_withdraws_leaves(world: World) -> None:
    document = signed()
    world.ask(granted(document))
    moment = datetime.fromtimestamp(NOW, UTC)
    entry = Revocation(document.certificate.serial_number, moment)
    listed = renew_revocation_list(P256_AUTHORITY, [entry], None, lifetime_seconds=HOUR, now=moment)
    world.view = replace(world.view, partner=partner(revocations={document.slug: listed}))
    assert world.look().ask is Question.STATUS
    assert world.condition("Ready") == ("False", "IntroductionInvalid")
    assert world.resource.status.introduction is None


def test_an_answer_that_came_while_the_partner_ended_is_not_installed(world: World) -> None:
    world.look()
    world.view = replace(world.view, partner=partner(withheld=Reason.SUSPENDED, fresh=False, authorities=()))
    world.look(granted(signed()))
    assert world.resource.status.introduction is None
    assert world.condition("Ready") == ("False", "Suspended")
    # What came says nothing about it: neither a failure nor an answer is remembered.
    status = world.resource.status
    assert (status.consecutive_failures, status.request_id, status.next_request_time) == (0, None, None)


def test_reconcile_now_asks_now_once(world: World) -> None:
    world.ask(PENDING)
    world.annotations = {"bilateral.dev/reconcile-now": "please"}
    assert world.look().ask is Question.STATUS
    assert world.resource.status.reconciled_now == "please"
    world.look(PENDING)
    assert world.look().ask is None


def test_a_date_written_by_hand_puts_nothing_off(world: World) -> None:
    world.ask(granted(signed()))
    world.status["nextRequestTime"] = "2999-01-01T00:00:00Z"
    outcome = world.look()
    assert outcome.next_at is not None
    assert outcome.next_at < NOW + LIFE
    waiting = World()
    waiting.ask(PENDING)
    waiting.status["nextRequestTime"] = "2999-01-01T00:00:00Z"
    outcome = waiting.look()
    assert outcome.next_at is not None
    assert outcome.next_at <= NOW + HOUR


def test_a_status_written_by_hand_installs_nothing(world: World) -> None:
    world.status = {"introduction": signed(authority=ED25519_AUTHORITY).to_json(), "requestId": ID}
    world.look()
    assert world.condition("Installed") == ("False", "AuthorityNotPinned")
    world.status = {"introduction": "{c4n4ry}", "requestId": ID}
    world.look()
    assert world.condition("Installed") == ("False", "IntroductionInvalid")
    assert "c4n4ry" not in json.dumps(world.status)


def test_a_thousand_objects_do_not_ask_in_one_second() -> None:
    answers = {after_answer(f"uid-{n}", 200, NOW) for n in range(1000)}
    failures = {after_failure(f"uid-{n}", 9, NOW) for n in range(1000)}
    assert len(answers) > 25
    assert len(failures) > 100
    assert max(failures) <= NOW + 300
