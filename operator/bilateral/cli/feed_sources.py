"""Where ``bilateral feed`` reads pages from: an https URL, or a file with one page a line.

Rules: https only, verified against the system's roots or the given bundle; no redirect, no proxy of the
environment, no compression; a page is at most 1 MiB and complete within ten seconds however it arrives. Nothing
of what a server said reaches a message.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx

from bilateral.cli.errors import CLIError, InputError
from bilateral.cli.files import read_input
from bilateral.protocol.strictjson import DOCUMENT_LIMITS

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
PAGE_SECONDS: Final = 10.0
_MAX_BUNDLE_BYTES = 4 * 1024 * 1024

Pages = Callable[[int], bytes]
"""From an index to the page that begins there; raises CLIError."""


class UnreachableError(CLIError):
    """The feed's server cannot be reached, or does not answer with a page."""

    exit_code = 3


def open_url(
    url: str, kernel_id: str | None, ca_file: str | None, *, bundle: str | None = None
) -> tuple[httpx.Client, Pages]:
    """Prepare to ask a server, judged by the authorities in a file, in ``bundle`` (PEM), or the system's.

    Raises InputError for what is no https URL or no bundle.
    """
    parsed = _parse_url(url)
    client = httpx.Client(
        verify=build_context(ca_file, bundle),
        trust_env=False,
        follow_redirects=False,
        timeout=PAGE_SECONDS,
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )
    wanted = "" if kernel_id is None else f"&kernelId={quote(kernel_id, safe='')}"

    def page(start: int) -> bytes:
        return _fetch(client, parsed.copy_with(query=f"from={start}{wanted}".encode("ascii")))

    return client, page


def open_file(path: str) -> Pages:
    """Read a file, or stdin for ``-``: one page a line, or one page alone. Raises InputError."""
    data = read_input(path, MAX_FILE_BYTES)
    lines = [line for line in data.split(b"\n") if line.strip()]
    # A page that somebody has laid out for reading is one page, not many lines.
    pages = iter([data] if lines and not lines[0].rstrip().endswith(b"}") else lines)

    def page(start: int) -> bytes:
        found = next(pages, None)
        if found is None:
            raise InputError(f"{path} ends before the feed does: expected a page from entry {start} on")
        return found

    return page


def _parse_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme != "https" or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise InputError("expected a URL such as https://trust.org-b.example/v1/revocations/feed, or a file")
    return parsed


def build_context(ca_file: str | None, bundle: str | None = None) -> ssl.SSLContext:
    """Whom a server is verified by: the authorities in a file, those in ``bundle`` (PEM), or the system's."""
    if ca_file is None and bundle is None:
        return ssl.create_default_context()
    # Not by create_default_context: given an empty bundle it would trust the system's authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        given = bundle if ca_file is None else read_input(ca_file, _MAX_BUNDLE_BYTES).decode("ascii")
        context.load_verify_locations(cadata=given)
    except (ssl.SSLError, ValueError):
        raise InputError(f"{ca_file or 'the verifier'} holds no certificates: expected PEM") from None
    return context


def _fetch(client: httpx.Client, url: httpx.URL) -> bytes:
    """Ask for one page. Raises UnreachableError."""
    deadline = time.monotonic() + PAGE_SECONDS
    try:
        with client.stream("GET", url) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if response.status_code != 200 or kind != "application/json":
                raise UnreachableError(
                    f"the server answered {response.status_code} and no page of a feed: check the URL"
                )
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnreachableError("the server compressed its answer, which nobody asked for")
            body = bytearray()
            for part in response.iter_raw():
                body += part
                if len(body) > DOCUMENT_LIMITS.max_bytes:
                    raise UnreachableError("the server answered with more than a page may have (1 MiB)")
                if time.monotonic() > deadline:
                    raise UnreachableError(f"the server took more than {PAGE_SECONDS:g} seconds for a page")
            return bytes(body)
    except httpx.TimeoutException:
        raise UnreachableError(f"the server took more than {PAGE_SECONDS:g} seconds to answer") from None
    except httpx.HTTPError as error:
        raise UnreachableError(f"the server cannot be asked: {type(error).__name__}") from None
