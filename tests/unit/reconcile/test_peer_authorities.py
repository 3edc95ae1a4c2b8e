"""A partner's authorities at every look: fetched, kept, refused, withdrawn, and asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.partners import _WITHHELD
from bilateral.reconcile.peer import Direction, Failed, PeerOutcome, Received
from bilateral.reconcile.peer_authorities import FAILED
from bilateral.resources.condition_types import REFUSED_SPEC
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.times import parse_time

from .announcing import DAY, LIFE, NEW, OLD, make, statement
from .conftest import NEXT, NOW, STRANGER, THEIRS, WINDOW, World, envelope

BLOCKED = {
    Reason.TRUST_DOMAIN_NOT_FOUND,
    Reason.SUSPENDED,
    Reason.CLOCK_REGRESSED,
    Reason.KERNEL_ID_MISMATCH,
    Reason.OWN_KEY_AS_ANCHOR,
    Reason.KERNEL_ID_CONFLICT,
    Reason.CREDENTIAL_CONFLICT,
    Reason.TRUST_DOMAIN_NOT_READY,
}
MISSING = Fetched(reason=Reason.NOT_ANNOUNCED)
AWAY = Fetched(reason=Reason.CONNECTION_FAILED)


@dataclass
class Known(World):
    """A peer with the Secret of its authorities, and the engine's memory of what it planned."""

    held: Mapping[str, bytes] | None = None
    planned: int | None = None
    secret_writes: int = 0

    def look(self, happened: Any = None) -> PeerOutcome:
        self.view = replace(self.view, authorities=self.held, asking_planned=self.planned)
        outcome = super().look(happened)
        found = outcome.findings.authorities
        self.planned = found.ask_at
        if found.data is not None and found.data != self.held:
            self.held = found.data
            self.secret_writes += 1
        return outcome

    def shake(self, fetched: Fetched | None, **how: Any) -> PeerOutcome:
        """A handshake of ours, with what came behind it."""
        made = envelope(timestamp=self.now, nonce=f"nonce-{self.now}", **how)
        return self.look(Received(made, Direction.ANSWER, statement=fetched))

    def restart(self) -> None:
        self.planned = None

    @property
    def authorities(self) -> tuple[str, str]:
        return self.condition("AuthoritiesKnown")

    @property
    def secret(self) -> dict[str, bytes]:
        return dict(self.held or {})

    @property
    def bundle(self) -> bytes:
        return b"" if self.held is None else self.held["ca.crt"]


@pytest.fixture
def peer() -> Known:
    return Known()


@pytest.fixture
def known(peer: Known) -> Known:
    peer.look()
    peer.shake(Fetched(statement(NEW, OLD)))
    assert peer.authorities == ("True", "AuthoritiesAnnounced")
    return peer


def test_before_the_first_handshake_nothing_is_known(peer: Known) -> None:
    outcome = peer.look()
    assert peer.authorities == ("False", "PeerNotPinned")
    assert not outcome.statement_due
    assert peer.held is None


def test_what_came_behind_the_handshake_counts(known: Known) -> None:
    assert known.bundle == NEW.certificate_pem + OLD.certificate_pem
    assert known.status["certificateAuthorities"] == [
        {
            "subject": "CN=Org B CA,O=Org B",
            "fingerprint": certificate_fingerprint(each.certificate),
            "notAfter": known.status["certificateAuthorities"][0]["notAfter"],
        }
        for each in (NEW, OLD)
    ]
    assert known.secret_writes == 1


def test_behind_a_refused_envelope_nothing_counts(peer: Known) -> None:
    peer.look()
    peer.shake(Fetched(statement()), key=STRANGER)
    assert peer.held is None
    assert peer.authorities == ("False", "PeerNotPinned")


def test_behind_another_key_not_even_a_good_statement_counts(known: Known) -> None:
    held = known.held
    known.now += 10
    known.shake(Fetched(statement(NEW, signed=10)), key=STRANGER)
    assert known.condition("AcknowledgedByPeer")[1] == "UnexpectedPeerKey"
    assert known.held == held


def test_a_look_later_writes_nothing(known: Known) -> None:
    writes = known.writes, known.secret_writes
    for _ in range(3):
        known.now += 60
        outcome = known.look()
        assert not outcome.statement_due
    assert (known.writes, known.secret_writes) == writes


def test_a_renewal_with_the_same_statement_is_one_write(known: Known) -> None:
    known.now = parse_time(known.status["nextHandshakeTime"])
    writes, document = known.writes, known.secret["statement.json"]
    known.shake(Fetched(document))
    assert known.writes == writes + 1
    assert known.secret_writes == 1


