"""Those who come to an endpoint without being an operator: a partner that this program plays, and strangers.

What they send is made with the product's own functions, or spoilt afterwards; it is sent by a plain HTTPS
client that verifies the endpoint as a partner would, by the trust domain's certificate authority.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.keys import SigningKey

HANDSHAKE_PATH = "/v1/federation/handshake"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Outsider:
    """Somebody with a name on the wire and a key."""

    kernel_id: str
    key: SigningKey = field(default_factory=SigningKey.generate)

    def write_envelope(self, addressee: str) -> bytes:
        """Make an envelope for a kernel, signed now."""
        envelope = build_envelope(
            local_kernel_id=self.kernel_id,
            remote_kernel_id=addressee,
            nonce=str(uuid.uuid4()),
            timestamp=int(time.time()),
            key=self.key,
        )
        return envelope.to_json()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered: status code, media type and the JSON body."""

    status: int
    media_type: str
    body: dict[str, Any]


def tamper(envelope: bytes) -> bytes:
    """Change what was signed (the nonce) and leave the signature as it is."""
    document = json.loads(envelope)
    document["challenge"]["nonce"] = str(uuid.uuid4())
    return json.dumps(document, separators=(",", ":")).encode()


def post_envelope(url: str, authority: str, envelope: bytes) -> Answer:
    """Send an envelope to the endpoint at `url`; `authority` is the PEM its certificate is verified by."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS, context=context
    )
    try:
        connection.request("POST", HANDSHAKE_PATH, envelope, {"Content-Type": "application/json"})
        response = connection.getresponse()
        media_type = (response.getheader("Content-Type") or "").partition(";")[0]
        return Answer(response.status, media_type, json.loads(response.read()))
    finally:
        connection.close()
