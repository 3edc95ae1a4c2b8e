"""The documentation keeps its promises: links lead somewhere, every reason has its row, commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bilateral.cli.advice import ADVICE
from bilateral.protocol.policies.denials import DENIALS
from bilateral.protocol.policies.questions import CheckName
from bilateral.protocol.reasons import Reason

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its code blocks and code spans."""
    return _SPAN.sub("", _CODE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The pages and anchors of this checkout that a page links to."""
    for target in _LINK.findall(prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        yield (page.parent / name).resolve() if name else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {target.name}#{anchor}"


def test_every_page_is_reachable_from_the_readme() -> None:
    seen = {ROOT / "README.md"}
    new = set(seen)
    while new:
        new = {target for page in new for target, _ in links(page)}
        new = {target for target in new if target.suffix == ".md" and target.exists()} - seen
        seen |= new
    assert not set(PAGES) - seen - {ROOT / "docs" / "index.md"}


def test_troubleshooting_and_decisions_have_a_row_for_every_reason() -> None:
    pages = (ROOT / "docs" / "troubleshooting.md", ROOT / "docs" / "decisions.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    rows = re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", text, re.MULTILINE)
    # A reason that two sides can meet may stand in two tables; one that does not exist, in none.
    assert set(rows) == {reason.value for reason in Reason}


def test_every_denial_is_explained_in_the_words_that_the_command_line_uses() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z][A-Za-z]+)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    advice = {reason: ADVICE[reason] for reason in DENIALS}
    assert sorted(rows) == sorted((reason.value, each.meaning, each.step) for reason, each in advice.items())


def test_the_checks_of_a_decision_are_documented_in_their_order() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    table = text[: text.index("The first check that fails")]
    assert re.findall(r"^\| `([a-z][A-Za-z]+)` \|", table, re.MULTILINE) == [name.value for name in CheckName]


def test_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        named = set(
            re.findall(r"(?:^|`)(?:KEEP=1 )?make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert named <= targets, f"{page.name}: {named - targets}"


def test_the_manifest_in_the_readme_is_the_example() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    manifest = re.search(r"```yaml\n# trustdomain.yaml\n(.+?)```", text, re.DOTALL)
    assert manifest is not None
    example = (ROOT / "examples" / "two-organisations" / "org-a" / "trustdomain.yaml").read_text(
        encoding="utf-8"
    )
    assert manifest[1] in example
