"""A town that goes wrong by a seed: processes pause anywhere, die, wake as former leaders; writes and messages come late,
twice, in another order or never; and whoever dispatches takes orders from drones at every chance. A seed is a schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest

from dronedispatch.dispatcher import rounds as rounds_module
from dronedispatch.dispatcher.consumers import Consumers
from dronedispatch.dispatcher.core.advance import advance_deliveries, holds
from dronedispatch.dispatcher.core.plan import Assign, Free, Plan, Undo
from dronedispatch.dispatcher.core.recall import Recall
from dronedispatch.dispatcher.core.reconcile import reconcile_stuck_busy
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import World
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.dispatcher.recalls import Recalls
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.drone_sim import simulation as simulation_module
from dronedispatch.drone_sim.consumers import Hints
from dronedispatch.drone_sim.core.placement import class_of, drone_id
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.fleet.deliveries import TERMINAL, Delivery, DeliveryStatus, delivery_tags
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    decode,
    delivery_key,
    drone_key,
    encode,
)
from dronedispatch.fleet.drones import Drone, DroneStatus, Telemetry
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.messages import DRONE_ORDERS
from dronedispatch.kv.client import Get, Op, OpResult
from dronedispatch.kv.errors import KVError, OutcomeUnknown
from dronedispatch.kv.single_key_ops import SingleKeyOps
from dronedispatch.runtime.amqp import Message
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_delivery, a_drone, a_place
from dronedispatch.testing.flow_checker import FlowChecker, FlowVerdict
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import Desk, FixedLead

DRONES, ORDERS, SPEED = 3, 3, 60.0
ROUGH_TICKS, SETTLE_TICKS = 45, 120
HALVES = RECALL, ASSIGNED = (
    "what is taken from a drone is recalled first",
    "only what is assigned is picked up",
)
TURNS = 40  # of the loop in a tick
FLIGHT = FlightModel(drain_pct_per_km=0.02)  # no drone of this town has to charge


class RoughKV(SingleKeyOps):
    """One process's way to the store. An operation waits, lands ticks later with an unknown outcome, or is the next one."""

    def __init__(self, world: RoughWorld) -> None:
        self._world = world
        self._kv = world.kv
        self._rng = world.rng
        self.scan, self.acquire = world.kv.scan, world.kv.acquire
        self.renew, self.release = world.kv.renew, world.kv.release

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results: list[OpResult] = []
        for op in ops:
            await self._wait()
            if self._world.rough and not isinstance(op, Get) and self._rng.random() < 0.03:
                self._world.later(self._rng.randrange(1, 8), partial(self._kv.batch, [op]))
                results.append(OutcomeUnknown("no answer"))
                continue
            results += await self._kv.batch([op])
        return results

    async def _wait(self) -> None:
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        if self._world.rough and self._rng.random() < 0.02:  # the process, or its packet, is held up
            due = self._world.tick + self._rng.randrange(1, 12)
            while self._world.tick < due and self._world.rough:
                await self._world.next_tick.wait()


