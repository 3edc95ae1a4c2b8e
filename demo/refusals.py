"""Chapter four: those who may not, each with the answer that is published for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from demo.cast import PATIENCE_SECONDS, Cast
from demo.outsider import Outsider, post_envelope, tamper
from demo.telling import expect, require

PROBLEMS = "https://chio.dev/errors/federation/"
SHOWN = (412, 401)  # the bodies of these are printed; all are checked
PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An envelope that must be refused, and the problem that the answer must be."""

    who: str
    envelope: Callable[[], bytes]
    status: int
    suffix: str
    title: str
    members: dict[str, str]


def list_attempts(cast: Cast, accepted: bytes) -> list[Attempt]:
    """List who tries what; `accepted` is an envelope of Org C's that Org A has accepted."""
    stranger = Outsider("org-x-kernel")
    impostor = Outsider(cast.org_c.kernel_id)
    return [
        Attempt(
            "a stranger, with a valid signature and a kernel id that nobody anchored",
            lambda: stranger.write_envelope("org-a-kernel"),
            412, "missing-trust-anchor", "Missing trust anchor", {"kernelId": stranger.kernel_id},
        ),
        Attempt(
            "an envelope of Org C, changed after it was signed",
            lambda: tamper(cast.org_c.write_envelope("org-a-kernel")),
            401, "invalid-signature", "Invalid signature", {},
        ),
        Attempt(
            "somebody under Org C's name, with a valid signature of another key",
            lambda: impostor.write_envelope("org-a-kernel"),
            403, "unexpected-peer-key", "Unexpected peer key", {"kernelId": impostor.kernel_id},
        ),
        Attempt(
            "the envelope of Org C that was accepted above, sent once more",
            lambda: accepted,
            409, "replayed-envelope", "Replayed envelope", {},
        ),
    ]  # fmt: skip


def _wait_until_quiet(cast: Cast) -> None:
    """Wait for what Org A writes last: its statement, Org B's authorities, and the lists."""
    org_a = cast.org_a
    cast.teller.wait(
        "Secret org-a-authority",
        lambda: org_a.secret_keys("org-a-authority"),
        bool,
        expected="a statement",
        seconds=PATIENCE_SECONDS,
    )
    cast.teller.wait(
        "federationpeer/org-b of Org A",
        lambda: org_a.peer("org-b").conditions.get("AuthoritiesKnown"),
        lambda seen: seen is not None and seen[0] == "True",
        expected="AuthoritiesKnown=True",
        seconds=PATIENCE_SECONDS,
    )
    cast.wait_for_lists(org_a, {"org-b-kernel", "org-c-kernel"})


def refuse(cast: Cast, accepted: bytes) -> None:
    """Try to get past Org A, and see that it costs nothing."""
    tell, org_a = cast.teller, cast.org_a
    tell.chapter("Those who may not")
    authority, before = org_a.authority(), org_a.peer("org-c").pin
    _wait_until_quiet(cast)
    position = org_a.cluster.audit_position()
    for attempt in list_attempts(cast, accepted):
        with tell.check(f"{attempt.status}  {attempt.who}"):
            answer = post_envelope(org_a.operator.url, authority, attempt.envelope())
            expect("the answer's status", answer.status, attempt.status)
            expect("its media type", answer.media_type, PROBLEM_MEDIA_TYPE)
            told = {"type": PROBLEMS + attempt.suffix, "title": attempt.title, "status": attempt.status}
            found = {name: value for name, value in answer.body.items() if name != "detail"}
            expect("its body without the detail", found, told | attempt.members)
            require("its detail", bool(answer.body.get("detail")), "a sentence", answer.body.get("detail"))
        if attempt.status in SHOWN:
            tell.quote(json.dumps(answer.body))
    with tell.check("all this changed nothing: no write to Org A's API server, Org C's pin as it was"):
        expect("Org A's writes since", org_a.writes(position), 0)
        expect("Org C's pin", org_a.peer("org-c").pin, before)
