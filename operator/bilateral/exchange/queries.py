"""The one question that public GETs of the federation endpoint have in common: ``?kernelId=``, and nothing else."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from bilateral.exchange.errors import Refusal
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.reasons import Reason

# Nothing in a kernel id needs to be escaped, but whoever builds a query may escape a colon.
_QUERY: Final = re.compile(r"kernelId=((?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2}){1,759})")


def read_kernel_id(request: web.BaseRequest) -> str:
    """Read the kernel id that is asked about. Raises Refusal (MalformedDocument) for any other query."""
    match = _QUERY.fullmatch(request.raw_path.partition("?")[2])
    kernel_id = "" if match is None else unquote(match[1], errors="replace")
    if not is_kernel_id(kernel_id):
        raise Refusal(Reason.MALFORMED_DOCUMENT)
    return kernel_id
