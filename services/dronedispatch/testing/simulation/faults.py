"""What goes wrong in a run: each seed draws its own mix, so that some runs have one kind of fault in plenty and
others all of them.

(Swarm testing, Groce et al. 2012: leaving faults out finds what their presence would mask.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from dronedispatch.kvfront.core.tombstone_gc import sweep
from dronedispatch.replication import view as views
from dronedispatch.replication.effects import Swap, ViewAt
from dronedispatch.replication.rules import Rules
from dronedispatch.testing.simulation.consul import Consul
from dronedispatch.testing.simulation.driver import SimulatedDriver
from dronedispatch.testing.simulation.network import SimulatedNetwork
from dronedispatch.testing.simulation.replica import SimulatedReplica
from dronedispatch.testing.simulation.simulator import Simulator


class Profile(NamedTuple):
    """The shape of a run and how much of each fault it has. Rates are means per second of virtual time."""

    rf: int
    replicas: int
    coordinators: int
    slots: int
    keys: int
    clients: int
    seconds: float
    pause_s: float
    loss: float
    repeat: float
    late: float
    late_s: float
    slow_sync: float
    lag_s: float
    swap_answers_lost: float
    kills: float
    wipes: float
    cuts: float
    pauses: float
    consul_outages: float
    coordinator_kills: float
    moves: float
    sweeps: float
    leaves: float
    flips: float
    full_disks: float
    mutes: float


def profile_of(seed: int) -> Profile:
    """The profile that belongs to `seed`."""
    rng = Random(seed * 2_654_435_761 + 1)

    def some(*values: float) -> float:
        return rng.choice(values) if rng.random() < 0.55 else 0.0

    rf = rng.choice((1, 2, 2, 2, 3, 3))
    return Profile(
        rf=rf,
        replicas=rng.choice((3, 3, 4)),
        coordinators=rng.choice((2, 3)),
        slots=rng.choice((1, 2)),
        keys=rng.choice((1, 2, 3)),
        clients=rng.choice((3, 4, 5)),
        seconds=rng.choice((3.0, 5.0, 8.0)),
        pause_s=rng.choice((0.05, 0.1, 0.2)),
        loss=some(0.005, 0.02, 0.08),
        repeat=some(0.05, 0.3),
        late=some(0.02, 0.1),
        late_s=rng.choice((0.1, 0.6, 2.0)),
        slow_sync=some(0.02, 0.2),
        lag_s=some(0.05, 0.4, 2.0),
        swap_answers_lost=some(0.2, 0.6),
        kills=some(0.4, 1.0),
        wipes=0.0 if rf == 1 else some(0.2, 0.5),
        cuts=some(0.5, 1.5),
        pauses=some(0.3, 1.0),
        consul_outages=some(0.2, 0.5),
        coordinator_kills=some(0.2, 0.6),
        moves=some(0.4, 1.0),
        sweeps=some(0.5, 2.0),
        leaves=some(0.2, 0.5),
        flips=0.0 if rf == 1 else some(0.3, 1.0),
        full_disks=some(0.2, 0.5),
        mutes=some(0.2, 0.6),
    )


class FaultSchedule:
    """Draws and carries out the faults of one run until `calm()`."""

    def __init__(
        self,
        simulator: Simulator,
        network: SimulatedNetwork,
        consul: Consul,
        replicas: Sequence[SimulatedReplica],
        coordinators: Sequence[SimulatedDriver],
        keys: Sequence[str],
        profile: Profile,
        rules: Rules,
    ) -> None:
        self.simulator = simulator
        self.network = network
        self.consul = consul
        self.replicas = replicas
        self.coordinators = coordinators
        self.keys = keys
        self.profile = profile
        self.rules = rules
        self.over = False
        network.loss, network.repeat = profile.loss, profile.repeat
        network.late, network.late_s = profile.late, profile.late_s
        consul.lag_s, consul.answers_lost = profile.lag_s, profile.swap_answers_lost
        for replica in replicas:
            replica.slow_sync = profile.slow_sync
        self._each(profile.kills, self._kill)
        self._each(profile.wipes, self._wipe)
        self._each(profile.cuts, self._cut)
        self._each(profile.pauses, self._pause)
        self._each(profile.consul_outages, self._consul_outage)
        self._each(profile.coordinator_kills, self._kill_coordinator)
        self._each(profile.moves, self._move)
        self._each(profile.sweeps, self._sweep)
        self._each(profile.leaves, self._leave)
        self._each(profile.flips, self._flip)
        self._each(profile.full_disks, self._fill_disk)
        self._each(profile.mutes, self._mute)

    def _each(self, rate: float, act: Callable[[], None]) -> None:
        if rate <= 0.0:
            return

        def again() -> None:
            if not self.over:
                act()
                self.simulator.at(self.simulator.rng.expovariate(rate), again)

        self.simulator.at(self.simulator.rng.expovariate(rate), again)

    def calm(self) -> None:
        """No more faults: everything that is down comes back, everything that is cut is whole."""
        self.over = True
        self.network.calm()
        self.consul.up = True
        self.consul.lag_s = self.consul.answers_lost = 0.0
        for replica in self.replicas:
            replica.slow_sync = 0.0
            replica.paused_until_s = 0.0
            replica.full = False
            replica.engine.damaged.clear()
            if not replica.up:
                replica.revive()
        for coordinator in self.coordinators:
            coordinator.paused_until_s = 0.0
            if not coordinator.up:
                self._revive_coordinator(coordinator)

    # --- the faults ---

    def _kill(self) -> None:
        replica = self.simulator.rng.choice(self.replicas)
        if replica.up:
            replica.kill()
            self.simulator.at(self._short_s(), self._revive, replica)

    def _revive(self, replica: SimulatedReplica) -> None:
        if not replica.up:
            replica.revive()

    def _wipe(self) -> None:
        """Lose a disk, mostly one that is not the last in-sync one of a slot."""
        rng = self.simulator.rng
        replica = rng.choice(self.replicas)
        view = self.consul.view
        last = any(len(slot.in_sync) == 1 and replica.name in slot.in_sync for slot in view.slots)
        if replica.up and (not last or rng.random() < 0.05):
            replica.kill()
            self.simulator.at(self._short_s(), self._revive_wiped, replica)

    def _revive_wiped(self, replica: SimulatedReplica) -> None:
        if not replica.up:
            replica.revive(wiped=True)

    def _cut(self) -> None:
        """Cut some paths: one process from all, or one pair, both ways or one way."""
        rng, simulator = self.simulator.rng, self.simulator
        names = [each.name for each in (*self.replicas, *self.coordinators)]
        victim = rng.choice(names)
        others = [*names, "consul"] if rng.random() < 0.3 else rng.sample([*names, "consul"], 2)
        way = rng.randrange(3)
        paths = set()
        for other in others:
            if way != 0:
                paths.add((victim, other))
            if way != 1:
                paths.add((other, victim))
        paths -= self.network.blocked
        self.network.blocked |= paths
        simulator.count("cuts")
        if simulator.journal is not None:
            simulator.tell(f"cut {sorted(paths)}")
        simulator.at(self._short_s(), self._heal, paths)

    def _heal(self, paths: set[tuple[str, str]]) -> None:
        self.network.blocked -= paths
        if self.simulator.journal is not None:
            self.simulator.tell(f"healed {sorted(paths)}")

    def _pause(self) -> None:
        process = self.simulator.rng.choice((*self.replicas, *self.coordinators))
        process.paused_until_s = self.simulator.now_s + self._short_s()
        self.simulator.count("pauses")
        self.simulator.tell(f"{process.name}: paused until {process.paused_until_s:.4f}")

    def _consul_outage(self) -> None:
        if not self.consul.up:
            return
        self.consul.up = False
        self.simulator.count("consul_outages")
        self.simulator.tell("consul: down")
        self.simulator.at(self._short_s(), self._consul_back)

    def _consul_back(self) -> None:
        self.consul.up = True
        self.simulator.tell("consul: up")

    def _kill_coordinator(self) -> None:
        coordinator = self.simulator.rng.choice(self.coordinators)
        if coordinator.up:
            coordinator.crash()
            self.simulator.count("coordinator_kills")
            self.simulator.tell(f"{coordinator.name}: killed")
            self.simulator.at(self._short_s(), self._revive_coordinator, coordinator)

    def _revive_coordinator(self, coordinator: SimulatedDriver) -> None:
        if coordinator.up:
            return
        coordinator.up = True

        def first(at: ViewAt | None) -> None:
            if at is not None and at.view is not None:
                coordinator.see(at.view)

        self.consul.read(coordinator, first)

    def _move(self) -> None:
        """Assign a slot anew, as an operator would."""
        rng = self.simulator.rng
        mover = rng.choice(self.coordinators)
        names = rng.sample([replica.name for replica in self.replicas], self.profile.rf)

        def moved(swap: Swap) -> None:
            if swap is Swap.DONE:
                self.simulator.count("moves")

        def change(at: ViewAt | None) -> None:
            if at is None or at.view is None:
                return
            slot = rng.randrange(len(at.view.slots))
            after = views.reassigned(at.view, {slot: names}, self.simulator.nonce())
            if after is not at.view:
                self.consul.swap(mover, after, at.index, moved)

        self.consul.read(mover, change)

    def _sweep(self) -> None:
        coordinator = self.simulator.rng.choice(self.coordinators)
        if coordinator.up:
            coordinator.start(sweep(10, self.rules), lambda _: None)

    def _leave(self) -> None:
        replica = self.simulator.rng.choice(self.replicas)
        if replica.up:
            self.simulator.count("leaves")
            replica.leave(lambda: self.simulator.at(self._short_s(), self._revive, replica))

    def _flip(self) -> None:
        """Damage a record of which another replica has a sound copy."""
        key = self.simulator.rng.choice(self.keys)
        replica = self.simulator.rng.choice(self.replicas)
        if all(key not in each.engine.damaged for each in self.replicas) and replica.engine.damage(key):
            self.simulator.count("flips")
            self.simulator.tell(f"{replica.name}: {key} is damaged")

    def _fill_disk(self) -> None:
        replica = self.simulator.rng.choice(self.replicas)
        replica.full = True
        self.simulator.tell(f"{replica.name}: disk full")
        self.simulator.at(self._short_s(), self._clear_disk, replica)

    def _clear_disk(self, replica: SimulatedReplica) -> None:
        replica.full = False

    def _mute(self) -> None:
        """Lose what a replica answers, and nothing that it asks for: it may join, and be voted out again."""
        name = self.simulator.rng.choice(self.replicas).name
        if name not in self.network.muted:
            self.network.muted.add(name)
            self.simulator.count("mutes")
            self.simulator.tell(f"{name}: what it answers is lost")
            self.simulator.at(self._short_s(), self._unmute, name)

    def _unmute(self, name: str) -> None:
        self.network.muted.discard(name)
        self.simulator.tell(f"{name}: is heard again")

    def _short_s(self) -> float:
        return 0.05 + self.simulator.rng.expovariate(2.0)
