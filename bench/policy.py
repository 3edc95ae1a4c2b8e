"""How fast partners' capabilities are decided about, and what a million revocations take.

    PYTHONPATH=tests:. python bench/policy.py [--seconds S] [--partners N] [--revocations N] [--no-http]

- One core: ``parse_evaluation`` on the bytes of a request with a chain of three, and ``decide``, which
  verifies the chain. Beside it, in alternating slices of the same run, the bare verification of the same
  five signatures: PyNaCl's ``VerifyKey(key).verify(message, signature)``. Every request is of another
  partner, with keys, ids and signatures of its own; there is no cache of what was verified, so nothing is
  warm. Stated separately: with the signed receipt, and the chain in the form of newer chio, which quotes scopes.
- Over HTTP: the control endpoint in a process of its own, asked over 32 kept-alive TLS connections by this one
  (``deciding.py``): with an empty handler, with the operator's decisions, and with them but for the ledger. Processor
  time is that of the server alone, which is what counts where the client shares the machine.
- A million revocations of one partner, in memory and in a ledger on disk (``revoked.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.chains import Presented, build_chain, build_presented, build_request, issuer_key, partner_name
from bench.deciding import CALLER, build_decisions
from bench.endpoint import Caller, Load, run_load, run_server, write_certificates
from bench.report import Row, percentile, print_report, progress
from bench.serving import HOST, NAMESPACE
from nacl.signing import VerifyKey

from bilateral.engine.memory import Broom
from bilateral.protocol.decision_receipts import build_decision_receipt
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.policies.decisions import decide
from bilateral.protocol.policies.evaluations import parse_evaluation
from bilateral.protocol.revocation_set import RevocationSet

NOW = 1_700_000_000
REQUESTS = 500
SLICES = 40
CONNECTIONS = 32
ASKING = 50
"""So many partners ask over HTTP, however many there are."""
_HEAD = (
    "POST /v1/federation/policies/evaluate HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer token\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
_OWN = SigningKey.generate()

Work = Callable[[list[Presented]], None]


def judge(requests: list[Presented]) -> None:
    """Parse, verify and decide."""
    for each in requests:
        evaluation = parse_evaluation(each.data)
        if not decide(evaluation.question, each.situation, NOW).allowed:
            raise RuntimeError("expected an allowance")


def judge_and_sign(requests: list[Presented]) -> None:
    """The same, with the receipt."""
    for each in requests:
        evaluation = parse_evaluation(each.data)
        build_decision_receipt(
            decide(evaluation.question, each.situation, NOW),
            receipt_id="rcpt-0192a4f07c1e7b3a9d550192a4f07c1e",
            partner_id=evaluation.question.partner_id,
            call=evaluation.question.call,
            presented=evaluation.presented,
            key=_OWN,
        )


def parse_only(requests: list[Presented]) -> None:
    """The strict parse alone, to tell where the time goes."""
    for each in requests:
        parse_evaluation(each.data)


def verify_only(requests: list[Presented]) -> None:
    """PyNaCl as its documentation shows it."""
    for each in requests:
        for signed in each.signatures:
            VerifyKey(signed.raw_key).verify(signed.message, signed.signature)


def take_turns(works: dict[str, tuple[Work, list[Presented]]], seconds: float) -> dict[str, float]:
    """Microseconds for one request of each: medians of slices that take turns, as a slow machine slows all."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    Broom().settle()  # as the operator does when it has started
    for work, requests in works.values():
        work(requests)  # warm
    each = seconds / SLICES / len(works)
    for _ in range(SLICES):
        for name, (work, requests) in works.items():
            done = 0
            started = time.process_time()
            while (elapsed := time.process_time() - started) < each:
                work(requests)
                done += len(requests)
            spent[name].append(elapsed / done)
    return {name: statistics.median(times) * 1e6 for name, times in spent.items()}


def measure_core(seconds: float, revocations: int) -> list[Row]:
    """What one core does."""
    progress("requests, and revocations beside them")
    none, many = RevocationSet(), RevocationSet()
    many.merge(partner_name(0), (f"cap-revoked-{number:012d}" for number in range(revocations)))
    eras = {
        newer: [build_presented(number, none, NOW, newer=newer) for number in range(REQUESTS)]
        for newer in (False, True)
    }
    beside = [build_presented(number, many, NOW) for number in range(REQUESTS)]
    progress("one core")
    cost = take_turns(
        {
            "judge": (judge, eras[False]),
            "verify": (verify_only, eras[False]),
            "parse": (parse_only, eras[False]),
            "signed": (judge_and_sign, eras[False]),
            "newer": (judge, eras[True]),
            "verify_newer": (verify_only, eras[True]),
            "beside": (judge, beside),
        },
        seconds,
    )
    return [
        Row("per_second", "chains of three parsed, verified and decided", 1e6 / cost["judge"], "/s"),
        Row("decide_us", "  each", cost["judge"], "µs"),
        Row("parse_us", "  of which the strict parse", cost["parse"], "µs"),
        Row("verify_us", "PyNaCl: VerifyKey(key).verify(...), five of them", cost["verify"], "µs"),
        Row("ratio", "decision : bare verification", cost["judge"] / cost["verify"], "x", 2.0),
        Row("signed_us", "decision with its signed receipt", cost["signed"], "µs"),
        Row("signed_ratio", "  : bare verification", cost["signed"] / cost["verify"], "x"),
        Row("newer_us", "decision on a chain of newer chio", cost["newer"], "µs"),
        Row("newer_ratio", "  : bare verification", cost["newer"] / cost["verify_newer"], "x"),
        Row(
            "revocations_ratio",
            f"decision beside {revocations:,} revocations : beside none",
            cost["beside"] / cost["judge"],
            "x",
            1.1,
        ),
    ]


