"""Revocation lists among the mounted files, each put beside the authority that signed it.

Rules: a list belongs to an authority by its signature, not by its file's name; a file that cannot be read
as a list at all makes the whole directory unusable, since nobody can say whom it would have withdrawn; of
several lists of one authority the highest number counts. A list of an authority that is not asked about is
passed over, unless the file bears that authority's name: then it is not the list that should be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from cryptography import x509

from bilateral.client.errors import LayoutInvalid
from bilateral.client.verification import Anchor
from bilateral.client.volumes import Reading
from bilateral.pki.errors import InvalidRevocationList
from bilateral.pki.revocations import RevocationList, parse_revocation_list
from bilateral.pki.slugs import build_slug

SUFFIX = ".crl"


def find_anchors(
    authorities: Mapping[str, x509.Certificate] | Iterable[x509.Certificate], readings: Iterable[Reading]
) -> tuple[Anchor, ...]:
    """Pair authorities (with the stems of their files, where they have one) with their newest lists.

    Raises LayoutInvalid with the cause of the list that cannot be read, or foreign.
    """
    named = (
        list(authorities.items())
        if isinstance(authorities, Mapping)
        else [(build_slug(authority), authority) for authority in authorities]
    )
    files = [
        (reading.path.name, name, content)
        for reading in readings
        for name, content in reading.files.items()
        if name.endswith(SUFFIX)
    ]
    return tuple(Anchor(authority, _newest(stem, authority, files)) for stem, authority in named)


def _newest(
    stem: str, authority: x509.Certificate, files: list[tuple[str, str, bytes]]
) -> RevocationList | None:
    newest: RevocationList | None = None
    for directory, name, content in files:
        try:
            found = parse_revocation_list(content, authority)
        except InvalidRevocationList as error:
            if error.cause == "foreign" and PurePath(name).stem != stem:
                continue
            raise LayoutInvalid(error.cause, f"{directory}/{name}", str(error)) from None
        if newest is None or newest.number < found.number:
            newest = found
    return newest