def test_a_renewal_with_a_newer_statement_is_one_write_each(known: Known) -> None:
    known.now = parse_time(known.status["nextHandshakeTime"])
    writes = known.writes
    known.shake(Fetched(statement(NEW, OLD, signed=known.now - NOW)))
    assert known.writes == writes + 1
    assert known.secret_writes == 2


def test_a_statement_that_is_held_is_asked_for_within_the_hour(known: Known) -> None:
    assert known.planned is not None
    assert NOW + 3600 * 9 // 10 <= known.planned <= NOW + 3600
    known.now = known.planned - 1
    assert not known.look().statement_due
    known.now += 1
    assert known.look().statement_due
    before = known.writes
    outcome = known.look(Fetched(statement(NEW, OLD)))
    assert not outcome.statement_due
    assert known.planned is not None
    assert known.planned > known.now + 3000
    assert known.writes == before


def test_the_next_look_is_not_later_than_the_next_question(known: Known) -> None:
    outcome = known.look()
    assert outcome.next_at is not None
    assert known.planned is not None
    assert outcome.next_at <= known.planned


def test_after_a_restart_the_questions_are_spread() -> None:
    asked = []
    for number in range(50):
        other = Known(uid=f"uid-{number}")
        other.look()
        other.shake(Fetched(statement(NEW, OLD)))
        other.restart()
        outcome = other.look()
        assert other.planned is not None
        asked.append(other.planned - NOW)
        assert not outcome.statement_due or asked[-1] == 0
    assert max(asked) - min(asked) > 2500


def test_who_announces_nothing_is_not_asked_again_by_itself(peer: Known) -> None:
    peer.look()
    peer.shake(MISSING)
    assert peer.authorities == ("Unknown", "NotAnnounced")
    assert peer.held is None
    assert peer.planned is None
    writes = peer.writes
    for _ in range(5):
        peer.now += 3600
        assert not peer.look().statement_due
    peer.restart()
    assert not peer.look().statement_due
    assert peer.writes == writes
    # The next handshake asks again, and it is one write as ever.
    peer.now = parse_time(peer.status["nextHandshakeTime"])
    peer.shake(MISSING)
    assert peer.writes == writes + 1


def test_another_failure_is_tried_again_after_five_minutes(peer: Known) -> None:
    peer.look()
    peer.shake(AWAY)
    assert peer.authorities == ("Unknown", "ConnectionFailed")
    assert peer.planned == NOW + 300
    peer.now += 299
    assert not peer.look().statement_due
    peer.now += 1
    assert peer.look().statement_due
    peer.look(Fetched(statement()))
    assert peer.authorities == ("True", "AuthoritiesAnnounced")


def test_a_partner_may_ask_us_to_wait_longer(peer: Known) -> None:
    peer.look()
    peer.shake(Fetched(reason=Reason.TOO_MANY_REQUESTS, retry_after_seconds=1000))
    assert peer.planned == NOW + 1000


def test_a_partner_that_is_just_starting_is_asked_when_it_says_so(peer: Known) -> None:
    """The first five minutes of a pin; whoever is not ready then is asked every five minutes."""
    starting = Fetched(reason=Reason.TOO_MANY_REQUESTS, retry_after_seconds=50)
    peer.look()
    peer.shake(starting)
    for wait in (50, 50, 50, 50, 50, 50, 300, 300):
        assert peer.planned == peer.now + wait
        peer.now += wait
        assert peer.look().statement_due
        peer.look(starting)


def test_after_a_restart_a_failure_is_tried_again_soon(peer: Known) -> None:
    peer.look()
    peer.shake(AWAY)
    peer.restart()
    peer.look()
    assert peer.planned is not None
    assert NOW <= peer.planned <= NOW + 300


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"nonsense", "StatementInvalid"),
        (statement(key=STRANGER), "StatementInvalid"),
        (statement(sequence=NOW - 1), "StatementRegressed"),
        (statement(signed=-LIFE, sequence=NOW + 5), "StatementExpired"),
    ],
)
def test_what_does_not_count_changes_nothing_but_the_reason(
    known: Known, document: bytes, reason: str
) -> None:
    held = known.held
    known.look(Fetched(document))
    assert known.held == held
    assert known.authorities == ("True", reason)
    assert known.planned == NOW + 300
    # It is told until a good one comes.
    known.now += 10
    known.look()
    assert known.authorities == ("True", reason)
    known.look(Fetched(statement(NEW, OLD, signed=10)))
    assert known.authorities == ("True", "AuthoritiesAnnounced")


