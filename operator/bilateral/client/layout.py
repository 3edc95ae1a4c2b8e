"""A directory that stock ``certified`` accepts, made of mounted Secrets.

::

    TARGET/id.key          a copy, 0600: stock certified refuses a key that a group may read, and a
                           kubelet gives a Secret's files to a group as soon as the pod is not root
    TARGET/id.crt          -> SOURCE/identity/tls.crt (the key may be another Secret's, mounted as SOURCE/key)
    TARGET/id              -> SOURCE/id-chains
    TARGET/known_servers   -> SOURCE/known-servers
    TARGET/known_clients   -> SOURCE/known-clients

Rules: everything but the key is a link, so an update of a Secret shows at once; the key is copied again
when it changes, and replaced by renaming. A target that holds anything else than what was made here is
left as it is: it may be somebody's own directory, with a key that exists once.

The links are absolute: whoever uses the target must have the Secrets mounted at the same paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bilateral.client.chains import CERTIFICATE_FILES, load_key, read_identity
from bilateral.client.errors import LayoutInvalid
from bilateral.client.places import Places
from bilateral.client.volumes import Reading, read_settled

MARKER: Final = ".bilateral-layout"
KEY_FILE: Final = "id.key"
DEFAULT_INTERVAL_SECONDS: Final = 1.0

_KEY_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o755


def write_layout(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> tuple[Reading, ...]:
    """Make ``target`` out of the Secrets under ``source``, or bring it up to date; return what was read.

    Without a certificate in ``source`` the target is a client's: it has ``id/`` only. Raises LayoutInvalid
    (no-directory, no-key, foreign, unwritable, …).
    """
    places, into = Places.locate(Path(source).absolute()), Path(target).absolute()
    identity, key, key_pem = read_settled(places.key, lambda: _read_key(places))
    try:
        _claim(into)
        for name, to in _links(places, identity):
            _link(into / name, to)
        _replace_key(into / KEY_FILE, key_pem)
    except OSError as error:
        # The system's own words; the path is ours.
        raise LayoutInvalid(
            "unwritable", into.name, f"cannot be written ({(error.strerror or 'error').lower()})"
        ) from None
    return identity, key


def watch_layout(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    wait: Callable[[float], bool],
    interval: float = DEFAULT_INTERVAL_SECONDS,
    report: Callable[[LayoutInvalid | None], None] = lambda _: None,
) -> None:
    """Make ``target`` and keep its key up to date until ``wait(interval)``, in seconds, returns True.

    Raises LayoutInvalid when it cannot be made at first. Later, what is wrong is reported once, and that
    it is well again (None), and the target stays as it was.
    """
    readings: tuple[Reading, ...] = write_layout(source, target)
    said: str | None = None
    while not wait(interval):
        if readings and all(reading.is_current() for reading in readings):
            continue
        try:
            readings = write_layout(source, target)
        except LayoutInvalid as error:
            readings = ()
            if said != str(error):
                said = str(error)
                report(error)
        else:
            if said is not None:
                said = None
                report(None)


def _read_key(places: Places) -> tuple[Reading, Reading, bytes]:
    identity, key = read_identity(places)
    key_pem, _ = load_key(key)
    return identity, key, key_pem


def _links(places: Places, identity: Reading) -> Iterator[tuple[str, Path]]:
    for name in CERTIFICATE_FILES:
        if name in identity.files:
            yield "id.crt", identity.path / name
            break
    yield "id", places.chains
    yield "known_servers", places.known_servers
    yield "known_clients", places.known_clients
    if places.cross_signed is not None and places.cross_signed.is_dir():
        yield "CA", places.cross_signed


def _claim(target: Path) -> None:
    target.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    if (target / MARKER).exists():
        return
    if any(target.iterdir()):
        raise LayoutInvalid(
            "foreign",
            target.name,
            "expected an empty directory, or one that was made here, found something else: it is left as it is",
        )
    (target / MARKER).touch(exist_ok=True)


def _link(link: Path, to: Path) -> None:
    if link.is_symlink() and link.readlink() == to:
        return
    fresh = link.with_name(f".{link.name}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(to)
    fresh.replace(link)


def _replace_key(file: Path, key_pem: bytes) -> None:
    with suppress(FileNotFoundError):
        if (
            not file.is_symlink()
            and file.stat().st_mode & 0o777 == _KEY_MODE
            and file.read_bytes() == key_pem
        ):
            return
    fresh = file.with_name(f".{file.name}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _KEY_MODE)
    with os.fdopen(descriptor, "wb") as written:
        written.write(key_pem)
    fresh.replace(file)
