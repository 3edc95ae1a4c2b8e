"""How fast envelopes are judged on one core: parsed, verified and decided.

    PYTHONPATH=. python bench/accept.py [SECONDS]

Measured is what the endpoint does with an envelope that a known partner sends to renew its pin:
``parse_envelope`` on the bytes and ``accept_envelope`` under terms with one anchor and a pin. Beside
it, in alternating slices of the same run, the bare verification of the same signatures over the
same messages: PyNaCl's ``VerifyKey(key).verify(message, signature)``, its documented call, with the
key object built anew as for any key that arrives, and its binding ``crypto_sign_open``, which is
libsodium with the least of Python around it. The target holds against both.

Every envelope is one of its own: another partner, key, nonce and signature. All are made before the
clock runs. It does not measure the network, the cache, or the status that is written: see
``endpoint.py`` and ``peers.py``.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from bench.report import Row, print_report
from nacl.bindings import crypto_sign_open
from nacl.signing import VerifyKey

from bilateral.protocol.acceptance import digest_nonce
from bilateral.protocol.handshake import Pin, Terms, accept_envelope, build_envelope, parse_envelope
from bilateral.protocol.keys import SigningKey

NOW = 1_700_000_000
ENVELOPES = 500
SLICES = 40
OURS = "org-a-kernel"


@dataclass(frozen=True, slots=True)
class Case:
    """One partner's envelope, as it arrives, and what it is judged by."""

    data: bytes
    terms: Terms
    pin: Pin
    raw_key: bytes
    message: bytes
    signature: bytes
    signed: bytes


def build_case(number: int, own: SigningKey) -> Case:
    """Make a partner and the envelope with which it renews its pin."""
    key = SigningKey.generate()
    kernel_id = f"partner-{number:05d}-kernel"
    envelope = build_envelope(
        local_kernel_id=kernel_id, remote_kernel_id=OURS, nonce=str(uuid.uuid4()), timestamp=NOW, key=key
    )
    message = envelope.challenge.canonical_bytes()
    return Case(
        data=envelope.to_json(),
        terms=Terms(OURS, own.public_key, kernel_id, anchors=(key.public_key,)),
        pin=Pin(key.public_key, NOW - 30_000, NOW + 13_200, NOW - 30_000, (digest_nonce("before"),)),
        raw_key=key.public_key.raw,
        message=message,
        signature=envelope.signature,
        signed=envelope.signature + message,
    )


def judge(cases: list[Case]) -> None:
    """Parse, verify and decide."""
    for case in cases:
        accept_envelope(parse_envelope(case.data), case.terms, case.pin, NOW)


def verify_only(cases: list[Case]) -> None:
    """PyNaCl as its documentation shows it."""
    for case in cases:
        VerifyKey(case.raw_key).verify(case.message, case.signature)


def open_only(cases: list[Case]) -> None:
    """PyNaCl's binding of libsodium, without an object."""
    for case in cases:
        crypto_sign_open(case.signed, case.raw_key)


def parse_only(cases: list[Case]) -> None:
    """The strict parse alone, to tell where the time goes."""
    for case in cases:
        parse_envelope(case.data)


def main() -> int:
    """Run, report, and fail when the target was missed."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    own = SigningKey.generate()
    cases = [build_case(number, own) for number in range(ENVELOPES)]
    works: tuple[Callable[[list[Case]], None], ...] = (judge, verify_only, open_only, parse_only)
    spent: dict[str, list[float]] = {work.__name__: [] for work in works}
    for work in works:
        work(cases)  # warm
    # Slices of the same length take turns, so that a machine that slows down slows all of them.
    each = seconds / SLICES / len(works)
    for _ in range(SLICES):
        for work in works:
            done = 0
            started = time.process_time()
            while (elapsed := time.process_time() - started) < each:
                work(cases)
                done += len(cases)
            spent[work.__name__].append(elapsed / done)
    cost = {name: statistics.median(times) * 1e6 for name, times in spent.items()}
    met = print_report(
        "accept",
        f"{ENVELOPES} envelopes of as many partners, judged in turn on one core for {seconds:g} s",
        [
            Row("per_second", "envelopes parsed, verified and decided", 1e6 / cost["judge"], "/s"),
            Row("accept_us", "  each", cost["judge"], "µs"),
            Row("parse_us", "  of which the strict parse", cost["parse_only"], "µs"),
            Row("verify_us", "PyNaCl: VerifyKey(key).verify(...)", cost["verify_only"], "µs"),
            Row("open_us", "PyNaCl: bindings.crypto_sign_open(...)", cost["open_only"], "µs"),
            Row("ratio", "accept : VerifyKey.verify", cost["judge"] / cost["verify_only"], "x", 1.35),
            Row(
                "ratio_to_binding", "accept : crypto_sign_open", cost["judge"] / cost["open_only"], "x", 1.35
            ),
        ],
        {"envelopes": ENVELOPES, "slices": SLICES},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