@dataclass
class Actor:
    """Something that is done again and again by one process, each time to its end, however long that takes."""

    step: Callable[[], Coroutine[Any, Any, object]]
    task: asyncio.Task[object] | None = None

    def go_on(self) -> None:
        """Begin anew when the last time has ended."""
        if self.task is None or self.task.done():
            if self.task is not None and not self.task.cancelled():
                error = self.task.exception()
                if error is not None and not isinstance(error, KVError):
                    raise error
            self.task = asyncio.get_running_loop().create_task(self.step())

    async def die(self) -> None:
        """As kill -9, wherever it is."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class RoughWorld:
    """`run` is one whole story."""

    def __init__(self, seed: int, *, rough: bool = True) -> None:
        self.rng = Random(seed)
        self.rough = rough
        self.tick = 0
        self.next_tick = asyncio.Event()
        self.clock = FakeClock()
        self.kv = MemoryKV(self.clock)
        self.bus = MemoryBus(self._fate)
        self.checker = FlowChecker()
        self.kv.after = self._see
        self._late: list[tuple[int, Callable[[], Any]]] = []
        self._processes: dict[str, list[Actor]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._desks: dict[str, Desk] = {}
        self._born = 0

    # -- what goes wrong -----------------------------------------------------------------------------------------

    def later(self, ticks: int, act: Callable[[], Any]) -> None:
        """In so many ticks from now, in any order within the tick."""
        self._late.append((self.tick + ticks, act))

    def _fate(self, target: str, message: Message) -> list[Message]:
        if not self.rough:
            return [message]
        if self.rng.random() < 0.1:
            return []
        for _ in range(2 if self.rng.random() < 0.1 else 1):
            self.later(self.rng.choice((0, 0, 1, 5)), lambda: self.bus.deliver(target, message))
        return []

    def _see(self, op: Op) -> None:
        if isinstance(op, Get) or not hasattr(op, "value"):
            return
        if op.key.startswith(TELEMETRY_PREFIX):
            self.checker.see_telemetry(decode(Telemetry, op.value))
        elif op.key.startswith(DRONE_PREFIX):
            self.checker.see_drone(decode(Drone, op.value))

    def plan(self, world: World, now_s: float, _kept: object = None) -> Plan:
        """The real ends and cures, and for the rest any assignment and any taking back that a policy might wish for."""
        drones = {drone.id: drone for drone in world.drones}
        deliveries = {one.id: one for one in world.deliveries}
        advances, frees = advance_deliveries(deliveries, drones)
        busy = [drone for drone in drones.values() if drone.status is DroneStatus.BUSY]
        cures = reconcile_stuck_busy(deliveries, drones, busy, world.tuning)
        told = {free.drone_id for free in frees}
        frees += [free for free in cures.frees if free.drone_id not in told]
        told = {one.drone_id for some in (frees, cures.finishes, advances) for one in some}
        moved = {
            one.delivery_id for some in (advances, cures.fails, cures.undos, cures.finishes) for one in some
        }
        undos = list(cures.undos)
        for order in deliveries.values():
            drone = drones.get(order.drone_id or "")
            if order.status is not DeliveryStatus.ASSIGNED or order.id in moved or drone is None:
                continue
            wish = self.rough and self.rng.random() < 0.25
            if wish and holds(drone, order) and not drone.done and drone.id not in told:
                undos.append(Undo(order.id, order.version, drone.id, "a whim"))
                frees.append(Free(drone.id, drone.version, "a whim", after_delivery=order.id))
        taken = told | {free.drone_id for free in frees}
        idle = [d for d in drones.values() if d.status is DroneStatus.IDLE and d.flying and d.id not in taken]
        waiting = [
            one for one in deliveries.values() if one.status is DeliveryStatus.PENDING and one.id not in moved
        ]
        self.rng.shuffle(idle)
        assigns = tuple(
            Assign(drone.id, drone.version, order.id, order.version, now_s, now_s, 0.0)
            for drone, order in zip(idle, waiting, strict=False)
        )
        return Plan(
            advances=tuple(advances),
            fails=tuple(cures.fails),
            undos=tuple(undos),
            finishes=tuple(cures.finishes),
            frees=tuple(frees),
            assigns=assigns,
        )

    # -- who takes part ------------------------------------------------------------------------------------------

    def open_desk(self) -> None:
        """A dispatcher that believes that it leads."""
        self._born += 1
        lead = FixedLead(term=self._born)
        rounds = Rounds(
            kv=RoughKV(self),
            bus=self.bus,
            clock=self.clock,
            leadership=lead,
            new_cache=lambda: StateCache(FLIGHT.sped_up(SPEED), Tuning()),
            new_locks=lambda _kv: NoLocks(),
        )
        desk = Desk(rounds, Consumers(rounds, self.clock), lead)
        desk.pick_up(self.bus)

        async def work() -> None:
            if self.rng.random() < 0.2:
                await desk.scan()
            await rounds.once()

        name = f"dispatcher-{self._born}"
        self._desks[name] = desk
        self._processes[name] = [Actor(work)]
        self._tasks[name] = desk.tasks

    def add_fleet(self) -> None:
        self._born += 1
        name = f"sim-{self._born}"
        fleet = FleetFlight(
            Settings(drones=DRONES, speed=SPEED, flight=FLIGHT, slots=4, read_ticks=4),
            kv=RoughKV(self),
            bus=self.bus,
            clock=self.clock,
            instance=name,
            names=lambda: (name, [one for one in self._processes if one.startswith("sim")]),
            hints_come=lambda: True,
        )

        async def fly() -> None:
            await fleet.tick(Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0))

        self._tasks[name] = [
            self.bus.subscribe(DRONE_ORDERS, name, Hints(fleet.simulation.hinted_at).orders_changed)
        ]
        self._processes[name] = [Actor(fleet.claims.once), Actor(fly)]

    async def kill(self, name: str) -> None:
        for actor in self._processes.pop(name):
            await actor.die()
        for task in self._tasks.pop(name):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._desks.pop(name, None)

    # -- the story -----------------------------------------------------------------------------------------------

    async def _found(self) -> None:
        for number in range(DRONES):
            name = drone_id(number)
            await self.kv.put(drone_key(name), encode(a_drone(name, type=class_of(number))))
        for number in range(ORDERS):
            order = a_delivery(origin=a_place(self.rng), destination=a_place(self.rng), id=f"order-{number}")
            await self.kv.put(delivery_key(order.id), encode(order), tags=delivery_tags(order))
            self.checker.accept(order.id)

    async def _second(self) -> None:
        self.clock.advance(1.0)
        self.tick += 1
        self.next_tick.set()
        self.next_tick = asyncio.Event()
        due = [act for at, act in self._late if at <= self.tick]
        self._late = [(at, act) for at, act in self._late if at > self.tick]
        self.rng.shuffle(due)
        for act in due:
            landed = act()
            if landed is not None:
                await landed
        for actors in list(self._processes.values()):
            for actor in actors:
                actor.go_on()
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _torment(self) -> None:
        if self.rng.random() < 0.08:
            name = self.rng.choice(sorted(self._processes))
            again = self.open_desk if name.startswith("dispatcher") else self.add_fleet
            await self.kill(name)
            again()

    async def deliveries(self) -> dict[str, Delivery]:
        page = await self.kv.scan(prefix=DELIVERY_PREFIX)
        return {one.id: one for one in (decode(Delivery, item.value) for item in page.items)}

    async def run(self) -> FlowVerdict:
        """Rough seconds, then quiet ones until every order has ended."""
        await self._found()
        for start in (self.open_desk, self.add_fleet, self.open_desk, self.add_fleet):
            start()
        for _ in range(ROUGH_TICKS):
            await self._second()
            await self._torment()
        self.rough = False
        for _ in range(SETTLE_TICKS):
            await self._second()
            if all(one.status in TERMINAL for one in (await self.deliveries()).values()):
                break
        for name in list(self._processes):
            await self.kill(name)
        return self.checker.verdict(await self.deliveries(), {})


async def run(seed: int, monkeypatch: pytest.MonkeyPatch, *, off: Sequence[str] = ()) -> FlowVerdict:
    """One seed, without the halves of the rule that are `off`."""
    world = RoughWorld(seed)
    monkeypatch.setattr(rounds_module, "plan_round", world.plan)
    if RECALL in off:

        async def grant(_self: Recalls, recalls: Sequence[Recall]) -> set[tuple[str, str]]:
            return {one.pair for one in recalls}

        monkeypatch.setattr(Recalls, "granted", grant)
    if ASSIGNED in off:
        monkeypatch.setattr(simulation_module, "may_pick_up", lambda _craft, _order: True)
    return await world.run()
