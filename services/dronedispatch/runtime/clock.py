"""The only room that reads a clock; everything else is told the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds for durations, UTC epoch seconds for what people read."""

    def monotonic_s(self) -> float:
        """Seconds since an unknown moment; never goes back."""

    def wall_s(self) -> float:
        """UTC epoch seconds; may jump."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()