def test_a_question_that_fails_leaves_what_is_held(known: Known) -> None:
    held, writes = known.held, known.writes
    known.look(AWAY)
    assert known.held == held
    assert known.writes == writes
    known.look(MISSING)
    assert known.held == held
    assert known.authorities == ("True", "AuthoritiesAnnounced")


def test_a_statement_ends_by_itself(peer: Known) -> None:
    peer.edit(handshake={"rotationWindowSeconds": 3 * DAY})
    peer.look()
    peer.shake(Fetched(statement()))
    peer.now = NOW + LIFE - 1
    peer.look()
    assert peer.authorities == ("True", "AuthoritiesAnnounced")
    peer.now += 1
    outcome = peer.look()
    assert peer.authorities == ("False", "StatementExpired")
    assert outcome.statement_due
    assert peer.held == {"ca.crt": NOBODY_PEM, "sequence": str(NOW).encode()}
    assert "certificateAuthorities" not in peer.status


def suspend(peer: Known) -> None:
    peer.edit(state="Suspended")


def grow_stale(peer: Known) -> None:
    peer.now = NOW + WINDOW


def change_the_anchors(peer: Known) -> None:
    peer.edit(trustAnchors=[{"publicKey": NEXT.public_key.canonical}])


def tamper(peer: Known) -> None:
    peer.status["pin"]["seal"] = "0" * 64


def share(peer: Known) -> None:
    peer.view = replace(peer.view, shared_fingerprint=True)


@pytest.mark.parametrize("happen", [suspend, grow_stale, change_the_anchors, tamper, share])
def test_what_may_not_be_derived_is_withdrawn_at_once(known: Known, happen: Any) -> None:
    happen(known)
    outcome = known.look()
    assert known.held == {"ca.crt": NOBODY_PEM, "sequence": str(NOW).encode()}
    assert known.authorities[0] == "False"
    assert "certificateAuthorities" not in known.status
    assert not outcome.statement_due
    assert outcome.findings.authorities.authorities == ()


def test_with_a_trouble_of_ours_the_statement_stays_and_counts_again(known: Known) -> None:
    known.view = replace(known.view, clock_regressed=True)
    known.look()
    assert known.bundle == NOBODY_PEM
    assert known.authorities == ("False", "ClockRegressed")
    known.view = replace(known.view, clock_regressed=False)
    outcome = known.look()
    assert not outcome.statement_due
    assert known.authorities == ("True", "AuthoritiesAnnounced")
    assert known.bundle == NEW.certificate_pem + OLD.certificate_pem


def test_retain_keeps_a_stale_partners_authorities_until_the_statement_ends(known: Known) -> None:
    known.edit(onStale="Retain")
    known.now = NOW + WINDOW
    outcome = known.look()
    assert known.bundle == NEW.certificate_pem + OLD.certificate_pem
    assert not outcome.statement_due
    known.now = NOW + LIFE
    known.look()
    assert known.bundle == NOBODY_PEM


def test_once_withdrawn_an_older_statement_does_not_come_back(known: Known) -> None:
    suspend(known)
    known.look()
    known.edit(state="Active")
    known.now += 100
    known.shake(Fetched(statement(NEW, OLD, sequence=NOW - 1)))
    assert known.authorities == ("False", "StatementRegressed")
    assert known.bundle == NOBODY_PEM


def test_fresh_again_by_their_envelope_the_statement_is_asked_for_by_itself(known: Known) -> None:
    grow_stale(known)
    known.look()
    known.look(Received(envelope(timestamp=known.now, nonce="again"), Direction.INBOUND))
    outcome = known.look()
    assert outcome.statement_due or outcome.handshake_due
    known.look(Fetched(statement(NEW, OLD, signed=WINDOW)))
    assert known.authorities == ("True", "AuthoritiesAnnounced")


def test_a_secret_that_was_lost_is_filled_again(known: Known) -> None:
    known.held = None
    outcome = known.look()
    assert outcome.statement_due
    known.look(Fetched(statement(NEW, OLD)))
    assert known.bundle == NEW.certificate_pem + OLD.certificate_pem


@pytest.mark.parametrize(
    "changes",
    [
        {"statement.json": statement(key=STRANGER)},
        {"statement.json": b""},
        {"sequence": str(NOW + 1).encode()},
    ],
    ids=["another's", "empty", "an older one"],
)
def test_what_is_held_is_never_trusted_as_found(known: Known, changes: dict[str, bytes]) -> None:
    known.held = {**known.secret, **changes}
    known.look()
    assert known.bundle == NOBODY_PEM
    assert known.authorities[0] != "True"


