"""What the commands about introductions share: a document read and told, a name for an object, a verdict awaited.

Rules: what a stranger wrote is shown with nothing invisible in it. A document alone cannot say whether its
authority may be believed: that is shown as a fingerprint to be compared, never as a finding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import AnswerNoError, InputError
from bilateral.cli.files import read_input
from bilateral.cli.invocation import Invocation
from bilateral.cli.output import Data, distance
from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.errors import InvalidIntroduction, PkiError
from bilateral.pki.introductions import INTRODUCTION_LIMITS, Introduction, parse_introduction
from bilateral.pki.names import shown_name
from bilateral.pki.pem import verify_key_strength
from bilateral.pki.profiles import key_fingerprint
from bilateral.protocol.reasons import Reason
from bilateral.resources.introduction import Introduction as IntroductionResource
from bilateral.resources.times import format_time

POLL_SECONDS = 0.25
MAX_NAME = 63
SHORT_DIGITS = 8

_OTHER = re.compile(r"[^a-z0-9]+")


def read_document(path: str) -> tuple[str, Introduction]:
    """Read an introduction from a file or stdin: its text, and what is in it. Raises InputError."""
    data = read_input(path, INTRODUCTION_LIMITS.max_bytes)
    try:
        return data.decode("utf-8"), parse_introduction(data)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not an introduction: expected JSON in UTF-8") from None
    except InvalidIntroduction as error:
        raise InputError(f"{path} is not an introduction: {error}") from None


def find_problem(document: Introduction, now: int) -> tuple[Reason, str] | None:
    """What is wrong with a document whoever it is for and whoever is believed, or None."""
    try:
        key = verify_key_strength(document.certificate.public_key(), InvalidIntroduction)
        accept_introduction(document, key, {document.authority_fingerprint}, datetime.fromtimestamp(now, UTC))
    except PkiError as error:
        return error.reason, str(error)
    return None


def document_facts(document: Introduction, now: int) -> dict[str, Data]:
    """What is in a document, for programs."""
    problem = find_problem(document, now)
    key = verify_key_strength(document.certificate.public_key(), InvalidIntroduction)
    services: Data = {service.alias: service.url for service in document.services}
    return {
        "subject": shown_name(document.certificate.subject),
        "publicKeyFingerprint": key_fingerprint(key),
        "serial": document.serial,
        "authority": shown_name(document.authority.subject),
        "authorityFingerprint": document.authority_fingerprint,
        "slug": document.slug,
        "notBefore": format_time(int(document.not_before.timestamp())),
        "notAfter": format_time(int(document.not_after.timestamp())),
        "services": services,
        "problem": None if problem is None else {"reason": problem[0].value, "message": problem[1]},
    }


def document_lines(document: Introduction, now: int) -> list[str]:
    """What is in a document, for people."""
    facts = document_facts(document, now)
    ends = int(document.not_after.timestamp())
    left = f"{distance(ends - now)} left" if now <= ends else f"over since {distance(now - ends)}"
    lines = [
        f"subject       {facts['subject']}",
        f"its key       {facts['publicKeyFingerprint']}",
        f"serial        {facts['serial']}",
        f"authority     {facts['authority']}",
        f"fingerprint   {facts['authorityFingerprint']}",
        f"valid         {facts['notBefore']} to {facts['notAfter']} ({left})",
    ]
    found = [f"{service.alias}  {service.url}" for service in document.services] or ["none"]
    lines += [f"{'services' if not index else '':<13} {text}" for index, text in enumerate(found)]
    problem = find_problem(document, now)
    if problem is None:
        lines.append("problems      none in the file itself; whose authority it is, only you can compare")
    else:
        lines.append(f"problems      {problem[0]}: {problem[1]}")
    return lines


def object_name(*parts: str) -> str:
    """A name for an object out of texts of any kind; the last part is kept whole."""
    words = [_OTHER.sub("-", part.lower()).strip("-") for part in parts]
    *first, last = [word for word in words if word]
    head = "-".join(first)[: MAX_NAME - len(last) - 1].strip("-")
    return f"{head}-{last}" if head else last


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the operator says of an Introduction; ``ready`` is True, False or Unknown."""

    name: str
    ready: str
    reason: str
    message: str

    @property
    def is_good(self) -> bool:
        """Whether it may be relied on."""
        return self.ready == "True"

    def lines(self) -> list[str]:
        """The verdict in a line or two, with the next step."""
        step = None if self.is_good else advise(self.reason).step
        text = f"introduction/{self.name}: {self.message or self.reason}"
        return [text] if step is None else [text, f"  {step}"]


def read_verdict(obj: Object) -> Verdict | None:
    """What the status says of the spec that there is; None while it says nothing of it."""
    resource = IntroductionResource.parse(obj)
    ready = resource.status.condition("Ready")
    if ready is None or ready.observed_generation < resource.metadata.generation:
        return None
    return Verdict(resource.metadata.name, ready.status.value, ready.reason, ready.message)


def await_verdict(
    invocation: Invocation, cluster: Cluster, obj: Object, wait_seconds: int, *, final: Sequence[Reason] = ()
) -> tuple[Object, Verdict]:
    """Wait until the operator says yes or no, or until what it waits for is one of ``final``.

    Raises AnswerNoError when the time is over and it has said nothing at all.
    """
    name = str(obj["metadata"]["name"])
    deadline = invocation.monotonic() + wait_seconds
    while True:
        verdict = read_verdict(obj)
        over = invocation.monotonic() >= deadline
        if verdict is not None and (over or verdict.ready != "Unknown" or verdict.reason in final):
            return obj, verdict
        if over:
            raise AnswerNoError(
                f"introduction/{name} is there, and no operator has looked at it within {wait_seconds} s: check "
                f"that it runs and watches namespace {cluster.namespace}"
            )
        invocation.sleep(POLL_SECONDS)
        obj = cluster.get(IntroductionResource.PLURAL, name)
