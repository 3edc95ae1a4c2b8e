"""The groups that two people compare: stable, short enough to read, sensitive to everything asked for."""

from __future__ import annotations

import re

import pytest

from bilateral.protocol.canonical import JSON
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.exports import comparison_groups
from support.kernels import KEY_A, KEY_B, A

ENDPOINT: dict[str, JSON] = {"url": "https://trust.org-a.example:8940", "verifier": {"webPKI": {}}}
ANCHORS = [KEY_A.public_key, KEY_B.public_key]
GROUPS = comparison_groups(A, ANCHORS, ENDPOINT)


def test_eight_groups_that_never_change() -> None:
    assert re.fullmatch(r"[0-9A-F]{4}(-[0-9A-F]{4}){7}", GROUPS)
    # Pinned: two versions of the program must read the same groups for one file.
    assert GROUPS == "29CC-CBB1-710F-0C4D-82EF-FC14-12B4-9CEF"


def test_the_order_of_keys_and_members_does_not_matter() -> None:
    turned: dict[str, JSON] = {"verifier": {"webPKI": {}}, "url": "https://trust.org-a.example:8940"}
    assert comparison_groups(A, ANCHORS[::-1], turned) == GROUPS
    assert comparison_groups(A, ANCHORS * 2, ENDPOINT) == GROUPS


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(comparison_groups("org-c-kernel", ANCHORS, ENDPOINT), id="another kernel id"),
        pytest.param(comparison_groups(A, ANCHORS[:1], ENDPOINT), id="an anchor less"),
        pytest.param(comparison_groups(A, [], ENDPOINT), id="no anchors"),
        pytest.param(comparison_groups(A, ANCHORS, None), id="no endpoint"),
        pytest.param(
            comparison_groups(A, ANCHORS, {**ENDPOINT, "url": "https://evil.example"}), id="another URL"
        ),
    ],
)
def test_everything_that_is_trusted_counts(groups: str) -> None:
    assert groups != GROUPS


def test_an_endpoint_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        comparison_groups(A, ANCHORS, "\ud800")
