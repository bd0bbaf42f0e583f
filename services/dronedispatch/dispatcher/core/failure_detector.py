"""A failure detector: which drones their drone_sim no longer tells of.

A drone is silent when its drone_sim has published later ticks in which it is still its own and says nothing. A drone_sim
that says nothing at all (or a broker that carries nothing) suspends the judgement for `rest_s`: then it is the drone_sim
that is missing, not the drone. So does a drone that its drone_sim no longer names: another one is about to take it over.
A round asks often and a tick comes once a second, so a tick does the work and a question costs what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS

OWN_PAUSE_S = 5.0  # who has heard and judged nothing for so long was stopped himself
AHEAD_MAX = 1_000  # ticks that a drone_sim cannot have flown between two messages
NOBODY = ""  # the source of drones that were only seen in the store


@dataclass(slots=True)
class _Source:
    """A drone_sim. `flock`: the drones that are its own by what it said last; `behind`: ticks missed, of the quiet ones."""

    heard_s: float
    tick: int = -1
    parts: set[int] = field(default_factory=set)
    present: set[str] = field(default_factory=set)  # of the tick that is coming in
    quiet: set[str] = field(default_factory=set)
    flock: set[str] = field(default_factory=set)
    behind: dict[str, int] = field(default_factory=dict)


class FailureDetector:
    """Who was heard when; times are monotonic seconds."""

    def __init__(self, *, rest_s: float = 60.0) -> None:
        self._rest_s = rest_s
        self._sources: dict[str, _Source] = {}
        self._source_of: dict[str, str] = {}
        self._seen_s: dict[
            str, float
        ] = {}  # drones of NOBODY, and those that were seen in the store while late
        self._awake_s: float | None = None

    def hear(
        self,
        source: str,
        tick: int,
        *,
        part: int,
        parts: int,
        drones: Iterable[str],
        quiet: Iterable[str] = (),
        now_s: float,
    ) -> None:
        """A message of a drone_sim: `drones` fly, `quiet` ones should. Late and duplicated messages count for nothing.

        A tick counts once all its parts are there: a lost part makes nobody silent.
        """
        self._stay_awake(now_s)
        heard = self._sources.setdefault(source, _Source(now_s))
        if tick < heard.tick or (tick == heard.tick and part in heard.parts):
            return
        if 0 <= heard.tick < tick - AHEAD_MAX and now_s - heard.heard_s <= self._rest_s:
            return  # not its own, or it has not been heard for long: then it is believed
        heard.heard_s = now_s
        if tick > heard.tick:
            heard.tick, heard.parts, heard.present, heard.quiet = tick, set(), set(), set()
        heard.parts.add(part)
        heard.present.update(drones)
        heard.quiet.update(quiet)
        for drone in (heard.present | heard.quiet) - heard.flock:
            self._move(drone, source)
        if len(heard.parts) == parts:
            self._count(heard, now_s)

    def _count(self, heard: _Source, now_s: float) -> None:
        for drone in heard.behind.keys() & heard.present:
            del heard.behind[drone]
            self._seen_s.pop(drone, None)
        for drone in heard.quiet - heard.present:
            heard.behind[drone] = heard.behind.get(drone, 0) + 1
        for drone in heard.flock - heard.present - heard.quiet:
            heard.flock.discard(drone)
            heard.behind.pop(drone, None)
            self._source_of[drone] = NOBODY
            self._seen_s[drone] = now_s

    def _move(self, drone: str, source: str) -> None:
        """From now on `source` answers for the drone."""
        before = self._sources.get(self._source_of.get(drone, NOBODY))
        if before is not None:
            before.flock.discard(drone)
            before.behind.pop(drone, None)
        self._seen_s.pop(drone, None)
        self._source_of[drone] = source
        self._sources[source].flock.add(drone)

    def see(self, drone: str, now_s: float) -> None:
        """Newer telemetry was found in the store: it flies, though the broker did not say so."""
        source = self._source_of.setdefault(drone, NOBODY)
        if source != NOBODY:
            self._sources[source].behind.pop(drone, None)
        self._seen_s[drone] = now_s

    def expect(self, drone: str, now_s: float) -> None:
        """It is in the store: from now on it has `rest_s` to be heard of."""
        if self._source_of.setdefault(drone, NOBODY) == NOBODY:
            self._seen_s.setdefault(drone, now_s)

    def forget(self, drone: str) -> None:
        """It is no longer in the store."""
        source = self._sources.get(self._source_of.pop(drone, NOBODY))
        if source is not None:
            source.flock.discard(drone)
            source.behind.pop(drone, None)
        self._seen_s.pop(drone, None)

    def missed(self, now_s: float) -> dict[str, int]:
        """Ticks missed, of the drones that have missed any; UNFLOWN_TICKS: nobody has told of it for `rest_s`."""
        self._stay_awake(now_s)
        found: dict[str, int] = {}
        for source in self._sources.values():
            if now_s - source.heard_s <= self._rest_s:
                found |= source.behind
                continue
            found |= {
                drone: UNFLOWN_TICKS
                for drone in source.flock
                if now_s - self._seen_s.get(drone, source.heard_s) > self._rest_s
            }
        for drone, seen_s in self._seen_s.items():
            if now_s - seen_s > self._rest_s and self._source_of[drone] == NOBODY:
                found[drone] = UNFLOWN_TICKS
        return found

    def _stay_awake(self, now_s: float) -> None:
        """After a pause of our own everybody begins anew: a leader that was stopped must not undo the orders of a fleet
        that it has merely not listened to."""
        if self._awake_s is not None and now_s - self._awake_s > OWN_PAUSE_S:
            for source in self._sources.values():
                source.heard_s = now_s
                source.behind.clear()
            self._seen_s = dict.fromkeys(self._seen_s, now_s)
        self._awake_s = now_s
