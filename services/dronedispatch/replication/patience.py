"""How long silence must last before it says anything: longer where answers have lately taken longer. Pure.

A fixed limit takes a slow machine for a dead replica. One number tells the two apart: the longest that anything has lately
taken here, be it an answer of any replica or the asker's own timers, which are late when it is itself starved.
"""

from __future__ import annotations

from typing import Final

from dronedispatch.replication.effects import Pulse

FACTOR: Final = 4.0
"""Silence says something when it has lasted so many times the longest of late."""
REMEMBERED_S: Final = 10.0
"""What has taken long is remembered for once to twice this time."""
PING_S: Final = 0.2
"""After which a ping is silent on a machine that is quick."""
PING_MOST: Final = 10.0
"""On a slow one a ping waits for its answer up to so many times as long."""
OVERSLEPT: Final = 1.5
"""Who looks up later than so many times its limit was asleep: what it has not heard proves nothing."""


class ReplicaPatience:
    """The limits of one process' calls and pings: at least the configured ones, at most `call_most_s`, `ping_most_s`.

    A replica that stands still is found out in bounded time, however slow the machine is. Times are monotonic seconds.
    """

    __slots__ = ("_before_s", "_call_most_s", "_call_s", "_ping_most_s", "_ping_s", "_since_s", "_slowest_s")

    def __init__(self, *, call_s: float, call_most_s: float, ping_s: float, ping_most_s: float) -> None:
        self._call_s, self._call_most_s = call_s, max(call_s, call_most_s)
        self._ping_s, self._ping_most_s = ping_s, max(ping_s, ping_most_s)
        self._since_s = 0.0
        self._slowest_s = self._before_s = 0.0

    def took(self, now_s: float, seconds: float) -> None:
        """An answer came after `seconds`, or a timer was so late."""
        self._turn(now_s)
        self._slowest_s = max(self._slowest_s, seconds)

    def call_s(self, now_s: float) -> float:
        """After which a call is silent."""
        return min(self._call_most_s, max(self._call_s, FACTOR * self._longest_s(now_s)))

    def ping_s(self, now_s: float) -> float:
        """After which a ping is silent."""
        return min(self._ping_most_s, max(self._ping_s, FACTOR * self._longest_s(now_s)))

    def silence(self, now_s: float, limit_s: float, waited_s: float) -> Pulse:
        """What a ping without an answer says. Its limit was `limit_s`; the asker looked up after `waited_s`."""
        if waited_s > OVERSLEPT * limit_s:
            self.took(now_s, waited_s - limit_s)
            return Pulse.UNSURE
        return Pulse.UNSURE if self.ping_s(now_s) > OVERSLEPT * limit_s else Pulse.SILENT

    def nobody(self, now_s: float, limit_s: float) -> None:
        """Nobody of all that were asked at once has answered within `limit_s`: more likely all are slow."""
        self.took(now_s, limit_s)

    def _longest_s(self, now_s: float) -> float:
        self._turn(now_s)
        return max(self._slowest_s, self._before_s)

    def _turn(self, now_s: float) -> None:
        if now_s - self._since_s < REMEMBERED_S:
            return
        recent = now_s - self._since_s < 2 * REMEMBERED_S
        self._before_s, self._slowest_s = (self._slowest_s if recent else 0.0), 0.0
        self._since_s = now_s
