"""Which key spoke for a partner, and when: what its older documents are verified against.

A partner's keys come from three places: the anchors that a person installed, the pins that the partner
proved in handshakes, and the issuers that a policy trusts. Each was so for a while; a history keeps the
intervals, so that a key that was right at one time is not taken to be right at another.

Rules kept here:

- an interval holds from its first second up to, and without, its last (``since <= time < until``); an
  absent ``since`` says that nobody knows when it began, an absent ``until`` that no end is set;
- a key that is no longer there ends at the second at which that is seen; a later return is a new
  interval, and the gap stays a gap: nothing is ever filled in afterwards;
- a clock that went back teaches nothing: what it would add, end or prolong is left out;
- looking twice at the same keys changes nothing, so that nothing needs to be written;
- a history is bounded; of those that are over, the oldest go first.

That a key spoke for a partner does not admit it: whether it is trusted now is for the policy to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey, parse_wire_key
from bilateral.protocol.strictjson import JSON, Limits, parse_json

KEY_HISTORY_SCHEMA: Final = "bilateral.key-history.v1"
MAX_INTERVALS: Final = 256
HISTORY_LIMITS: Final = Limits(max_bytes=128 * 1024, max_depth=4, max_members=2_048, max_values=4_096)

_REQUIRED: Final = frozenset({"publicKey", "source"})
_OPTIONAL: Final = frozenset({"since", "until"})


class KeySource(StrEnum):
    """How we know that a key is a partner's."""

    ANCHOR = "anchor"
    PIN = "pin"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class KeyInterval:
    """A key that spoke for a partner for a while. Times are Unix seconds."""

    key: PublicKey
    source: KeySource
    since: int | None = None
    until: int | None = None

    def contains(self, time: int) -> bool:
        """Whether the key spoke at ``time``: ``until`` itself is too late."""
        return (self.since is None or self.since <= time) and (self.until is None or time < self.until)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The keys of one partner with their intervals, in the order in which they were first seen."""

    intervals: tuple[KeyInterval, ...] = ()

    def keys_at(self, time: int, source: KeySource | None = None) -> frozenset[PublicKey]:
        """The keys that spoke at ``time``, from one source or from any."""
        return frozenset(each.key for each in self._of(None, source) if each.contains(time))

    def spoke_at(self, key: PublicKey, time: int, source: KeySource | None = None) -> bool:
        """Whether ``key`` spoke for the partner at ``time``."""
        return any(each.contains(time) for each in self._of(key, source))

    def intervals_of(self, key: PublicKey, source: KeySource | None = None) -> tuple[KeyInterval, ...]:
        """All intervals of ``key``, from one source or from any."""
        return tuple(self._of(key, source))

    def interval_of(self, key: PublicKey, source: KeySource | None = None) -> KeyInterval | None:
        """The latest interval of ``key``: the one that ends last; ``None`` for a key never seen."""
        return max(self._of(key, source), key=_end, default=None)

    def observe(self, present: Iterable[KeyInterval], now: int) -> KeyHistory:
        """The history after a look at the keys that are there at ``now``.

        ``present`` says of each what is known of its beginning and its end. One that is there already is
        prolonged or shortened to its new end; one that is not in ``present`` ends now.
        """
        if any(each.since is not None and each.since > now for each in self.intervals):
            return self  # The clock went back.
        there = {(each.key, each.source): each for each in present if each.until is None or now < each.until}
        kept: list[KeyInterval] = []
        for each in self.intervals:
            if each.until is not None and each.until <= now:
                kept.append(each)
                continue
            found = there.pop((each.key, each.source), None)
            ended = replace(each, until=now if found is None else found.until)
            if ended.since is None or ended.until is None or ended.since < ended.until:
                kept.append(ended)
        seen = {(each.key, each.source) for each in self.intervals}
        for name, each in there.items():
            since = each.since if name not in seen else now
            kept.append(replace(each, since=None if since is None else min(since, now)))
        return KeyHistory(_bounded(kept, now))

    def to_members(self) -> dict[str, JSON]:
        """The history as JSON (``bilateral.key-history.v1``)."""
        intervals: list[JSON] = []
        for each in self.intervals:
            members: dict[str, JSON] = {"publicKey": each.key.canonical, "source": each.source.value}
            if each.since is not None:
                members["since"] = each.since
            if each.until is not None:
                members["until"] = each.until
            intervals.append(members)
        return {"schema": KEY_HISTORY_SCHEMA, "intervals": intervals}

    def _of(self, key: PublicKey | None, source: KeySource | None) -> Iterable[KeyInterval]:
        return (
            each
            for each in self.intervals
            if (key is None or each.key == key) and (source is None or each.source is source)
        )


def parse_key_history(document: bytes | JSON) -> KeyHistory:
    """Read a history that was kept; :class:`MalformedDocument` for what is none."""
    value = parse_json(document, HISTORY_LIMITS) if isinstance(document, bytes) else document
    if not isinstance(value, dict) or value.keys() != {"schema", "intervals"}:
        raise MalformedDocument("key-history")
    intervals = value["intervals"]
    if value["schema"] != KEY_HISTORY_SCHEMA:
        raise MalformedDocument("schema")
    if not isinstance(intervals, list) or len(intervals) > MAX_INTERVALS:
        raise MalformedDocument("intervals")
    return KeyHistory(tuple(map(_parse_interval, intervals)))


def _parse_interval(value: JSON) -> KeyInterval:
    if not isinstance(value, dict) or _REQUIRED - value.keys() or value.keys() - _REQUIRED - _OPTIONAL:
        raise MalformedDocument("interval")
    key, source = value["publicKey"], value["source"]
    if not isinstance(key, str) or source not in tuple(KeySource):
        raise MalformedDocument("interval")
    since, until = _time(value, "since"), _time(value, "until")
    if since is not None and until is not None and until <= since:
        raise MalformedDocument("interval")
    return KeyInterval(parse_wire_key(key), KeySource(str(source)), since, until)


def _time(members: dict[str, JSON], name: str) -> int | None:
    if name not in members:
        return None
    value = members[name]
    if type(value) is not int or not 0 <= value <= SAFE_INTEGER_MAX:
        raise MalformedDocument("interval")
    return value


def _end(interval: KeyInterval) -> int:
    return SAFE_INTEGER_MAX + 1 if interval.until is None else interval.until


def _bounded(intervals: list[KeyInterval], now: int) -> tuple[KeyInterval, ...]:
    """Drop the ones that have been over for longest; those that hold are never dropped."""
    surplus = len(intervals) - MAX_INTERVALS
    if surplus > 0:
        over = sorted((each for each in intervals if _end(each) <= now), key=_end)[:surplus]
        dropped = {id(each) for each in over}
        intervals = [each for each in intervals if id(each) not in dropped]
    return tuple(intervals)
