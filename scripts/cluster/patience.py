"""Waiting by condition, with a deadline and an interval: never longer, never blind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for something, and how often to look."""

    deadline_s: float
    interval_s: float = 0.1
    now_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def until(self, look: Callable[[], bool]) -> bool:
        """Whether `look` came true within the deadline; it is asked at once, then once an interval."""
        end = self.now_s() + self.deadline_s
        while not look():
            if self.now_s() >= end:
                return False
            self.pause(min(self.interval_s, max(0.0, end - self.now_s())))
        return True