# Over HTTP


def build_requests() -> Callable[[], bytes]:
    """Requests of one partner after another, of now, signed before the clock runs."""
    now = int(time.time())
    built = []
    for number in range(ASKING):
        for serial in range(4):
            name = partner_name(number)
            chain = build_chain(name, issuer_key(number + 1), now, serial)
            built.append(build_request(name, chain, now))
    turning = itertools.cycle(built)
    return lambda: next(turning)


def measure_server(
    mode: str, partners: int, bodies: Callable[[], bytes], seconds: float, directory: Path
) -> Load:
    """Put load on a control endpoint."""
    progress(f"{mode} server, {partners} partners")
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    with run_server(mode, partners, directory, "deciding.py") as (port, pid):
        callers = [Caller(port, context, HOST, head=_HEAD) for _ in range(CONNECTIONS)]
        load = asyncio.run(run_load(callers, bodies, seconds, pid))
    if set(load.statuses) != {200}:
        raise SystemExit(f"error: the {mode} server refused: {dict(load.statuses)}")
    return load


async def measure_partners(
    partners: int, bodies: Callable[[], bytes], seconds: float, authority: str, directory: Path
) -> float:
    """What a decision takes with many partners, of what it takes with few, without HTTP, in turns."""
    compared = {
        number: await build_decisions("unrecorded", number, authority, make_folder(directory / str(number)))
        for number in (partners, ASKING)
    }
    Broom().settle()
    spent: dict[int, list[float]] = {number: [] for number in compared}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number, decisions in compared.items():
            started = time.process_time()
            for _ in range(ASKING):
                await decisions.evaluate(NAMESPACE, CALLER, parse_evaluation(bodies()))
            spent[number].append(time.process_time() - started)
    return statistics.median(spent[partners]) / statistics.median(spent[ASKING])


def make_folder(folder: Path) -> Path:
    """The folder, which is new."""
    folder.mkdir()
    return folder


def measure_http(partners: int, seconds: float) -> list[Row]:
    """The control endpoint."""
    with tempfile.TemporaryDirectory(prefix="bilateral-bench-") as folder:
        directory = Path(folder)
        write_certificates(directory)
        bodies = build_requests()
        empty, decides, unrecorded = (
            measure_server(mode, partners, bodies, seconds, directory)
            for mode in ("empty", "decides", "unrecorded")
        )
        progress(f"{partners} partners beside {ASKING}")
        authority = (directory / "ca.crt").read_text()
        beside = asyncio.run(measure_partners(partners, bodies, seconds, authority, directory))
    rows = []
    for key, what, load in (
        ("empty", "control endpoint, empty handler", empty),
        ("http", "control endpoint, decisions, each in the ledger", decides),
        ("unrecorded", "the same without recording", unrecorded),
    ):
        rows += [
            Row(f"{key}_per_second", what, load.per_second, "/s"),
            Row(f"{key}_cpu_us", "  processor time each", load.cpu_us, "µs"),
            Row(f"{key}_p99_ms", "  p99", 1e3 * percentile(load.took, 0.99), "ms"),
        ]
    return [
        *rows,
        Row("http_ratio", "decision : empty handler, processor time", decides.cpu_us / empty.cpu_us, "x"),
        Row("partners_ratio", f"decision with {partners} partners : with {ASKING}", beside, "x", 1.1),
    ]


# Revocations


def measure_revocations(number: int) -> list[Row]:
    """In a process of its own, whose memory nothing else has grown."""
    progress(f"{number:,} revocations")
    program = Path(__file__).with_name("revoked.py")
    output = subprocess.run(
        [sys.executable, program, str(number)], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    found = {name: float(value) for name, value in json.loads(output).items()}
    return [
        Row("known_us", f"{number:,} revocations in memory: look-up, revoked", found["known_us"], "µs", 2.0),
        Row("unknown_us", "  not revoked", found["unknown_us"], "µs", 2.0),
        Row("few_us", "  not revoked, beside 10", found["few_us"], "µs"),
        Row("memory_mb", "  memory", found["memory_mb"], "MB", 100.0),
        Row("start_seconds", "on disk: start-up, until all are known", found["start_seconds"], "s"),
        Row("start_memory_mb", "  memory that this takes", found["start_memory_mb"], "MB", 100.0),
        Row("page_ms", "  1,000 more, stored and known", found["page_ms"], "ms"),
        Row("store_seconds", "  all of them stored, a page at a time", found["store_seconds"], "s"),
        Row("disk_mb", "  size of the ledger", found["disk_mb"], "MB"),
    ]


def main() -> int:
    """Run, report, and fail when a target was missed."""
    parser = argparse.ArgumentParser(description="Decisions per second, and what revocations take.")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="on one core (20); a server has a quarter"
    )
    parser.add_argument("--partners", type=int, default=1000, help="partners with a policy, over HTTP (1000)")
    parser.add_argument("--revocations", type=int, default=1_000_000, help="how many are known (1000000)")
    parser.add_argument("--no-http", action="store_true", help="leave out the control endpoint")
    options = parser.parse_args()
    rows = measure_core(options.seconds, options.revocations)
    if not options.no_http:
        rows += measure_http(options.partners, options.seconds / 4)
    rows += measure_revocations(options.revocations)
    what = f"requests of {REQUESTS} partners; over HTTP {CONNECTIONS} connections; {options.revocations:,} revocations"
    return 0 if print_report("policy", what, rows, {"requests": REQUESTS, "slices": SLICES}) else 1


if __name__ == "__main__":
    sys.exit(main())
