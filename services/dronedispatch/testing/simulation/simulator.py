"""Virtual time: one queue of events, one source of chance, one journal. The same seed makes the same run, to the
last message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any


class Simulator:
    """Time stands still while an event runs, and then jumps to the next one."""

    def __init__(self, seed: int, *, journal: bool = False) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.now_s = 0.0
        self.counts: Counter[str] = Counter()
        self.journal: list[str] | None = [] if journal else None
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self.events = 0

    def at(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Run `act(*args)` in `delay_s` seconds of virtual time; equal times run in the order of their calls."""
        self._number += 1
        heappush(self._queue, (self.now_s + delay_s, self._number, act, args))

    def run(self, until_s: float, done: Callable[[], bool] | None = None) -> bool:
        """Run events up to time `until_s`, or until `done()`, which is asked after each event; return whether it
        came to that.
        """
        queue = self._queue
        while queue and queue[0][0] <= until_s:
            self.now_s, _, act, args = heappop(queue)
            self.events += 1
            act(*args)
            if done is not None and done():
                return True
        self.now_s = max(self.now_s, until_s)
        return done is not None and done()

    def count(self, word: str, times: int = 1) -> None:
        """Something of interest happened: the run's coverage."""
        self.counts[word] += times

    def tell(self, text: str) -> None:
        """A line of the journal; callers test `journal is not None` first where making the text costs."""
        if self.journal is not None:
            self.journal.append(f"{self.now_s:9.4f}  {text}")

    def nonce(self) -> str:
        """64 random bits, from the seed."""
        return f"{self.rng.getrandbits(64):016x}"
