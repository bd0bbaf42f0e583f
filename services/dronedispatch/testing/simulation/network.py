"""A network that delays, reorders, loses, repeats and cuts, and processes that can die, pause, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dronedispatch.testing.simulation.simulator import Simulator


class SimulatedProcess:
    """Something with a name that can be down or paused. `incarnation` counts its starts: what an earlier one began
    is gone.
    """

    def __init__(self, simulator: Simulator, name: str) -> None:
        self.simulator = simulator
        self.name = name
        self.up = True
        self.incarnation = 1
        self.paused_until_s = 0.0
        self.rate = 1.0 + simulator.rng.uniform(-0.005, 0.005)
        self.offset_s = simulator.rng.uniform(0.0, 1000.0)

    def clock_s(self) -> float:
        """This process's monotonic clock: its own zero, and up to 0.5 % fast or slow."""
        return self.offset_s + self.simulator.now_s * self.rate


class SimulatedNetwork:
    """Messages between processes. All figures may be changed while it runs; `calm()` takes every fault away."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.blocked: set[tuple[str, str]] = set()
        self.muted: set[str] = set()
        self.base_s = 0.001
        self.loss = 0.0
        self.repeat = 0.0
        self.late = 0.0
        self.late_s = 0.0

    def calm(self) -> None:
        """From now on every message arrives once and soon."""
        self.blocked.clear()
        self.muted.clear()
        self.loss = self.repeat = self.late = 0.0

    def delay_s(self) -> float:
        """Of one message. Two messages of one sender may overtake each other."""
        random = self.simulator.rng.random
        if self.late and random() < self.late:
            return self.base_s + random() * self.late_s
        return self.base_s * (0.5 + random())

    def send(
        self,
        source: SimulatedProcess,
        target: SimulatedProcess,
        act: Callable[..., None],
        *args: Any,
        twice: bool = False,
    ) -> None:
        """Let `act(*args)` run at `target` some time later, if it is not lost; `twice`: it may arrive twice."""
        simulator = self.simulator
        if self.loss and simulator.rng.random() < self.loss:
            simulator.counts["lost"] += 1
        else:
            simulator.at(self.delay_s(), self._arrive, source.name, target, act, args)
        if twice and self.repeat and simulator.rng.random() < self.repeat:
            simulator.counts["repeated"] += 1
            simulator.at(self.delay_s() * 3.0, self._arrive, source.name, target, act, args)

    def answer(
        self, source: SimulatedProcess, target: SimulatedProcess, act: Callable[..., None], *args: Any
    ) -> None:
        """`send` of what `source` was asked for; a muted process goes on asking, and none of its answers arrives."""
        if source.name in self.muted:
            self.simulator.counts["muted"] += 1
        else:
            self.send(source, target, act, *args)

    def _arrive(
        self, source: str, target: SimulatedProcess, act: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if (source, target.name) in self.blocked:
            self.simulator.counts["blocked"] += 1
        elif target.paused_until_s > self.simulator.now_s:
            self.simulator.at(
                target.paused_until_s - self.simulator.now_s, self._arrive, source, target, act, args
            )
        else:
            act(*args)
