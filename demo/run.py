"""`make demo`: two organisations, two clusters, one story in about two minutes, every line of it checked.

The exit code says whether all held: 0, 1 when a check failed, 130 after Ctrl-C. KEEP=1 leaves everything
running at the end. It needs nothing but this checkout's .venv; the test bed brings Kubernetes along.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

# Run as a file, so that its folder and not the checkout is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import access, deadlines, decisions, ending, meeting, refusals, silence
from demo.cast import Cast
from demo.organisation import Organisation
from demo.telling import Teller, Unexpected

from testbed.build import build_helm, build_kubernetes
from testbed.errors import TestBedError

INTERRUPTED = 130
_LOG_LINES = 5


def main() -> int:
    """Tell the story; return the exit code."""
    keep = os.environ.get("KEEP", "") not in {"", "0"}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # Outside the story and its time: the first build takes minutes, and shows its progress itself.
        build_kubernetes()
        build_helm()
    except TestBedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    directory = Path(tempfile.mkdtemp(prefix="bilateral-demo-"))
    cast = Cast(
        Teller(sys.stdout),
        directory,
        Organisation("org-a", "Org A", directory / "org-a", tied=not keep),
        Organisation("org-b", "Org B", directory / "org-b", tied=not keep),
    )
    return _perform(cast, keep=keep)


def _perform(cast: Cast, *, keep: bool) -> int:
    """Tell the story and clean up; what a failure left to look at (the logs) stays, and so does what is kept."""
    try:
        tell_story(cast, keep=keep)
    except KeyboardInterrupt:
        _end(cast)
        cast.teller.say("\nInterrupted; everything has been ended.")
        shutil.rmtree(cast.directory, ignore_errors=True)
        return INTERRUPTED
    except (Unexpected, TestBedError, OSError, ValueError) as error:
        # OSError and ValueError: an endpoint that does not answer, or not with JSON, is a failed check too.
        _end(cast)
        _explain_failure(cast, error)
        return 1
    except BaseException:
        _end(cast)
        raise
    if not keep:
        _end(cast)
        shutil.rmtree(cast.directory, ignore_errors=True)
    return 0


def _end(cast: Cast) -> None:
    """End everything that runs; a second Ctrl-C does not get in between."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cast.stop()


def tell_story(cast: Cast, *, keep: bool) -> None:
    """Tell every chapter in order. Raises Unexpected at the first line that does not hold."""
    teller = cast.teller
    meeting.start(cast)
    accepted = meeting.introduce(cast)
    meeting.exchange(cast)
    refusals.refuse(cast, accepted)
    access.give_access(cast)
    planned = deadlines.shorten(cast)
    matter = decisions.decide(cast)
    deadlines.renew(cast, planned)
    deadlines.suspend(cast)
    silence.fall_silent(cast, matter)
    if not keep:
        ending.delete(cast)
    teller.say(f"\nAll {teller.checks} checks held, in {teller.seconds:.0f} s.")
    if keep:
        ending.explain_what_is_left(cast)


def _explain_failure(cast: Cast, error: Exception) -> None:
    """Say which step failed, with what was expected and found, and where the logs are."""
    say = cast.teller.say
    say(f"\nFAILED after {cast.teller.seconds:.0f} s, at: {cast.teller.doing}")
    if isinstance(error, Unexpected):
        say(f"   looked at: {error.what}\n   expected:  {error.expected}\n   found:     {error.found}")
    else:
        say(f"   {type(error).__name__}: {error}")
    for organisation in cast.both:
        tail = organisation.log_tail(_LOG_LINES)
        if tail:
            say(f"   the last lines of {organisation.operator.log_file}:")
        for line in tail:
            say(f"      {line}")
    say(f"   all logs: {cast.directory}/*/operator/ and {cast.directory}/*/logs/")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
