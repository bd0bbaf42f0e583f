"""Consul, as far as the store needs it: one key with compare-and-set, watches that lag, outages, and PUTs whose
outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from dronedispatch.replication.effects import Swap, ViewAt
from dronedispatch.replication.view import View
from dronedispatch.testing.simulation.network import Network, Process
from dronedispatch.testing.simulation.world import World

T = TypeVar("T")

TIMEOUT_S = 0.4
WATCH_S = 0.5


class Consul(Process):
    """The view and its ModifyIndex. It keeps its state while it is down."""

    def __init__(self, world: World, network: Network, view: View) -> None:
        super().__init__(world, "consul")
        self.network = network
        self.view = view
        self.index = 1
        self.watchers: list[tuple[Process, Callable[[View], None]]] = []
        self.lag_s = 0.0
        self.answers_lost = 0.0

    def watch(self, process: Process, see: Callable[[View], None]) -> None:
        """Tell `process` each new view some time after its writing, and the present one every now and then."""
        self.watchers.append((process, see))
        self.world.at(self.world.rng.random() * WATCH_S, self._poll, process, see)

    def _poll(self, process: Process, see: Callable[[View], None]) -> None:
        if self.up:
            self.network.send(self, process, see, self.view)
        self.world.at(WATCH_S * (0.5 + self.world.rng.random()), self._poll, process, see)

    def read(self, process: Process, answer: Callable[[ViewAt | None], None]) -> None:
        """Call `answer` with the view, read consistently, or with None after a while."""
        once = _Once(answer)
        self.network.send(process, self, self._read, process, once)
        self.world.at(TIMEOUT_S, once, None)

    def _read(self, process: Process, once: _Once[ViewAt | None]) -> None:
        self.network.send(self, process, once, ViewAt(self.view, self.index) if self.up else None)

    def swap(self, process: Process, view: View, index: int, answer: Callable[[Swap], None]) -> None:
        """Call `answer` with what became of the PUT; UNKNOWN when no answer came, and the PUT may yet arrive."""
        once = _Once(answer)
        self.network.send(process, self, self._swap, process, view, index, once)
        self.world.at(TIMEOUT_S, once, Swap.UNKNOWN)

    def _swap(self, process: Process, view: View, index: int, once: _Once[Swap]) -> None:
        if not self.up:
            self.network.send(self, process, once, Swap.UNAVAILABLE)
            return
        done = index == self.index
        if done:
            self.index += 1
            self.view = view
            self.world.count("epochs")
            if self.world.journal is not None:
                sets = " ".join(
                    f"{number}:{','.join(f'{n}@{slot.in_sync[n].since}' for n in slot.members())}"
                    for number, slot in enumerate(view.slots)
                )
                self.world.tell(f"consul: view {view.epoch} by {process.name}: {sets}")
            for watcher, see in self.watchers:
                late_s = self.world.rng.random() * self.lag_s
                self.world.at(late_s, self.network.send, self, watcher, see, view)
        if self.answers_lost and self.world.rng.random() < self.answers_lost:
            self.world.count("swap_answers_lost")
            return
        self.network.send(self, process, once, Swap.DONE if done else Swap.LOST)

    def write_probe(self, process: Process, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether another key could be written."""
        once = _Once(answer)
        self.network.send(process, self, self._write_probe, process, once)
        self.world.at(TIMEOUT_S, once, False)

    def _write_probe(self, process: Process, once: _Once[bool]) -> None:
        self.network.send(self, process, once, self.up)


class _Once(Generic[T]):
    """Passes on the first of several answers."""

    def __init__(self, answer: Callable[[T], None]) -> None:
        self._answer: Callable[[T], None] | None = answer

    def __call__(self, value: T) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(value)
