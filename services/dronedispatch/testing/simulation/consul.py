"""Consul, as far as the store needs it: one key with compare-and-set, watches that lag, outages, and PUTs whose
outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from dronedispatch.replication.effects import Swap, ViewAt
from dronedispatch.replication.view import View
from dronedispatch.testing.simulation.network import SimulatedNetwork, SimulatedProcess
from dronedispatch.testing.simulation.simulator import Simulator

T = TypeVar("T")

TIMEOUT_S = 0.4
WATCH_S = 0.5


class Consul(SimulatedProcess):
    """The view and its ModifyIndex. It keeps its state while it is down."""

    def __init__(self, simulator: Simulator, network: SimulatedNetwork, view: View) -> None:
        super().__init__(simulator, "consul")
        self.network = network
        self.view = view
        self.index = 1
        self.watchers: list[tuple[SimulatedProcess, Callable[[View], None]]] = []
        self.lag_s = 0.0
        self.answers_lost = 0.0

    def watch(self, process: SimulatedProcess, see: Callable[[View], None]) -> None:
        """Tell `process` each new view some time after its writing, and the present one every now and then."""
        self.watchers.append((process, see))
        self.simulator.at(self.simulator.rng.random() * WATCH_S, self._poll, process, see)

    def _poll(self, process: SimulatedProcess, see: Callable[[View], None]) -> None:
        if self.up:
            self.network.send(self, process, see, self.view)
        self.simulator.at(WATCH_S * (0.5 + self.simulator.rng.random()), self._poll, process, see)

    def read(self, process: SimulatedProcess, answer: Callable[[ViewAt | None], None]) -> None:
        """Call `answer` with the view, read consistently, or with None after a while."""
        once = _Once(answer)
        self.network.send(process, self, self._read, process, once)
        self.simulator.at(TIMEOUT_S, once, None)

    def _read(self, process: SimulatedProcess, once: _Once[ViewAt | None]) -> None:
        self.network.send(self, process, once, ViewAt(self.view, self.index) if self.up else None)

    def swap(self, process: SimulatedProcess, view: View, index: int, answer: Callable[[Swap], None]) -> None:
        """Call `answer` with what became of the PUT; UNKNOWN when no answer came, and the PUT may yet arrive."""
        once = _Once(answer)
        self.network.send(process, self, self._swap, process, view, index, once)
        self.simulator.at(TIMEOUT_S, once, Swap.UNKNOWN)

    def _swap(self, process: SimulatedProcess, view: View, index: int, once: _Once[Swap]) -> None:
        if not self.up:
            self.network.send(self, process, once, Swap.UNAVAILABLE)
            return
        done = index == self.index
        if done:
            self.index += 1
            self.view = view
            self.simulator.count("epochs")
            if self.simulator.journal is not None:
                sets = " ".join(
                    f"{number}:{','.join(f'{n}@{slot.in_sync[n].since}' for n in slot.members())}"
                    for number, slot in enumerate(view.slots)
                )
                self.simulator.tell(f"consul: view {view.epoch} by {process.name}: {sets}")
            for watcher, see in self.watchers:
                late_s = self.simulator.rng.random() * self.lag_s
                self.simulator.at(late_s, self.network.send, self, watcher, see, view)
        if self.answers_lost and self.simulator.rng.random() < self.answers_lost:
            self.simulator.count("swap_answers_lost")
            return
        self.network.send(self, process, once, Swap.DONE if done else Swap.LOST)

    def write_probe(self, process: SimulatedProcess, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether another key could be written."""
        once = _Once(answer)
        self.network.send(process, self, self._write_probe, process, once)
        self.simulator.at(TIMEOUT_S, once, False)

    def _write_probe(self, process: SimulatedProcess, once: _Once[bool]) -> None:
        self.network.send(self, process, once, self.up)


class _Once(Generic[T]):
    """Passes on the first of several answers."""

    def __init__(self, answer: Callable[[T], None]) -> None:
        self._answer: Callable[[T], None] | None = answer

    def __call__(self, value: T) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(value)
