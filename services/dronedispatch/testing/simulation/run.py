"""One seed, one run: build the cluster, let clients and faults loose on it, calm down, demand progress, judge.

`simulate(seed)` returns a Verdict. `safety` is the reason why an answer was wrong; `liveness` the reason why, with
all faults over, the store did not come back to full health.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from dronedispatch.kv.slots import slot_of
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Done
from dronedispatch.kvfront.core.view_change import RESTORED
from dronedispatch.kvfront.core.writing import Write, write
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import Replica, bootstrap
from dronedispatch.testing.linearizability import Undecided, why_not, why_not_exclusive
from dronedispatch.testing.simulation.clients import CLIENT_PATIENCE_S, Client, History
from dronedispatch.testing.simulation.consul import Consul
from dronedispatch.testing.simulation.driver import SimulatedDriver
from dronedispatch.testing.simulation.engine import MemoryEngine
from dronedispatch.testing.simulation.faults import FaultSchedule, Profile, profile_of
from dronedispatch.testing.simulation.network import SimulatedNetwork
from dronedispatch.testing.simulation.replica import SimulatedReplica
from dronedispatch.testing.simulation.simulator import Simulator

CLUSTER = "simulated"
DRIFT = 0.02
SETTLE_S = CLIENT_PATIENCE_S + 0.5
"""After the last fault: time for everything to end that was begun before it."""
PROGRESS_S = 60.0
"""Virtual seconds after the last fault in which every replica must be in sync again, and every operation definite."""


class RunResult(msgspec.Struct):
    """What came of one run. `safety` and `liveness` None: all was well. A checker without a verdict counts as no
    progress.
    """

    seed: int
    safety: str | None
    liveness: str | None
    operations: int
    counts: Counter[str]
    journal: list[str] | None = None


def keys_of(slots: int, keys: int) -> tuple[list[str], str]:
    """`keys` names that live in the first `slots` slots, spread over them, and the name of a lock in the last of
    these.
    """
    names = (f"key{number}" for number in range(10_000))
    chosen = [next(name for name in names if slot_of(name) == place % slots) for place in range(keys)]
    lock = next(name for name in (f"lock/{number}" for number in range(10_000)) if slot_of(name) == slots - 1)
    return chosen, lock


class Cluster:
    """Replicas, coordinators, Consul and network of one run, all healthy."""

    def __init__(self, simulator: Simulator, profile: Profile, rules: Rules = ALL) -> None:
        self.simulator = simulator
        self.rules = rules
        self.network = SimulatedNetwork(simulator)
        names = [chr(ord("A") + number) for number in range(profile.replicas)]
        replicas = {name: Replica(f"sim://{name}", f"{name}1") for name in names}
        assigned = [
            tuple(names[(slot + copy) % len(names)] for copy in range(profile.rf))
            for slot in range(profile.slots)
        ]
        view = bootstrap(CLUSTER, replicas, profile.rf, assigned, simulator.nonce())
        self.consul = Consul(simulator, self.network, view)
        self.replicas = [
            SimulatedReplica(
                simulator, self.network, self.consul, name, MemoryEngine(CLUSTER, f"{name}1"), rules
            )
            for name in names
        ]
        self.coordinators = [
            SimulatedDriver(simulator, self.network, self.consul, f"front{number}")
            for number in range(1, profile.coordinators + 1)
        ]
        by_name = {replica.name: replica for replica in self.replicas}
        drivers: Sequence[SimulatedDriver] = (*self.coordinators, *self.replicas)
        for driver in drivers:
            driver.replicas = by_name
            driver.see(view)
            self.consul.watch(driver, driver.see)
        for replica in self.replicas:
            replica.coordinators = self.coordinators
        for coordinator in self.coordinators:
            coordinator.peers = [peer for peer in self.coordinators if peer is not coordinator]

    def lost_slots(self) -> set[int]:
        """The slots whose in-sync disks are all gone: they answer 503 for ever, as promised."""
        disks = {replica.name: replica.engine.disk for replica in self.replicas}
        view = self.consul.view
        return {
            number
            for number, slot in enumerate(view.slots)
            if all(disks[name] != member.disk for name, member in slot.in_sync.items())
        }

    def why_not_whole(self) -> str | None:
        """The reason why not every assigned replica is in sync with its present disk, where that can be."""
        view = self.consul.view
        disks = {replica.name: replica.engine.disk for replica in self.replicas}
        lost = self.lost_slots()
        for number, slot in enumerate(view.slots):
            if number in lost:
                continue
            for name in slot.assigned:
                if view.since(number, name, disks[name]) is None:
                    return f"{name} is not in sync for slot {number} in view {view.epoch}"
            if len(slot.in_sync) != len(slot.assigned):
                return f"slot {number} is still held by a leaver in view {view.epoch}: {slot}"
        return None

    def why_not_equal(self, keys: Sequence[str]) -> str | None:
        """The reason why the in-sync replicas of some key differ, with nothing under way."""
        view = self.consul.view
        lost = self.lost_slots()
        by_name = {replica.name: replica for replica in self.replicas}
        for key in keys:
            if slot_of(key) in lost:
                continue
            records = {name: by_name[name].engine.get(key) for name, _ in view.members(slot_of(key))}
            if len({record.version if record is not None else None for record in records.values()}) > 1:
                return f"{key} differs: {records}"
        return None


def simulate(seed: int, rules: Rules = ALL, *, journal: bool = False) -> RunResult:
    """The run that belongs to `seed`."""
    simulator = Simulator(seed, journal=journal)
    profile = profile_of(seed)
    simulator.tell(f"profile {profile}")
    cluster = Cluster(simulator, profile, rules)
    keys, lock = keys_of(profile.slots, profile.keys)
    history = History()
    clients = [
        Client(
            simulator,
            f"client{number}",
            cluster.coordinators,
            keys,
            lock,
            history,
            rules,
            pause_s=profile.pause_s,
            until_s=profile.seconds,
        )
        for number in range(1, profile.clients + 1)
    ]
    faults = FaultSchedule(
        simulator,
        cluster.network,
        cluster.consul,
        cluster.replicas,
        cluster.coordinators,
        [*keys, lock],
        profile,
        rules,
    )
    simulator.run(profile.seconds)
    faults.calm()
    simulator.tell("calm")
    simulator.run(profile.seconds + SETTLE_S)
    liveness = _progress(simulator, cluster, [*keys, lock], history)
    for client in clients:
        client.close()
    simulator.counts["events"] = simulator.events
    simulator.counts["operations"] = len(history.observations)
    if RESTORED in history.refusals:
        liveness = liveness or "a coordinator believed that Consul was restored from a backup"
    try:
        safety = why_not(history.in_order()) or why_not_exclusive(history.observations, drift=DRIFT)
    except Undecided as exc:
        safety, liveness = None, f"the checker came to no verdict: {exc}"
    return RunResult(seed, safety, liveness, len(history.observations), simulator.counts, simulator.journal)


def _progress(simulator: Simulator, cluster: Cluster, keys: Sequence[str], history: History) -> str | None:
    """Read every key through every coordinator until the cluster is whole; then each key must take a write and
    give it back.
    """
    until_s = simulator.now_s + PROGRESS_S
    while (why := cluster.why_not_whole()) is not None:
        if simulator.now_s >= until_s:
            return f"not whole {PROGRESS_S} s after the last fault: {why}"
        _each_key(simulator, cluster, keys, history, writing=False)
    failed = _each_key(simulator, cluster, keys, history, writing=True)
    failed += _each_key(simulator, cluster, keys, history, writing=False)
    if failed:
        return "with all faults over: " + "; ".join(failed)
    return cluster.why_not_equal(keys)


def _each_key(
    simulator: Simulator, cluster: Cluster, keys: Sequence[str], history: History, *, writing: bool
) -> list[str]:
    """One operation on each key through each coordinator, all at once, for at most 6 virtual seconds; what was not
    Done.
    """
    lost = cluster.lost_slots()
    failed: list[str] = []
    open_: list[None] = []

    def ask(coordinator: SimulatedDriver, key: str) -> None:
        call_s, deadline_s = simulator.now_s, coordinator.clock_s() + 5.0
        name = f"last/{coordinator.name}"
        op = Write(key, slot_of(key), simulator.rng.getrandbits(128).to_bytes(16, "big"), 0.0)

        def done(result: Any) -> None:
            open_.pop()
            if not isinstance(result, Done):
                failed.append(f"{coordinator.name} {'write' if writing else 'read'} {key}: {result}")
            if writing:
                history.wrote(key, name, call_s, simulator.now_s, op, result)
            elif isinstance(result, Done):
                history.read(key, name, call_s, simulator.now_s, result.record)

        open_.append(None)
        steps = write(op, deadline_s, rules=cluster.rules) if writing else None
        coordinator.start(steps or read(key, slot_of(key), deadline_s, cluster.rules), done)

    for key in keys:
        if slot_of(key) not in lost and not (writing and key.startswith("lock/")):
            for coordinator in cluster.coordinators:
                ask(coordinator, key)
    simulator.run(simulator.now_s + 6.0, lambda: not open_)
    simulator.run(simulator.now_s + 0.2)
    if open_:
        failed.append(f"{len(open_)} operations without any outcome")
    return failed
