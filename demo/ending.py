"""The last chapter: everything is deleted; or, with KEEP=1, left running with a word on how to look around."""

from __future__ import annotations

import sys
from pathlib import Path

from demo.cast import PATIENCE_SECONDS, Cast
from demo.outsider import Outsider, post_envelope
from demo.telling import expect, require

STOP_SECONDS = 5


def delete(cast: Cast) -> None:
    """Delete the partners, then everything else, then end the operators."""
    tell, org_b = cast.teller, cast.org_b
    tell.chapter("The end")
    tell.command("kubectl delete fpol,fpeer --all -n trust")
    with tell.check("deleted; to Org B's endpoint Org A is a stranger now: 412, missing-trust-anchor"):
        for organisation in cast.both:
            organisation.kubectl("delete", "fpol,fpeer", "--all")
        answer = tell.wait(
            "the answer to Org A's kernel id",
            lambda: post_envelope(
                org_b.operator.url, org_b.authority(), Outsider("org-a-kernel").write_envelope("org-b-kernel")
            ),
            lambda seen: seen.status != 403,
            expected="412",
            seconds=PATIENCE_SECONDS,
        )
        expect("its status", answer.status, 412)
        cast.wait_for_lists(org_b, set())
    tell.command("kubectl delete intro,tsvc,wid,tdom --all -n trust")
    with tell.check("deleted; Kubernetes has removed every Secret that the operators made"):
        for organisation in cast.both:
            require(
                "Secrets beforehand", bool(organisation.secret_names()), "some", organisation.secret_names()
            )
            organisation.kubectl("delete", "intro,tsvc,wid,tdom", "--all")
        for organisation in cast.both:
            tell.wait(
                f"Secrets of {organisation.title}",
                organisation.secret_names,
                lambda names: not names,
                expected="none",
                seconds=2 * PATIENCE_SECONDS,
            )
    with tell.check("told to stop (SIGTERM), the operators end in ") as line:
        taken = max(organisation.operator.stop() for organisation in cast.both)
        require("how long that took", taken <= STOP_SECONDS, f"at most {STOP_SECONDS} s", f"{taken:.1f} s")
        line.add(f"{taken:.1f} s; no error is in their logs")
        for organisation in cast.both:
            expect(f"errors in the log of {organisation.title}'s operator", organisation.logged_errors(), [])


def explain_what_is_left(cast: Cast) -> None:
    """Say where everything is that is left running, what to try, and how to end it."""
    say, org_a, org_b = cast.teller.say, cast.org_a, cast.org_b
    programs = Path(sys.executable).parent
    say("\nEverything is left running (KEEP=1). Look around; for Org B put org-b in place of org-a:")
    say(f"   export KUBECONFIG={org_a.cluster.kubeconfig}")
    say(f"   export PATH={programs}:{org_a.kubectl_program.parent}:$PATH")
    say("   kubectl get trust -n trust; kubectl bilateral status -n trust; kubectl explain fpeer.spec")
    say(f"   bilateral ledger verify --url {org_b.ledger_url}      # what Org B's kernel was told")
    say("Try: take Org B back, and see it Fresh again; then its log, and its metrics:")
    say('   kubectl patch fpeer org-b -n trust --type merge -p \'{"spec":{"state":"Active"}}\'')
    say(f"   tail -f {org_a.operator.log_file}")
    say(f"   curl -s http://127.0.0.1:{org_a.operator.metrics_port}/metrics | grep ^bilateral")
    say("End it (the operators' tokens last a day):")
    for organisation in (org_a, org_b):
        say(f"   make cluster-down DIR={organisation.directory}")
    say(f"   rm -r {cast.directory}")
