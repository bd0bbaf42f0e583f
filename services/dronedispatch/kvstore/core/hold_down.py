"""When a replica may try to join again: later after each attempt that came to nothing, or that did not last. Pure."""

from __future__ import annotations

from dataclasses import dataclass

HOLD_DOWN_MAX_S = 60.0
NOT_YET_MAX_S = 4.0
"""After an attempt that asked nobody for anything: it may be repeated soon, and costs no writer a pause."""
STEADY_S = 15.0
"""A replica that leaves the sets sooner than this after it has joined had better not have joined."""


def hold_down_s(failures: int, most_s: float = HOLD_DOWN_MAX_S) -> float:
    """How long to wait after the n-th failure in a row: 1, 2, 4 .. `most_s` seconds."""
    return float(min(most_s, 2 ** min(10, max(0, failures - 1))))


@dataclass(slots=True)
class HoldDown:
    """The attempts of one replica. Times are monotonic seconds; `unit_s` is the first pause.

    `too_soon`: cheap attempts in a row. They are counted apart: who has long waited for another replica, and then loses
    one race for the view, tries again at once.
    """

    unit_s: float = 1.0
    failures: int = 0
    too_soon: int = 0
    _not_before_s: float = 0.0
    _joined_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """How long to wait yet; 0: it may join."""
        return max(0.0, self._not_before_s - now_s)

    def failed(self, now_s: float, *, cheap: bool = False) -> None:
        """An attempt came to nothing; `cheap`: before it asked anybody for anything."""
        if cheap:
            self.too_soon += 1
            wait_s = hold_down_s(self.too_soon, NOT_YET_MAX_S)
        else:
            self.failures, self.too_soon = self.failures + 1, 0
            wait_s = hold_down_s(self.failures)
        self._not_before_s = now_s + self.unit_s * wait_s

    def joined(self, now_s: float) -> None:
        """In sync from now on. The failures are forgotten only when it has stayed so."""
        self._joined_s = now_s

    def lacks(self, now_s: float) -> None:
        """It is out of a set (again). Soon after it has joined that counts as a failed attempt."""
        joined_s, self._joined_s = self._joined_s, None
        if joined_s is None:
            return
        if now_s - joined_s >= self.unit_s * STEADY_S:
            self.failures = self.too_soon = 0
        else:
            self.failed(now_s)

    def forgive(self) -> None:
        """What was in the way is gone: it may join at once."""
        self.failures = self.too_soon = 0
        self._not_before_s = 0.0
