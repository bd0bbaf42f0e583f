"""A clock that stands still until a test moves it."""

from __future__ import annotations

START_WALL_S = 1_795_500_000.0  # 2026-11-24T14:40:00Z


class FakeClock:
    """`advance` moves both times; `jump_wall` moves only what people read, as an operator or NTP would."""

    def __init__(self, wall_s: float = START_WALL_S) -> None:
        self._monotonic_s = 1000.0
        self._wall_s = wall_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def wall_s(self) -> float:
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self._monotonic_s += seconds
        self._wall_s += seconds

    def jump_wall(self, seconds: float) -> None:
        """The wall clock is set."""
        self._wall_s += seconds
