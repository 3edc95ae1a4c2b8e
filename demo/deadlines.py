"""Chapters six, eight and nine: a pin is renewed before its deadline; a partner is suspended; a deadline passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demo.cast import PATIENCE_SECONDS, Cast
from demo.meeting import ORG_C_WINDOW_SECONDS
from demo.organisation import PeerStatus
from demo.telling import expect, require

from bilateral.resources.times import parse_time

WINDOW_SECONDS = 60
EARLIEST_SHARE, LATEST_SHARE = 65, 75  # per cent of the window


@dataclass(frozen=True, slots=True)
class Planned:
    """Both sides before a renewal: their pins, and where their audit logs ended."""

    ours: PeerStatus
    theirs: PeerStatus
    positions: Mapping[str, int]


def shorten(cast: Cast) -> Planned:
    """Shorten Org A's window; the renewal comes while the story goes on."""
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.chapter("A pin has a deadline; nobody waits for it")
    patch = f'{{"spec":{{"handshake":{{"rotationWindowSeconds":{WINDOW_SECONDS}}}}}}}'
    tell.command(f"kubectl patch fpeer org-b -n trust --type merge -p '{patch}'      # Org A")
    with tell.check("") as line:
        org_a.kubectl("patch", "fpeer", "org-b", "--type", "merge", "-p", patch)
        before = tell.wait(
            "federationpeer/org-b of Org A",
            lambda: org_a.peer("org-b"),
            lambda peer: peer.is_observed and peer.is_acknowledged and window_of(peer) == WINDOW_SECONDS,
            expected=f"a pin of {WINDOW_SECONDS} s",
            seconds=PATIENCE_SECONDS,
        )
        share = renewal_share(before)
        require(
            "when the renewal is planned",
            EARLIEST_SHARE - 2 <= share <= LATEST_SHARE,
            "65 to 75 % of the window",
            share,
        )
        line.add(
            f"pinned until {clock(before.pin['rotationDue'])}; the renewal is planned for "
            f"{clock(before.next_handshake)}, after {share} % of the window"
        )
    cast.wait_until_listed(org_a, "org-b-kernel")
    theirs = cast.wait_until_acknowledged(org_b, "org-a")
    positions = {organisation.name: organisation.cluster.audit_position() for organisation in cast.both}
    return Planned(before, theirs, positions)


def renew(cast: Cast, planned: Planned) -> None:
    """Watch the renewal from both sides."""
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    before, theirs = planned.ours, planned.theirs
    tell.chapter("The pin is renewed before its deadline")
    with tell.check("renewed: rotationDue ") as line:
        after = tell.wait(
            "rotationDue",
            lambda: org_a.peer("org-b"),
            lambda peer: peer.pin["rotationDue"] != before.pin["rotationDue"],
            expected="a later one",
            seconds=WINDOW_SECONDS,
        )
        expect("Ready after the renewal", after.ready, ("True", "Fresh"))
        moved = parse_time(after.pin["establishedAt"])
        require(
            "when it was renewed",
            moved < parse_time(before.pin["rotationDue"]),
            f"before {before.pin['rotationDue']}",
            after.pin["establishedAt"],
        )
        line.add(f"{clock(before.pin['rotationDue'])} → {clock(after.pin['rotationDue'])}")
        renewed = tell.wait(
            "rotationDue at Org B",
            lambda: org_b.peer("org-a"),
            lambda peer: peer.pin["rotationDue"] != theirs.pin["rotationDue"],
            expected="a later one",
            seconds=PATIENCE_SECONDS,
        )
        line.add(
            f" at Org A, {clock(theirs.pin['rotationDue'])} → {clock(renewed.pin['rotationDue'])} at Org B"
        )
    with tell.check("for it, each operator wrote its FederationPeer exactly once (API servers' audit logs)"):
        for organisation, partner in ((org_a, "org-b"), (org_b, "org-a")):
            writes = organisation.status_writes(planned.positions[organisation.name], partner)
            expect(f"status writes of {organisation.title}", writes, 1)


def suspend(cast: Cast) -> None:
    """Suspend Org B at Org A, and see what both sides say."""
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.chapter("A partner is withdrawn, another one's deadline passes")
    patch = '{"spec":{"state":"Suspended"}}'
    tell.command(f"kubectl patch fpeer org-b -n trust --type merge -p '{patch}'      # Org A")
    with tell.check("Org A: Suspended, and gone from the Secret that kernels mount (org-a-peers)"):
        org_a.kubectl("patch", "fpeer", "org-b", "--type", "merge", "-p", patch)
        cast.wait_for(org_a, "org-b", ("False", "Suspended"))
        cast.wait_until_listed(org_a, "org-b-kernel", listed=False)
    with tell.check("what followed from it is gone too: org2-api, from the Secrets of client1 and client2"):
        for client in ("client1", "client2"):
            _wait_until_without_services(cast, f"{client}-known-servers")
    with tell.check("Org B, told to look now, hears 412: it still trusts Org A, and says it is not trusted"):
        org_b.kubectl("annotate", "fpeer", "org-a", "bilateral.dev/reconcile-now=demo")
        peer = tell.wait(
            "AcknowledgedByPeer at Org B",
            lambda: org_b.peer("org-a"),
            lambda seen: not seen.is_acknowledged,
            expected="False (AwaitingPartner)",
            seconds=PATIENCE_SECONDS,
        )
        expect(
            "AcknowledgedByPeer at Org B", peer.conditions["AcknowledgedByPeer"], ("False", "AwaitingPartner")
        )
        expect("Ready at Org B", peer.ready, ("True", "Fresh"))
    with tell.check("Org C was silent: PeerStale at ") as line:
        due = org_a.peer("org-c").pin["rotationDue"]
        stale = tell.wait(
            "federationpeer/org-c of Org A",
            lambda: org_a.peer("org-c"),
            lambda peer: peer.ready == ("False", "PeerStale"),
            expected="Ready=False (PeerStale)",
            seconds=ORG_C_WINDOW_SECONDS + PATIENCE_SECONDS,
        )
        late = parse_time(stale.changed_at("Ready") or due) - parse_time(due)
        require("how late it was said", 0 <= late <= 1, "at most 1 s after the deadline", f"{late} s")
        cast.wait_for_lists(org_a, set())
        line.add(f"{clock(stale.changed_at('Ready'))}, its deadline; it is out of org-a-peers too")
    for organisation in cast.both:
        tell.command(f"bilateral status -n trust      # {organisation.title}")
        tell.quote(organisation.bilateral("status").stdout, blank_lines=False)


def _wait_until_without_services(cast: Cast, secret: str) -> None:
    cast.teller.wait(
        f"Secret {secret}",
        lambda: cast.org_a.secret_keys(secret),
        lambda keys: "self.crt" in keys and not any(key.startswith("org2-") for key in keys),
        expected="no service of Org B",
        seconds=PATIENCE_SECONDS,
    )


def window_of(peer: PeerStatus) -> int:
    """Return how long a pin is good for, in seconds; 0 without one."""
    if not peer.pin:
        return 0
    return parse_time(peer.pin["rotationDue"]) - parse_time(peer.pin["establishedAt"])


def renewal_share(peer: PeerStatus) -> int:
    """Return after how many per cent of a pin's window the next handshake is planned."""
    begun = parse_time(peer.pin["establishedAt"])
    return 100 * (parse_time(peer.next_handshake or peer.pin["establishedAt"]) - begun) // window_of(peer)


def clock(moment: str | None) -> str:
    """Return the time of day of an RFC 3339 time."""
    return (moment or "").partition("T")[2].removesuffix("Z")
