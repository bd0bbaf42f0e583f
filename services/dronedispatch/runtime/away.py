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


class Confirms:
    """`waiting_s`: for how long what was sent has waited without one confirmation, over new connections, too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._open = 0

    def sent(self) -> None:
        """One more was sent."""
        self._open += 1
        if self._since_s is None:
            self._since_s = self._clock.monotonic_s()

    def ended(self, *, confirmed: bool) -> None:
        """One was confirmed, or is given up and sent again later."""
        self._open -= 1
        if confirmed:
            self._since_s = self._clock.monotonic_s() if self._open else None

    @property
    def waiting_s(self) -> float:
        return 0.0 if self._since_s is None else self._clock.monotonic_s() - self._since_s
