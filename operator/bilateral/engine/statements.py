"""The authority statements of our trust domains, for the endpoint of every replica.

What is served is what the holder of the Lease signed and wrote; nothing is signed here. Each version
is read once, for whoever asks often.
"""

from __future__ import annotations

from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.views import Views
from bilateral.exchange.errors import Refusal
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.authorities import STATEMENT_KEY

RETRY_AFTER_SECONDS = 5


class Statements:
    """Statements by kernel id."""

    def __init__(self, cache: Cache, views: Views) -> None:
        self._cache = cache
        self._views = views
        self._read: dict[Key, tuple[str, bytes]] = {}

    def statement(self, kernel_id: str) -> bytes:
        """The statement of a kernel of ours.

        Raises Refusal: NotFound for a kernel id that is not ours, NotReady while there is no statement.
        """
        found = self._views.domain_by_kernel_id(kernel_id)
        if found is None:
            raise Refusal(Reason.NOT_FOUND)
        _, domain = found
        metadata = domain.view.trust_domain.metadata
        key = Key(Kind.SECRET, metadata.namespace, domain.view.trust_domain.statement_secret_name)
        version = self._cache.resource_version(key)
        if version is None or domain.signing_key is None:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        known = self._read.get(key)
        if known is None or known[0] != version:
            secret = self._views.secret(key.namespace, key.name)
            ours = secret is not None and secret.owner_uid == metadata.uid
            document = secret.data.get(STATEMENT_KEY, b"") if secret is not None and ours else b""
            known = self._read[key] = (version, document)
        if not known[1]:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        return known[1]
