"""Revocation lists among the mounted files, each put beside the authority that signed it.

Rules: a list belongs to an authority by its signature; of several the highest number counts. A file that
bears an authority's name (``<slug>.crl``, and ``self.crl`` for whichever is our own) and is not its list
makes that authority unusable: nobody can say whom the list would have withdrawn. Other files are passed
over.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from bilateral.client.errors import LayoutInvalid
from bilateral.client.verification import Anchor
from bilateral.client.volumes import Reading
from bilateral.pki.directory import OWN
from bilateral.pki.errors import InvalidRevocationList
from bilateral.pki.revocations import RevocationList, parse_revocation_list

SUFFIX = ".crl"


def find_anchor(name: str, authority: x509.Certificate, readings: Iterable[Reading]) -> Anchor:
    """Pair an authority (``name``: its slug, or the stem of its file) with its newest list, if there is one.

    Raises LayoutInvalid with the cause of the list that bears the authority's name and is not its own.
    """
    newest: RevocationList | None = None
    for reading in readings:
        for file, content in reading.files.items():
            stem, dot, suffix = file.rpartition(".")
            if dot + suffix != SUFFIX:
                continue
            try:
                found = parse_revocation_list(content, authority)
            except InvalidRevocationList as error:
                if stem == name or (stem == OWN and error.cause != "foreign"):
                    raise LayoutInvalid(error.cause, f"{reading.path.name}/{file}", str(error)) from None
                continue
            if newest is None or newest.number < found.number:
                newest = found
    return Anchor(name, authority, newest)
