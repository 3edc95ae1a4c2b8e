"""Reading a directory that somebody else updates: whole, or not at all.

Rules:

* A mounted Secret is read in one generation. The kubelet writes each generation into a directory of its
  own and then moves the link ``..data`` to it: so the link is read first and compared afterwards, and
  whatever was read in between is of that generation, or read again.
* A plain directory is read with its files' size, inode and times before and after, and read again when
  one of them moved. A file whose time is too close to the reading to tell is looked at again later.
* Whether a reading is still current is cheap to ask: one ``readlink``, or one ``stat`` a file.

It understands no file, follows links as the system does, and writes nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from bilateral.client.errors import LayoutInvalid, NoUsableChain

MAX_FILE_BYTES: Final = 1024 * 1024
"""A Secret, with all its keys, ends there."""
MAX_FILES: Final = 20_000
_DATA: Final = "..data"
_ATTEMPTS: Final = 100
# Times of files come in steps of the kernel's tick, up to 10 ms: of two writes within one, the second
# leaves no trace in them.
_SETTLED_NS: Final = 50_000_000

_PLAIN_ATTEMPTS: Final = 4
_PLAIN_PAUSE_SECONDS: Final = 0.005

_Marks: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]

Wanted: TypeAlias = Callable[[str], bool]
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Reading:
    """Files of one directory, all of one moment; ``is_current`` says whether that moment lasts."""

    path: Path
    files: Mapping[str, bytes] = field(repr=False)
    """Among them keys and tokens: they show in no repr."""
    generation: str | None
    """What ``..data`` points to; None for a plain directory."""
    _marks: _Marks = field(default=(), repr=False)
    _settled: bool = True
    _link: str = field(default="", repr=False)

    @property
    def is_volume(self) -> bool:
        """Whether this is a mounted Secret, or made like one."""
        return self.generation is not None

    def is_current(self) -> bool:
        """Whether reading again would find the same."""
        if self.generation is not None:
            try:
                return os.readlink(self._link) == self.generation  # noqa: PTH115 - as in _mark
            except OSError:
                return False
        return self._settled and _marks(self.path, (name for name, _ in self._marks[1:])) == self._marks


def read_volume(path: Path, wanted: Wanted) -> Reading:
    """Read the files of ``path`` whose name is wanted; a directory that is not there has none.

    Names that begin with ``..`` are the kubelet's own and never asked for. Raises LayoutInvalid:
    unreadable, too-large, too-many-files, or unstable when it changes faster than it can be read.
    """
    for _ in range(_ATTEMPTS):
        generation = _generation(path)
        if generation is None:
            reading = _read_plain(path, wanted)
            if reading is not None:
                return reading
            continue
        files = _read_files(path, os.path.join(path, generation), wanted)  # noqa: PTH118 - as in _mark
        if files is not None and _generation(path) == generation:
            return Reading(path, MappingProxyType(files), generation, _link=f"{path}/{_DATA}")
    raise LayoutInvalid("unstable", path.name, "the directory changes faster than it can be read")


def read_settled(path: Path, read: Callable[[], _Found]) -> _Found:
    """Call ``read``, and a few times more where ``path`` is a plain directory and made no sense.

    certified rewrites files in place: a reader may meet an empty one, or half a certificate.
    """
    for _ in range(_PLAIN_ATTEMPTS if _generation(path) is None else 0):
        try:
            return read()
        except (LayoutInvalid, NoUsableChain):
            time.sleep(_PLAIN_PAUSE_SECONDS)
    return read()


def _generation(path: Path) -> str | None:
    try:
        return os.readlink(f"{path}/{_DATA}")  # noqa: PTH115 - as in _mark
    except OSError:
        return None


def _read_plain(path: Path, wanted: Wanted) -> Reading | None:
    started = time.time_ns()
    before = _marks(path, ())
    files = _read_files(path, str(path), wanted)
    if files is None:
        # Not there at all is an answer, unless it came or went meanwhile.
        return None if before[0][1] or _marks(path, ()) != before else Reading(path, {}, None, before)
    marks = _marks(path, files)
    if marks[:1] != before or _generation(path) is not None:
        return None
    again = _read_files(path, str(path), files.__contains__)
    if again != files or _marks(path, files) != marks:
        return None
    newest = max((max(stamp[-2:]) for _, stamp in marks if stamp), default=0)
    return Reading(path, MappingProxyType(files), None, marks, newest + _SETTLED_NS < started)


def _marks(path: Path, names: Iterable[str]) -> _Marks:
    """The directory itself and each file: device, inode, size and the two times that writing moves."""
    return (("", _mark(str(path))), *((name, _mark(f"{path}/{name}")) for name in sorted(names)))


def _mark(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 - asked before every connection: no Path is built for it
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read_files(path: Path, directory: str, wanted: Wanted) -> dict[str, bytes] | None:
    """Read the wanted files of ``directory``, or None where it, or one of them, vanished meanwhile."""
    files: dict[str, bytes] = {}
    count = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".."):
                    continue
                count += 1
                if wanted(name) and entry.is_file():
                    files[name] = _read_file(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # The system's own words ("Permission denied"); the path is ours.
        raise LayoutInvalid(
            "unreadable", path.name, f"cannot be read ({(error.strerror or 'error').lower()})"
        ) from None
    if count > MAX_FILES:
        raise LayoutInvalid("too-many-files", path.name, f"expected at most {MAX_FILES} files")
    for name, content in files.items():
        if len(content) > MAX_FILE_BYTES:
            raise LayoutInvalid("too-large", f"{path.name}/{name}", f"more than {MAX_FILE_BYTES} bytes")
    return dict(sorted(files.items()))


def _read_file(path: str) -> bytes:
    """Read a file, and of one that is too large a byte more than it may have."""
    # Not open(): its buffers and its codec are most of the time that a small file takes.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = part = os.read(descriptor, MAX_FILE_BYTES + 1)
        while part and len(content) <= MAX_FILE_BYTES:
            part = os.read(descriptor, MAX_FILE_BYTES + 1 - len(content))
            content += part
    finally:
        os.close(descriptor)
    return content
