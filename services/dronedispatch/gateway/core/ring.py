"""The last events, so that a client that comes back with its Last-Event-ID misses nothing.

An id is "term-seq": the dispatcher's leader term and the event's number in it, the same at every gateway. Events are
kept in the order of arrival; a repeated one is dropped, a late one is delivered late.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

_FORM = re.compile(r"(\d{1,18})-(\d{1,18})")


class EventId(NamedTuple):
    """Compares as (term, seq)."""

    term: int
    seq: int

    def __str__(self) -> str:
        return f"{self.term}-{self.seq}"


def parse_event_id(text: str) -> EventId | None:
    """None for a text that is no id of ours."""
    found = _FORM.fullmatch(text)
    return None if found is None else EventId(int(found[1]), int(found[2]))


class Kept(NamedTuple):
    """`place` counts the arrivals at this ring from 1. `id` None: an event of this gateway alone, not resumable."""

    place: int
    id: EventId | None
    topic: str
    data: bytes


class Ring:
    """At most `size` events."""

    def __init__(self, size: int) -> None:
        assert size > 0
        self._size = size
        self._kept: deque[Kept] = deque()
        self._ids: set[EventId] = set()
        self._whole_after = 0  # the place of the last gap
        self.place = 0  # of the newest arrival
        self.newest = EventId(0, 0)  # of those that have an id; (0, 0) is before all of them

    def append(self, event_id: EventId | None, topic: str, data: bytes) -> bool:
        """False: it is here already."""
        if event_id is not None and event_id in self._ids:
            return False
        self.place += 1
        self._kept.append(Kept(self.place, event_id, topic, data))
        if event_id is not None:
            self._ids.add(event_id)
            self.newest = event_id
        if len(self._kept) > self._size:
            gone = self._kept.popleft()
            if gone.id is not None:
                self._ids.discard(gone.id)
        return True

    def gap(self) -> None:
        """Events may have passed by unheard: nobody is resumed over this place."""
        self.append(None, "", b"")
        self._whole_after = self.place

    def after(self, place: int) -> list[Kept] | None:
        """What arrived after `place`; None: a part of it is gone."""
        wanted = self.place - place
        if place < self._whole_after or not 0 <= wanted <= len(self._kept):
            return None
        return [self._kept[i] for i in range(len(self._kept) - wanted, len(self._kept))]

    def place_of(self, last: EventId) -> int | None:
        """The place from which a client that has seen `last` must read on; None: a part of it is gone.

        An id that never came here (the client knew another gateway) is placed by its value, if the ring reaches back
        to it without a gap. This gateway may be behind another by as many events as it keeps; an id beyond is none of ours,
        and waiting for it would be silence.
        """
        if last in self._ids:
            return next(kept.place for kept in self._kept if kept.id == last)
        named = [
            (kept.id, kept.place)
            for kept in self._kept
            if kept.id is not None and kept.place > self._whole_after
        ]
        if not named:
            return None
        oldest = min(event_id for event_id, _ in named)
        if oldest > last and oldest != EventId(last.term, last.seq + 1):
            return None
        newer = [place for event_id, place in named if event_id > last]
        if newer:
            return min(newer) - 1
        newest = max(event_id for event_id, _ in named)
        behind = last.term == newest.term and last.seq - newest.seq <= self._size
        return self.place if behind else None
