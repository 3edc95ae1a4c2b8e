"""A partner's statement: what counts, and everything for which it does not."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import (
    Announced,
    accept_statement,
    bundle_of,
    content_of,
    read_sequence,
    withdrawn_content,
)
from unit.pki.material import certificate

from .announcing import DAY, LIFE, NEW, OLD, list_of, make, statement
from .conftest import NOW, OURS, STRANGER, THEIRS

SKEW = 300


def judge(document: bytes, *, now: int = NOW, last: int = 0, kernel_id: str = "org-b-kernel") -> Any:
    return accept_statement(
        document,
        signer=THEIRS.public_key,
        kernel_id=kernel_id,
        last_sequence=last,
        max_skew_seconds=SKEW,
        now=now,
    )


def accepted(document: bytes, **how: Any) -> Announced:
    found = judge(document, **how)
    assert isinstance(found, Announced), found
    return found


def test_a_statement_counts_with_its_authorities_and_lists() -> None:
    document = statement(NEW, OLD, lists=[list_of(NEW, 7), list_of(OLD, 8, 9)])
    found = accepted(document)
    assert found.authorities == (NEW.certificate, OLD.certificate)
    assert {slug: set(each.entries) for slug, each in found.revocations.items()} == {
        build_slug(NEW.certificate): {7},
        build_slug(OLD.certificate): {8, 9},
    }
    assert found.sequence == NOW
    assert found.refreshed_by == NOW + DAY
    assert found.changes_at == NOW + LIFE


def test_the_previous_lists_may_come_in_any_order() -> None:
    third = make("Org B third CA")
    document = statement(NEW, OLD, third, lists=[list_of(NEW), list_of(third, 3), list_of(OLD, 2)])
    found = accepted(document)
    assert set(found.revocations[build_slug(third.certificate)].entries) == {3}
    assert set(found.revocations[build_slug(OLD.certificate)].entries) == {2}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"\xff",
        statement(key=STRANGER),
        statement(key=OURS),
        statement(kernel_id="somebody"),
        statement(certificates=(b"no certificate",)),
        statement(certificates=(certificate(ca=False)[1],)),
        statement(revocation_list=b"no list"),
        statement(lists=[list_of(OLD)]),
        statement(NEW, OLD, lists=[list_of(NEW)]),
        statement(NEW, OLD, lists=[list_of(OLD), list_of(NEW)]),
        statement(NEW, OLD, lists=[list_of(NEW), list_of(make("Somebody"))]),
        statement(NEW, OLD, lists=[list_of(NEW), list_of(NEW)]),
        statement().replace(b"org-b-kernel", b"org-c-kernel"),
    ],
    ids=[
        "empty",
        "not signed",
        "no text",
        "a stranger's",
        "ours",
        "of another kernel",
        "no certificate",
        "a key",
        "no list",
        "another's list",
        "an authority without a list",
        "lists that changed places",
        "a list of nobody",
        "one list twice",
        "changed",
    ],
)
def test_what_is_no_statement_of_theirs_does_not_count(document: bytes) -> None:
    assert judge(document) is Reason.STATEMENT_INVALID


def test_a_leaf_is_no_authority() -> None:
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(certificate(ca=False)[0]).public_bytes(Encoding.DER)
    assert judge(statement(certificates=(leaf,))) is Reason.STATEMENT_INVALID


def test_a_lower_sequence_does_not_count() -> None:
    assert judge(statement(), last=NOW + 1) is Reason.STATEMENT_REGRESSED
    assert accepted(statement(), last=NOW).sequence == NOW


@pytest.mark.parametrize("seconds", [-SKEW - 1, LIFE, LIFE + 1])
def test_out_of_date_it_does_not_count(seconds: int) -> None:
    assert judge(statement(), now=NOW + seconds) is Reason.STATEMENT_EXPIRED


@pytest.mark.parametrize("seconds", [-SKEW, 0, LIFE - 1])
def test_in_date_it_counts(seconds: int) -> None:
    accepted(statement(), now=NOW + seconds)


def test_an_authority_past_its_end_is_left_out() -> None:
    short = make("Org B short CA", days=1)
    document = statement(NEW, short)
    found = accepted(document)
    assert found.authorities == (NEW.certificate, short.certificate)
    assert found.changes_at == NOW + DAY + 1
    assert accepted(document, now=NOW + DAY + 1).authorities == (NEW.certificate,)
    assert judge(statement(short), now=NOW + DAY + 1) is Reason.STATEMENT_EXPIRED


def test_an_authority_whose_list_has_ended_is_left_out() -> None:
    document = statement(NEW, OLD, lists=[list_of(NEW), list_of(OLD, life=3600)])
    assert accepted(document).changes_at == NOW + 3600
    found = accepted(document, now=NOW + 3600)
    assert found.authorities == (NEW.certificate,)
    assert set(found.revocations) == {build_slug(NEW.certificate)}
    assert judge(statement(lists=[list_of(NEW, life=60)]), now=NOW + 60) is Reason.STATEMENT_EXPIRED


def test_the_content_of_the_secret() -> None:
    document = statement(NEW, OLD)
    content = content_of(accepted(document))
    assert content["ca.crt"] == NEW.certificate_pem + OLD.certificate_pem
    assert content["ca.crl"].count(b"BEGIN X509 CRL") == 2
    assert content["statement.json"] == document
    assert content["sequence"] == str(NOW).encode()


def test_what_is_withdrawn_keeps_the_sequence_and_names_nobody() -> None:
    held = content_of(accepted(statement()))
    assert withdrawn_content(held) == {"ca.crt": NOBODY_PEM, "sequence": str(NOW).encode()}
    assert withdrawn_content({}) == {"ca.crt": NOBODY_PEM}
    kept = withdrawn_content(held, keep_statement=True)
    assert kept == {**withdrawn_content(held), "statement.json": held["statement.json"]}
    assert bundle_of([]) == NOBODY_PEM


@pytest.mark.parametrize("text", [b"", b"-1", b"x", b"1.5", b"9" * 16, b"9" * 100, "\u0663".encode()])
def test_a_sequence_that_cannot_be_one_is_none(text: bytes) -> None:
    assert read_sequence({"sequence": text}) == 0
