"""The DID documents of our trust domains, for the endpoint of every replica.

Each is computed from the key that speaks now and the services of the spec; nothing is kept or signed. A
trust domain whose key may not be used (drifted, regressed clock) has none for the time being.
"""

from __future__ import annotations

import json
from typing import Final

from bilateral.engine.views import Views
from bilateral.exchange.errors import Refusal
from bilateral.protocol.did import build_did_document
from bilateral.protocol.reasons import Reason

RETRY_AFTER_SECONDS: Final = 5
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


class DidDocuments:
    """DID documents by kernel id."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def did_document(self, kernel_id: str) -> bytes:
        """The document of a kernel of ours.

        Raises Refusal: NotFound for a kernel id that is not ours, NotReady while it has no usable key.
        """
        found = self._views.domain_by_kernel_id(kernel_id)
        if found is None:
            raise Refusal(Reason.NOT_FOUND)
        _, domain = found
        if domain.signing_key is None:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        services = domain.view.trust_domain.spec.did
        document = build_did_document(
            domain.signing_key.public_key, services.receipt_log_urls, services.passport_status_urls
        )
        return _COMPACT.encode(document).encode()
