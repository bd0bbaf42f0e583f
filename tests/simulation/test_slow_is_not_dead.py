"""Replicas that all answer late, and coordinators that were asleep: nobody is taken for dead; who stands still is.

Virtual time. The limits of the simulation are 0.25 s for a call and 0.1 s for a ping, and a message takes a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dronedispatch.kv.slots import slot_of
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Done
from dronedispatch.kvfront.core.writing import Write, write
from dronedispatch.testing.simulation.driver import SimulatedDriver
from dronedispatch.testing.simulation.faults import Profile
from dronedispatch.testing.simulation.run import Cluster, keys_of
from dronedispatch.testing.simulation.simulator import Simulator

SLOTS = 3
KEYS, _LOCK = keys_of(SLOTS, 6)
CALM = Profile(**dict.fromkeys(Profile._fields, 0))._replace(
    rf=2, replicas=3, coordinators=2, slots=SLOTS, keys=len(KEYS), clients=0, seconds=0.0
)
SEEDS = range(4)


class World:
    """A healthy cluster of three replicas, two coordinators, and three slots of two copies, under steady work."""

    def __init__(self, seed: int) -> None:
        self.simulator = Simulator(seed)
        self.cluster = Cluster(self.simulator, CALM)
        self.done = 0
        self.began = 0
        self._ending_s = 0.0

    def work(self, seconds: float) -> None:
        """Each coordinator begins an operation on each key as soon as its last one there has ended."""
        self._ending_s = self.simulator.now_s + seconds
        for coordinator in self.cluster.coordinators:
            for key in KEYS:
                self._again(coordinator, key)
        self.simulator.run(self._ending_s)

    def _again(self, coordinator: SimulatedDriver, key: str) -> None:
        now_s = self.simulator.now_s
        if now_s >= self._ending_s:
            return
        self.began += 1
        deadline_s = coordinator.clock_s() + 3.0
        if self.began % 2:
            write_id = self.simulator.rng.getrandbits(128).to_bytes(16, "big")
            steps: Any = write(Write(key, slot_of(key), write_id, 0.0), deadline_s)
        else:
            steps = read(key, slot_of(key), deadline_s)

        def ended(result: Any) -> None:
            self.done += isinstance(result, Done)
            self.simulator.at(0.05, self._again, coordinator, key)

        coordinator.start(steps, ended)

    def each(self, seconds: float, act: Callable[[], None]) -> None:
        """`act`, every so many seconds."""

        def again() -> None:
            act()
            self.simulator.at(seconds, again)

        self.simulator.at(seconds, again)

    @property
    def changes(self) -> int:
        """How often the view has changed: every vote does it, its answer lost or not, and every join."""
        return self.cluster.consul.view.epoch - 1

    def copies(self) -> list[int]:
        """How many replicas are in sync for each slot."""
        return [len(slot.in_sync) for slot in self.cluster.consul.view.slots[:SLOTS]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("message_s", [0.01, 0.1, 0.2, 0.3])
def test_replicas_that_all_answer_later_than_the_limits_stay_in_sync(seed: int, message_s: float) -> None:
    world = World(seed)
    world.work(5.0)
    world.cluster.network.base_s = message_s  # each message takes half to one and a half of it
    before = world.done
    world.work(30.0)
    assert world.changes == 0
    assert world.copies() == [2] * SLOTS
    assert world.done - before > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_that_are_slow_from_the_first_call_on_stay_in_sync(seed: int) -> None:
    world = World(seed)
    world.cluster.network.base_s = 0.2
    world.work(30.0)
    assert world.changes == 0
    assert world.copies() == [2] * SLOTS
    assert world.done > 100


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("message_s", "changes_max"), [(0.3, 0), (0.6, 2), (1.0, 6), (2.0, 6)])
def test_where_any_message_may_take_so_long_few_votes_are_cast_and_each_leaves_a_copy(
    seed: int, message_s: float, changes_max: int
) -> None:
    world = World(seed)
    world.work(5.0)
    world.cluster.network.late, world.cluster.network.late_s = 1.0, message_s  # from nothing to so much, each
    world.work(60.0)
    assert world.changes <= changes_max
    assert min(world.copies()) >= 1
    world.cluster.network.late = 0.0
    world.work(20.0)
    assert world.copies() == [2] * SLOTS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_coordinator_that_sleeps_again_and_again_votes_nobody_out(seed: int) -> None:
    world = World(seed)

    def sleep() -> None:
        for coordinator in world.cluster.coordinators:
            coordinator.paused_until_s = world.simulator.now_s + world.simulator.rng.uniform(0.1, 0.7)

    world.each(0.75, sleep)
    world.work(60.0)
    assert world.changes == 0
    assert world.copies() == [2] * SLOTS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_whole_machine_that_stands_still_for_a_while_votes_nobody_out(seed: int) -> None:
    world = World(seed)

    def sleep() -> None:
        until_s = world.simulator.now_s + world.simulator.rng.uniform(0.2, 2.0)
        for process in (*world.cluster.coordinators, *world.cluster.replicas):
            process.paused_until_s = until_s + world.simulator.rng.uniform(0.0, 0.3)

    world.each(4.0, sleep)
    world.work(60.0)
    assert world.changes == 0
    assert world.copies() == [2] * SLOTS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("message_s", "limit_s"), [(0.001, 1.0), (0.01, 2.0), (0.1, 8.0)])
def test_a_replica_that_stands_still_is_voted_out_in_bounded_time(
    seed: int, message_s: float, limit_s: float
) -> None:
    world = World(seed)
    world.cluster.network.base_s = message_s
    world.work(10.0)
    assert world.changes == 0
    world.cluster.replicas[0].paused_until_s = world.simulator.now_s + 60.0
    world.work(limit_s)
    assert world.copies() == [1, 2, 1]
    before = world.done
    world.work(5.0)
    assert world.done - before > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_silence_costs_no_slot_a_copy_where_nobody_else_answers(seed: int) -> None:
    world = World(seed)
    world.work(5.0)
    for replica in world.cluster.replicas[:2]:
        replica.paused_until_s = world.simulator.now_s + 10.0
    world.work(10.0)
    in_sync = [sorted(slot.in_sync) for slot in world.cluster.consul.view.slots[:SLOTS]]
    assert in_sync == [["A", "B"], ["C"], ["C"]]
    world.work(15.0)
    assert world.copies() == [2] * SLOTS