def test_an_authority_that_somebody_adds_to_the_bundle_is_taken_out(known: Known) -> None:
    held = known.secret
    known.held = {**held, "ca.crt": held["ca.crt"] + make("Somebody").certificate_pem}
    outcome = known.look()
    assert known.held == held
    assert len(outcome.findings.authorities.authorities) == 2


def test_a_name_that_is_taken_is_said_and_nothing_counts(peer: Known) -> None:
    peer.look()
    peer.view = replace(peer.view, authorities_taken=True)
    outcome = peer.shake(Fetched(statement()))
    assert peer.authorities == ("False", "SecretConflict")
    assert outcome.findings.authorities.authorities == ()
    assert outcome.findings.authorities.data is not None, "it is tried, should the name be free by now"


def test_without_an_endpoint_nobody_is_asked(peer: Known) -> None:
    peer.edit(endpoint=None)
    peer.look(Received(envelope(), Direction.INBOUND))
    assert peer.authorities == ("Unknown", "NotObserved")
    assert not peer.look().statement_due


# Pinned


def pem(*authorities: Any) -> list[str]:
    return [each.certificate_pem.decode() for each in authorities]


def test_pinned_authorities_need_no_statement(peer: Known) -> None:
    peer.edit(certificateAuthorities={"mode": "Pinned", "pems": pem(NEW)})
    peer.look()
    assert peer.held is None
    peer.shake(None)
    assert peer.authorities == ("True", "AuthoritiesPinned")
    assert peer.secret == {"ca.crt": NEW.certificate_pem}
    assert peer.planned is None
    grow_stale(peer)
    peer.look()
    assert peer.secret == {"ca.crt": NOBODY_PEM}


def test_a_statement_does_not_widen_what_a_person_pinned(peer: Known) -> None:
    peer.edit(certificateAuthorities={"mode": "Pinned", "pems": pem(NEW)})
    peer.look()
    peer.shake(Fetched(statement(OLD)))
    assert peer.held == {"ca.crt": NEW.certificate_pem}


def test_from_announced_to_pinned_and_back_the_sequence_stays(known: Known) -> None:
    known.edit(certificateAuthorities={"mode": "Pinned", "pems": pem(OLD)})
    known.look()
    assert known.held == {"ca.crt": OLD.certificate_pem, "sequence": str(NOW).encode()}
    known.edit(certificateAuthorities=None)
    known.now += 10
    known.shake(Fetched(statement(sequence=NOW - 1)))
    assert known.authorities == ("False", "StatementRegressed")
    known.look(Fetched(statement(signed=10)))
    assert known.authorities == ("True", "AuthoritiesAnnounced")


def test_a_pinned_authority_ends_with_its_certificate(peer: Known) -> None:
    peer.edit(
        certificateAuthorities={"mode": "Pinned", "pems": pem(make("Short CA", days=1))},
        handshake={"rotationWindowSeconds": 3 * DAY},
    )
    peer.look()
    outcome = peer.shake(None)
    assert outcome.findings.authorities.changes_at == NOW + DAY + 1
    peer.now = NOW + DAY + 1
    peer.look()
    assert peer.authorities == ("False", "AuthorityExpired")
    assert peer.bundle == NOBODY_PEM


def test_a_handshake_that_fails_says_nothing_of_the_authorities(known: Known) -> None:
    known.now = parse_time(known.status["nextHandshakeTime"])
    held = known.held
    known.look(Failed(Reason.CONNECTION_FAILED))
    assert known.held == held
    assert known.authorities == ("True", "AuthoritiesAnnounced")
    assert THEIRS.public_key.canonical == known.status["pin"]["publicKey"]


def test_the_condition_may_carry_whatever_a_look_can_say() -> None:
    (listed,) = (each for each in FederationPeer.CONDITIONS if each.name == "AuthoritiesKnown")
    withheld = {*BLOCKED, *_WITHHELD.values()}
    judged = {
        Reason.AUTHORITIES_ANNOUNCED,
        Reason.AUTHORITIES_PINNED,
        Reason.AUTHORITY_EXPIRED,
        Reason.AUTHORITY_INVALID,
        Reason.NOT_OBSERVED,
        Reason.SECRET_CONFLICT,
    }
    assert set(listed.reasons) >= withheld | judged | FAILED
    assert set(listed.reasons) - withheld - judged - FAILED <= {*REFUSED_SPEC}
