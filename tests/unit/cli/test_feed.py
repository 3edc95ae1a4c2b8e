"""bilateral feed verify: any feed, from its start to its head, by file and over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from bilateral.cli import feed_sources
from bilateral.exchange.tls import build_server_context
from bilateral.protocol.revocations import FeedPage
from support.feeds import FEED_KEY, KERNEL, OTHER_KEY, Feed, feed_of, resigned
from unit.cli.fakes import NOW, Shell
from unit.exchange.conftest import Credentials, make_credentials
from unit.exchange.wire import http, partner

SIGNER = ("--signer", FEED_KEY.public_key.canonical)


def pages_of(feed: Feed, limit: int = 3, now: int = NOW) -> list[FeedPage]:
    return [feed.page(start, now, limit) for start in range(0, max(1, len(feed.entries)), limit)]


def written(folder: Path, pages: list[FeedPage]) -> str:
    path = folder / "pages.jsonl"
    path.write_bytes(b"".join(page.to_json() + b"\n" for page in pages))
    return str(path)


def verify(*arguments: str, now: float = NOW, stdin: bytes | None = None) -> Result:
    return Shell(now=now).run("feed", "verify", *arguments, stdin=stdin)


def test_a_good_feed_is_told_in_five_lines(tmp_path: Path) -> None:
    feed = feed_of(8)
    result = verify(written(tmp_path, pages_of(feed)), *SIGNER, now=NOW + 90)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"feed of     {KERNEL}",
        "entries     8 entries in 3 pages, all as the head says",
        f"root        {feed.publisher.root().hex()}",
        result.stdout.splitlines()[3],
        f"signed by   {FEED_KEY.public_key.canonical}",
    ]
    assert result.stdout.splitlines()[3].endswith("(1 min 30 s ago)")


@pytest.mark.parametrize("count", [0, 1])
def test_small_feeds_are_feeds(tmp_path: Path, count: int) -> None:
    result = verify(written(tmp_path, pages_of(feed_of(count))), *SIGNER, "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["treeSize"]) == (0, count)


def test_programs_get_everything_and_the_head_itself(tmp_path: Path) -> None:
    feed = feed_of(4)
    result = verify(written(tmp_path, pages_of(feed)), *SIGNER, "-o", "json", now=NOW + 5)
    data = json.loads(result.stdout)
    assert (data["verified"], data["reason"], data["kernelId"]) == (True, None, KERNEL)
    assert (data["treeSize"], data["entriesRead"], data["pagesRead"], data["ageSeconds"]) == (4, 4, 2, 5)
    assert data["checkpoint"] == feed.head(NOW)
    assert data["signer"] == FEED_KEY.public_key.canonical


@pytest.mark.parametrize("form", ["one line", "laid out", "standard input"])
def test_one_page_may_stand_as_it_likes(tmp_path: Path, form: str) -> None:
    data = feed_of(3).page(0, NOW).to_json()
    if form == "standard input":
        assert verify("-", *SIGNER, stdin=data).exit_code == 0
        return
    path = tmp_path / "page.json"
    path.write_bytes(data if form == "one line" else json.dumps(json.loads(data), indent=2).encode())
    assert verify(str(path), *SIGNER).exit_code == 0


def forked(pages: list[FeedPage]) -> list[FeedPage]:
    return [pages[0], *pages_of(feed_of(3).revoke(*(f"other-{each}" for each in range(5))))[1:]]


@pytest.mark.parametrize(
    ("change", "reason", "has_evidence"),
    [
        pytest.param(forked, "Equivocation", True, id="a fork between two pages"),
        pytest.param(
            lambda pages: [pages[0], replace(pages[1], checkpoint=feed_of(4).head(NOW)), pages[2]],
            "Equivocation",
            True,
            id="a smaller tree",
        ),
        pytest.param(
            lambda pages: [replace(pages[0], consistency=pages[0].consistency[1:])],
            "Equivocation",
            True,
            id="a proof",
        ),
        pytest.param(lambda pages: [resigned(pages[0], OTHER_KEY)], "FeedSignerUnknown", True, id="a signer"),
        pytest.param(lambda pages: pages[1:], "MalformedDocument", False, id="not from the start"),
        pytest.param(
            lambda _: pages_of(feed_of(8), now=NOW + 600),
            "ClockSkewExceeded",
            False,
            id="a head from the future",
        ),
    ],
)
def test_a_bad_feed_is_a_no_with_the_word_for_it(
    tmp_path: Path, change: Callable[[list[FeedPage]], list[FeedPage]], reason: str, has_evidence: bool
) -> None:
    path = written(tmp_path, change(pages_of(feed_of(8))))
    text = verify(path, *SIGNER)
    assert (text.exit_code, text.stdout) == (1, "")
    assert text.stderr.startswith(f"error: {reason}: ")
    data = verify(path, *SIGNER, "-o", "json")
    found: dict[str, Any] = json.loads(data.stdout)
    assert (data.exit_code, found["verified"], found["reason"]) == (1, False, reason)
    assert ("evidence" in found) == has_evidence


def test_any_of_several_signers_may_have_signed(tmp_path: Path) -> None:
    path = written(tmp_path, pages_of(feed_of(2)))
    assert verify(path, "--signer", OTHER_KEY.public_key.did, *SIGNER).exit_code == 0
    assert verify(path, "--signer", OTHER_KEY.public_key.did).exit_code == 1


def test_it_must_be_the_kernels_whose_feed_is_meant(tmp_path: Path) -> None:
    path = written(tmp_path, pages_of(feed_of(2)))
    assert verify(path, *SIGNER, "--kernel-id", KERNEL).exit_code == 0
    result = verify(path, *SIGNER, "--kernel-id", "org-c-kernel")
    assert (result.exit_code, "FeedOfAnother" in result.stderr) == (1, True)


@pytest.mark.parametrize(("age", "exit_code"), [(3599, 0), (3600, 1), (86_400, 1)])
def test_a_head_may_be_as_old_as_is_said(tmp_path: Path, age: int, exit_code: int) -> None:
    path = written(tmp_path, pages_of(feed_of(2)))
    result = verify(path, *SIGNER, "--max-age", "1h", now=NOW + age)
    assert result.exit_code == exit_code, result.stderr
    assert ("RevocationFeedStale" in result.stderr) == bool(exit_code)
    data = json.loads(verify(path, *SIGNER, "--max-age", "1h", "-o", "json", now=NOW + age).stdout)
    assert data["verified"] == (not exit_code)


@pytest.mark.parametrize(
    ("shown", "exit_code"),
    [
        pytest.param(feed_of(5), 0, id="an earlier one of this feed"),
        pytest.param(feed_of(8), 0, id="the same"),
        pytest.param(feed_of(9), 1, id="a later one: the feed was rolled back"),
        pytest.param(feed_of(4).revoke("other"), 1, id="one of another history"),
        pytest.param(feed_of(8, "other"), 1, id="another one of the same size"),
    ],
)
def test_a_head_that_somebody_else_was_shown_must_be_in_the_feed(
    tmp_path: Path, shown: Feed, exit_code: int
) -> None:
    head = tmp_path / "head"
    head.write_text(shown.head(NOW - 60), encoding="utf-8")
    result = verify(written(tmp_path, pages_of(feed_of(8))), *SIGNER, "--head", str(head))
    assert result.exit_code == exit_code, result.stderr
    assert ("Equivocation" in result.stderr) == bool(exit_code)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"not a head",
        Feed("org-c-kernel").head(NOW).encode(),
        Feed(key=OTHER_KEY).head(NOW).encode(),
    ],
)
def test_what_is_no_head_of_this_feed_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    head = tmp_path / "head"
    head.write_bytes(content)
    result = verify(written(tmp_path, pages_of(feed_of(2))), *SIGNER, "--head", str(head))
    assert result.exit_code == 2
    assert "head" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.jsonl", *SIGNER), "cannot read"),
        (("pages", "--signer", "zz"), "MalformedKey"),
        (("pages",), "--signer"),
        (("pages", *SIGNER, "--kernel-id", "a b"), "kernel id"),
        (("http://a.example/v1/revocations/feed", *SIGNER), "https://"),
        (("https://user@a.example/feed", *SIGNER), "https://"),
        (("https://a.example/feed?from=3", *SIGNER), "https://"),
        (("https://", *SIGNER), "https://"),
        (("https://a.example:port/feed", *SIGNER), "https://"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], words: str) -> None:
    result = verify(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_ends_before_the_feed_does(tmp_path: Path) -> None:
    result = verify(written(tmp_path, pages_of(feed_of(8))[:2]), *SIGNER)
    assert result.exit_code == 2
    assert "entry 6" in result.stderr
    assert verify("-", *SIGNER, stdin=b"").exit_code == 2


# Over TLS


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials("Feed CA")


async def ask(
    credentials: Credentials, folder: Path, answer: object, trusted: bool = True
) -> tuple[Result, bytes]:
    bundle = folder / "ca.pem"
    bundle.write_bytes((credentials if trusted else make_credentials("Other CA")).pem)
    issued = credentials.issue("127.0.0.1")
    async with partner(answer, build_server_context(issued.cert_pem, issued.key_pem)) as other:  # type: ignore[arg-type]
        url = f"https://127.0.0.1:{other.port}/v1/revocations/feed"
        result = await asyncio.to_thread(
            verify, url, *SIGNER, "--ca-file", str(bundle), "--kernel-id", KERNEL
        )
    return result, other.received


async def test_a_server_is_asked_for_every_page(credentials: Credentials, tmp_path: Path) -> None:
    pages = {page.start: page.to_json() for page in pages_of(feed_of(8))}
    asked: list[int] = []

    async def answer(transport: asyncio.Transport) -> None:
        asked.append(sum(asked[-1:]) + 3 if asked else 0)
        transport.write(http(200, pages[asked[-1]], "Connection: close"))

    result, received = await ask(credentials, tmp_path, answer)
    assert result.exit_code == 0, result.stderr
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"GET ")]
    assert lines == [
        f"GET /v1/revocations/feed?from={start}&kernelId={KERNEL} HTTP/1.1".encode() for start in (0, 3, 6)
    ]


PAGE = feed_of(1).page(0, NOW).to_json()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http(404, PAGE), id="nothing there"),
        pytest.param(http(200, PAGE, media_type="text/html"), id="another type"),
        pytest.param(http(200, PAGE, "Content-Encoding: gzip"), id="packed"),
        pytest.param(http(302, b"", "Location: https://elsewhere.example/"), id="elsewhere"),
        pytest.param(http(200, b" " * (1024 * 1024 + 1)), id="huge"),
        pytest.param(b"nothing of HTTP\r\n\r\n", id="another protocol"),
    ],
)
async def test_a_server_without_a_page_is_not_reached(
    credentials: Credentials, tmp_path: Path, answer: bytes
) -> None:
    result, _ = await ask(credentials, tmp_path, answer)
    assert result.exit_code == 3
    assert "Traceback" not in result.stderr


async def test_nobody_is_sent_elsewhere(credentials: Credentials, tmp_path: Path) -> None:
    answers = iter([http(302, b"", "Location: /elsewhere", "Connection: close"), http(200, PAGE)])

    async def answer(transport: asyncio.Transport) -> None:
        transport.write(next(answers))

    result, received = await ask(credentials, tmp_path, answer)
    assert (result.exit_code, received.count(b"GET ")) == (3, 1)


async def test_a_server_that_is_not_trusted_is_not_asked(credentials: Credentials, tmp_path: Path) -> None:
    result, received = await ask(credentials, tmp_path, http(200, PAGE), trusted=False)
    assert (result.exit_code, received) == (3, b"")


@pytest.mark.parametrize("way", ["stalls", "drips"])
async def test_a_slow_server_is_not_waited_for(
    credentials: Credentials, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_sources, "PAGE_SECONDS", 0.5)

    async def answer(transport: asyncio.Transport) -> None:
        whole = http(200, PAGE)
        transport.write(whole[:-100])
        if way == "stalls":
            await asyncio.Event().wait()
        for byte in whole[-100:]:
            await asyncio.sleep(0.02)
            transport.write(bytes([byte]))

    result, _ = await ask(credentials, tmp_path, answer)
    assert result.exit_code == 3
    assert "more than 0.5 seconds" in result.stderr


async def test_a_bundle_without_certificates_is_an_input_error(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    for content in (b"", b"\xff", b"not PEM"):
        bundle.write_bytes(content)
        result = verify("https://127.0.0.1:1/feed", *SIGNER, "--ca-file", str(bundle))
        assert (result.exit_code, "PEM" in result.stderr) == (2, True)
