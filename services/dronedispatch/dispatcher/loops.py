"""What the dispatcher does by the clock: the periodic round and the scans that correct the cache."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.dispatcher.settings import Settings
from dronedispatch.fleet.messages import BEAT_S
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.loops import Loop

DUTY_MAX = 0.1  # the share of time that one kind of scan may take: on a slow store they become rarer
STATE_EVERY_S = 1.0
UNHEARD_S = 3.0  # without drone_updates for this long, telemetry is read from the store


class Scans:
    """Due by the clock, and rarer when they take long. `heard_s`: when drone_updates came last, monotonic; None: never."""

    def __init__(
        self, rounds: Rounds, heard_s: Callable[[], float | None], settings: Settings, clock: Clock
    ) -> None:
        self._rounds = rounds
        self._heard_s = heard_s
        self._settings = settings
        self._clock = clock
        self._last: dict[str, tuple[float, float]] = {}  # name -> (began, took)

    async def once(self) -> str:
        """The scans that are due. Raises KVError."""
        if not self._rounds.complete:
            return "nothing to correct yet"
        loader = self._rounds.loader
        fleet_every_s = self._settings.fleet_scan_s if self._heard() else self._settings.scan_s
        said = [
            await self._scan("deliveries", loader.open_deliveries, self._settings.scan_s),
            await self._scan("fleet", loader.fleet, fleet_every_s),
        ]
        done = [sentence for sentence in said if sentence]
        if done:
            self._rounds.wake.set()
        return ", ".join(done) or "nothing due"

    def _heard(self) -> bool:
        heard_s = self._heard_s()
        return heard_s is not None and self._clock.monotonic_s() - heard_s < UNHEARD_S

    async def _scan(self, name: str, scan: Callable[[], Awaitable[int]], every_s: float) -> str:
        now_s = self._clock.monotonic_s()
        began_s, took_s = self._last.get(name, (-math.inf, 0.0))
        if now_s < began_s + max(every_s, took_s / DUTY_MAX):
            return ""
        found = await scan()
        self._last[name] = now_s, self._clock.monotonic_s() - now_s
        return f"{name} {found}"


def loops_of(rounds: Rounds, scans: Scans, settings: Settings) -> list[Loop]:
    """The loops of the process."""
    return [
        Loop("round", rounds.once, settings.round_s, wake=rounds.wake, error_cap_s=1.0),
        Loop("state", rounds.publish_state, STATE_EVERY_S),
        Loop("beat", rounds.beat, BEAT_S / 4, jitter=0.0, wake=rounds.statuses.seen),
        Loop("scan", scans.once, min(settings.scan_s, 1.0)),
    ]
