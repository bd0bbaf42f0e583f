"""The roll call: which drones their drone_sim no longer tells of.

A drone is silent when its drone_sim has published later ticks without it. A drone_sim that says nothing at all (or a
broker that carries nothing) suspends the judgement for `rest_s`: then it is the drone_sim that is missing, not the drone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

OWN_PAUSE_S = 5.0  # who has heard and judged nothing for so long was stopped himself
LONG_SILENT_TICKS = 1_000_000  # what a drone has missed that nobody has told of for `rest_s`


@dataclass(slots=True)
class _Source:
    ticks: int = 0  # complete ticks heard, counted here: a source's own numbers may skip
    tick: int = -1
    parts: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Heard:
    source: str | None
    at_tick: int
    at_s: float


class RollCall:
    """Who was heard when; times are monotonic seconds."""

    def __init__(self, *, rest_s: float = 60.0) -> None:
        self._rest_s = rest_s
        self._sources: dict[str, _Source] = {}
        self._heard: dict[str, _Heard] = {}
        self._awake_s: float | None = None

    def hear(
        self, source: str, tick: int, *, part: int, parts: int, drones: Iterable[str], now_s: float
    ) -> None:
        """A message of a drone_sim: `drones` fly. Late and duplicated messages count for nothing.

        A tick counts once all its parts are there: a lost part makes nobody silent.
        """
        self._stay_awake(now_s)
        heard = self._sources.setdefault(source, _Source())
        if tick < heard.tick:
            return
        if tick > heard.tick:
            heard.tick, heard.parts = tick, set()
        if part not in heard.parts:
            heard.parts.add(part)
            if len(heard.parts) == parts:
                heard.ticks += 1
        due = heard.ticks if len(heard.parts) == parts else heard.ticks + 1
        for drone in drones:
            self._heard[drone] = _Heard(source, due, now_s)

    def see(self, drone: str, now_s: float) -> None:
        """Newer telemetry was found in the store: it flies, though the broker did not say so."""
        heard = self._heard.get(drone)
        if heard is None:
            self._heard[drone] = _Heard(None, 0, now_s)
            return
        heard.at_s = now_s
        if heard.source is not None:
            heard.at_tick = max(heard.at_tick, self._sources[heard.source].ticks)

    def expect(self, drone: str, now_s: float) -> None:
        """It is in the store: from now on it has `rest_s` to be heard of."""
        self._heard.setdefault(drone, _Heard(None, 0, now_s))

    def forget(self, drone: str) -> None:
        """It is no longer in the store."""
        self._heard.pop(drone, None)

    def missed(self, now_s: float) -> dict[str, int]:
        """Ticks missed, of the drones that have missed any."""
        self._stay_awake(now_s)
        found: dict[str, int] = {}
        for drone, heard in self._heard.items():
            if heard.source is not None:
                behind = self._sources[heard.source].ticks - heard.at_tick
                if behind > 0:
                    found[drone] = behind
                    continue
            if now_s - heard.at_s > self._rest_s:
                found[drone] = LONG_SILENT_TICKS
        return found

    def _stay_awake(self, now_s: float) -> None:
        """After a pause of our own everybody begins anew: a leader that was stopped must not undo the orders of a fleet
        that it has merely not listened to."""
        if self._awake_s is not None and now_s - self._awake_s > OWN_PAUSE_S:
            for heard in self._heard.values():
                heard.at_s = now_s
                if heard.source is not None:
                    heard.at_tick = self._sources[heard.source].ticks
        self._awake_s = now_s
