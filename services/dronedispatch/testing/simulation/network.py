"""A network that delays, reorders, loses, repeats and cuts, and processes that can die, pause, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dronedispatch.testing.simulation.world import World


class Process:
    """Something with a name that can be down or paused. `incarnation` counts its starts: what an earlier one began
    is gone.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self.incarnation = 1
        self.paused_until_s = 0.0
        self.rate = 1.0 + world.rng.uniform(-0.005, 0.005)
        self.offset_s = world.rng.uniform(0.0, 1000.0)

    def clock_s(self) -> float:
        """This process's monotonic clock: its own zero, and up to 0.5 % fast or slow."""
        return self.offset_s + self.world.now_s * self.rate


class Network:
    """Messages between processes. All figures may be changed while it runs; `calm()` takes every fault away."""

    def __init__(self, world: World) -> None:
        self.world = world
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
        random = self.world.rng.random
        if self.late and random() < self.late:
            return self.base_s + random() * self.late_s
        return self.base_s * (0.5 + random())

    def send(
        self, source: Process, target: Process, act: Callable[..., None], *args: Any, twice: bool = False
    ) -> None:
        """Let `act(*args)` run at `target` some time later, if it is not lost; `twice`: it may arrive twice."""
        world = self.world
        if self.loss and world.rng.random() < self.loss:
            world.counts["lost"] += 1
        else:
            world.at(self.delay_s(), self._arrive, source.name, target, act, args)
        if twice and self.repeat and world.rng.random() < self.repeat:
            world.counts["repeated"] += 1
            world.at(self.delay_s() * 3.0, self._arrive, source.name, target, act, args)

    def answer(self, source: Process, target: Process, act: Callable[..., None], *args: Any) -> None:
        """`send` of what `source` was asked for; a muted process goes on asking, and none of its answers arrives."""
        if source.name in self.muted:
            self.world.counts["muted"] += 1
        else:
            self.send(source, target, act, *args)

    def _arrive(self, source: str, target: Process, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if (source, target.name) in self.blocked:
            self.world.counts["blocked"] += 1
        elif target.paused_until_s > self.world.now_s:
            self.world.at(target.paused_until_s - self.world.now_s, self._arrive, source, target, act, args)
        else:
            act(*args)
