"""For how long something has been away, for who is asked now and then whether it is there."""

from __future__ import annotations

from dronedispatch.runtime.clock import Clock


class Away:
    """`since(up)` at each look: the seconds since it was last seen up, 0 while it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._up_s = clock.monotonic_s()

    def since(self, up: bool) -> float:
        now_s = self._clock.monotonic_s()
        if up:
            self._up_s = now_s
        return now_s - self._up_s
