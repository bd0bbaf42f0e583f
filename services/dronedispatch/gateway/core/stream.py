"""One client's way through the events: what it has seen, and the next bytes for it (server-sent events, WHATWG HTML 9.2).

Nothing waits in a queue of its own per client: a slow one finds the map's changes merged when it comes for them, and
is told to start afresh when the ring has overtaken it. So a stalled client costs no memory.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.gateway.core.fleet_picture import FleetPicture
from dronedispatch.gateway.core.ring import EventId, Ring, parse_event_id

DELIVERY = (
    "delivery"  # a change of status as the dispatcher told it; the only one that is told again to who resumes
)
DETAILS = "deliveries"  # whole deliveries, for who shows them
DRONES = "drones"
FIGURES = "figures"
ZONES = "zones"
BEAT = "beat"  # comes each second on every stream: whoever hears none for three shows old news
TOPICS = (DELIVERY, DETAILS, DRONES, FIGURES, ZONES)
RETRY_MS = 1000


def frame(topic: str, data: bytes, event_id: EventId | None = None) -> bytes:
    """One event. `data` is JSON and so holds no line break."""
    head = f"event: {topic}\n" if event_id is None else f"event: {topic}\nid: {event_id}\n"
    return b"%sdata: %s\n\n" % (head.encode(), data)


class EventParameters(msgspec.Struct, frozen=True, kw_only=True):
    """GET /events."""

    topics: (
        Annotated[
            str,
            Meta(
                pattern=f"^({'|'.join(TOPICS)})(,({'|'.join(TOPICS)}))*$",
                description=f"Some of {', '.join(TOPICS)}, with commas between; default all",
                extra={"expects": f"a list of {', '.join(TOPICS)}, with commas between"},
            ),
        ]
        | UnsetType
    ) = UNSET
    last_event_id: (
        Annotated[
            str,
            Meta(
                description="As the header Last-Event-ID, for clients that cannot send one; the header goes first"
            ),
        ]
        | UnsetType
    ) = msgspec.field(default=UNSET, name="lastEventId")


def parse_topics(text: str | UnsetType) -> frozenset[str]:
    """ "delivery,drones" -> the set; UNSET: all. A topic twice is there once."""
    return frozenset(TOPICS if isinstance(text, UnsetType) else text.split(","))


class Board:
    """What all clients look at."""

    def __init__(self, events_kept: int) -> None:
        self.ring = Ring(events_kept)
        self.fleet = FleetPicture()
        self.figures: bytes | None = None
        self.figures_serial = 0
        self.zones_etag = "0"
        self._drones = lru_cache(maxsize=8)(self._encode_drones)

    def show_figures(self, data: bytes | None) -> None:
        """None: what was known is old, and nobody is shown it."""
        self.figures = data
        self.figures_serial += 1

    def drones(self, since: int, now_s: float) -> bytes:
        """The frame of the drones that changed after serial `since`; made once for all clients in step."""
        return self._drones(since, self.fleet.serial, stamp(now_s))

    def _encode_drones(self, since: int, _serial: int, at: str) -> bytes:
        body = {"at": at, "whole": since == 0, "drones": self.fleet.changes(since)}
        return frame(DRONES, encode(body))


class Reader:
    """One client."""

    def __init__(self, board: Board, topics: Collection[str], last_event_id: str | None) -> None:
        self._board = board
        self._topics = topics
        self._place: int | None = board.ring.place
        self._serial = 0
        self._figures = 0
        self._etag = board.zones_etag
        self._can_resume = bool(last_event_id)
        if last_event_id:
            known = parse_event_id(last_event_id)
            self._place = None if known is None else board.ring.place_of(known)

    def next_bytes(self, now_s: float) -> bytes:
        """Everything that this client has not seen; empty when there is nothing."""
        board, pieces = self._board, []
        pieces.extend(self._events())
        if DRONES in self._topics and board.fleet.serial > self._serial:
            pieces.append(board.drones(self._serial, now_s))
            self._serial = board.fleet.serial
        if FIGURES in self._topics and board.figures is not None and board.figures_serial > self._figures:
            pieces.append(frame(FIGURES, board.figures))
            self._figures = board.figures_serial
        if ZONES in self._topics and board.zones_etag != self._etag:
            self._etag = board.zones_etag
            pieces.append(frame(ZONES, encode({"version": self._etag})))
        return b"".join(pieces)

    def beat(self, now_s: float) -> bytes:
        """The gateway lives, and this is the version of the city that it knows.

        A reader that knows no id, or one from before a gap, is given the newest: without it he would come back after a
        cut as somebody new, and never be told that he had missed something.
        """
        event_id = None if self._can_resume else self._board.ring.newest
        self._can_resume = True
        return frame(BEAT, encode({"at": stamp(now_s), "zones": self._board.zones_etag}), event_id)

    def _events(self) -> list[bytes]:
        ring = self._board.ring
        kept = None if self._place is None else ring.after(self._place)
        self._place = ring.place
        if kept is None:
            self._can_resume = False
            reason = "not all that was told since your last event is known here: read the lists again"
            return [frame("reset", encode({"reason": reason}))]
        return [frame(one.topic, one.data, one.id) for one in kept if one.topic in self._topics]
