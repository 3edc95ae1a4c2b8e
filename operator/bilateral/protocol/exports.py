"""Groups of digits that two people compare over another channel.

They stand for what the export of a trust domain asks a partner to trust: kernel id, anchors and
endpoint. Eight groups of four hex digits are the first 16 bytes of a SHA-256: whoever wants another
export with the same groups has to find a second preimage, 2^128 attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.strictjson import JSON

_COMPARED_BYTES = 16
_GROUP_DIGITS = 4


def comparison_groups(kernel_id: str, anchors: Sequence[PublicKey], endpoint: JSON) -> str:
    """Build the groups, for example ``7F3A-91BC-0E44-…`` (8 groups).

    The order of ``anchors`` does not matter. ``endpoint`` is the manifest's member, ``None`` where
    there is none. Raises :class:`MalformedDocument` for an endpoint that is not JSON.
    """
    names: list[JSON] = [*sorted({anchor.canonical for anchor in anchors})]
    digest = sha256(
        canonical_bytes({"kernelId": kernel_id, "trustAnchors": names, "endpoint": endpoint})
    ).digest()
    digits = digest[:_COMPARED_BYTES].hex().upper()
    return "-".join(digits[at : at + _GROUP_DIGITS] for at in range(0, len(digits), _GROUP_DIGITS))
