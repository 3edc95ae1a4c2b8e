"""The record of what our authorities signed, as far as a plan reads it: Secrets ``<trustDomain>-issued…``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bilateral.cli.cluster import OwnedSecret
from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import parse_time
from bilateral.resources.trustdomain import TrustDomain

ISSUED_FILE = "issued.jsonl"


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate that an authority of ours signed; ``authority`` is its slug, ``not_after`` Unix seconds."""

    serial: str
    subject: str
    not_after: int
    authority: str
    owner_uid: str
    owner: str
    is_withdrawn: bool

    def counts(self, now: int) -> bool:
        """Whether it is in date and nobody withdrew it."""
        return not self.is_withdrawn and self.not_after >= now


def read_records(
    domain: TrustDomain, secrets: Mapping[str, OwnedSecret]
) -> Iterator[tuple[str, tuple[Signed, ...]]]:
    """Every line of a trust domain's record that can be read, by the Secret's name."""
    number = 0
    while True:
        name = domain.issued_secret_name + (f"-{number}" if number else "")
        secret = secrets.get(name)
        if secret is None or secret.owner_uid != domain.metadata.uid:
            return
        lines = map(_read, secret.data.get(ISSUED_FILE, b"").splitlines())
        yield name, tuple(each for each in lines if each is not None)
        number += 1


def signed_by_domain(domain: TrustDomain, secrets: Mapping[str, OwnedSecret]) -> Iterator[Signed]:
    """What a trust domain's authorities signed."""
    for _, signed in read_records(domain, secrets):
        yield from signed


def _read(line: bytes) -> Signed | None:
    try:
        entry = json.loads(line)
        owner = entry["owner"]
        return Signed(
            serial=str(entry["serial"]),
            subject=str(entry["subject"]),
            not_after=parse_time(entry["notAfter"]),
            authority=str(entry["authority"]),
            owner_uid=str(owner["uid"]),
            owner=f"{str(owner['kind']).lower()}/{owner['name']}",
            is_withdrawn="withdrawnAt" in entry,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MalformedTime):
        return None  # somebody's line that the operator cannot read either
