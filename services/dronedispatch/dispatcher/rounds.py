"""The round: what somebody pointed at is read, the cache becomes a World, the plan is carried out.

Events wake it at once; the periodic round does the same without them. It works for the leader only, and from an empty
cache at the begin of each term: what an old leader has seen counts for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram
from ulid import ULID

from dronedispatch.dispatcher.carry_out import CarryOut, Outcome, PairLocks
from dronedispatch.dispatcher.core.dispatch_state import state_of
from dronedispatch.dispatcher.core.fleet_arrays import LAG_SHARE
from dronedispatch.dispatcher.core.fleet_cache import FleetCache
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.world import World
from dronedispatch.dispatcher.desired_states import apply_desired_states
from dronedispatch.dispatcher.loader import Loader
from dronedispatch.dispatcher.pause import Pause
from dronedispatch.dispatcher.statuses import GATHER_S, OLD_NEWS_S, Statuses, StatusPublisher
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DISPATCH_STATE_KEY,
    DRONE_PREFIX,
    drone_key,
    encode,
    stamp,
    unstamp,
)
from dronedispatch.fleet.drones import Drone, DroneStatus
from dronedispatch.fleet.messages import DRONE_ORDERS, DroneOrdersChanged
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.version import Version
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.logs import current_request_id

CONFIRM_MAX = 2  # plans that the records did not bear out; then whoever is in doubt is left out of the round
PLAN_AGE_S = (
    1.0  # within it an assignment is written in any case; a slow round makes the next one count with more
)
ROUND_WITHIN_S = 0.4  # for so long what has been seen waits for the round that tells it
AGAIN_MAX = 3  # rounds at once, one after the other, before the loop takes a breath

STEP = Histogram(
    "dd_dispatch_round_seconds",
    "Duration of a round, by step",
    ["step"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
ASSIGNED = Counter("dd_dispatch_assigned_total", "Assignments written")
LOST = Counter("dd_dispatch_lost_total", "Intents whose write met another version, an error or a lock")
ROLLED_BACK = Counter("dd_dispatch_rolled_back_total", "Assignments taken back")
OPEN = Gauge("dd_dispatch_open", "Open deliveries by status", ["status"])
FLEET = Gauge("dd_dispatch_drones", "Drones by status", ["status"])
UNREADABLE = Gauge("dd_dispatch_unreadable", "Stored records that cannot be read and are left alone")
UNFLYABLE = Gauge(
    "dd_dispatch_unflyable",
    "Open orders that no drone of the fleet can ever fly as things are: they will fail",
)
WAIT = Histogram(
    "dd_dispatch_assign_seconds",
    "From created to the first assignment: an order that is swapped later was not late",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0),
)

log = structlog.get_logger()


class RoundPublisher(Publisher, StatusPublisher, Protocol):
    """The broker, as a dispatcher tells others by it: runtime.amqp.Bus, or its memory twin."""


class Leadership(Protocol):
    """runtime/leadership.ConsulLock, or a fixed answer in tests."""

    leader: bool
    term: int


class Rounds:
    """`once` is a round. `wake` is set when there is something to do before the next periodic one."""

    def __init__(
        self,
        *,
        kv: KVClient,
        bus: RoundPublisher,
        clock: Clock,
        leadership: Leadership,
        new_cache: Callable[[], StateCache],
        new_locks: Callable[[KVClient], PairLocks],
        gather_s: float = 0.0,
    ) -> None:
        self._kv = kv
        self._bus = bus
        self._clock = clock
        self._leadership = leadership
        self._new_cache = new_cache
        self._new_locks = new_locks
        self._pause = Pause(clock, gather_s)
        self.statuses = Statuses(bus, clock)
        self._term = 0
        self._pointed_at: set[str] = set()
        self._planned_s = 0.0
        self._busy = False  # with a round
        self.wake = asyncio.Event()
        self._start_over()

    def _start_over(self) -> None:
        self.cache = self._new_cache()
        self.loader = Loader(self._kv, self.cache, self._clock, self.statuses.look)
        self._carry_out = CarryOut(self._kv, self.cache, self._clock, self._wrote)
        self._locks = self._new_locks(self._kv)
        self._fleet = FleetCache()
        self.complete = False

    def point_at(self, *keys: str) -> None:
        """These keys have changed, by an event: read them before the next round."""
        self._pointed_at.update(keys)
        self._pause.wait_for(len(self._pointed_at))
        self.wake.set()

    def _wrote(self, record: Delivery | Drone, version: Version) -> None:
        if isinstance(record, Drone):
            self.statuses.look_at_drone(record, version)
            return
        delivery = record
        self.statuses.look(delivery, version)
        moves = [line for line in delivery.history if line.to is DeliveryStatus.ASSIGNED]
        if delivery.status is DeliveryStatus.ASSIGNED and len(moves) == 1:
            WAIT.observe(unstamp(moves[0].at) - unstamp(delivery.created_at))

    async def once(self) -> str:
        """One wake-up: up to AGAIN_MAX rounds. Returns what was done. Raises KVError when the store says nothing."""
        if not self._leadership.leader:
            if self.complete:
                self._start_over()
            return "standing by"
        await self._pause.over()
        if self._term != self._leadership.term or not self.complete:
            await self._begin_term()
        self._planned_s = 0.0
        said: list[str] = []
        self._busy = True
        try:
            for _ in range(AGAIN_MAX):
                plan_again, sentence = await self._round()
                said.append(sentence)
                if not plan_again:
                    break
        finally:
            self._busy = False
        self._pause.begin(self._planned_s)
        return "; ".join(said)

    async def _begin_term(self) -> None:
        self._term = self._leadership.term
        self._start_over()
        self.statuses.begin(self._term)
        loader = Loader(self._kv, self.cache, self._clock, self._first_look)
        await loader.open_deliveries()
        await loader.fleet()
        await loader.keys(self.cache.unknown_deliveries())
        self.complete = True
        log.info(
            "term begun",
            term=self._term,
            drones=len(self.cache.drones),
            open_deliveries=len(self.cache.deliveries),
        )

    def _first_look(self, delivery: Delivery, version: Version) -> None:
        last = delivery.history[-1].at if delivery.history else delivery.created_at
        if self._clock.wall_s() - unstamp(last) > OLD_NEWS_S:
            self.statuses.know(delivery, version)
        else:
            self.statuses.look(delivery, version)

    async def beat(self) -> str:
        """Tell what has been seen since the last batch; nothing is news too, some half a second after the last.

        A round that is under way, or comes for what somebody pointed at, tells all of it when it ends.
        """
        if self._leads and self.statuses.waiting:
            await asyncio.sleep(GATHER_S)
            if self._busy or self._pointed_at:
                await self.statuses.told(ROUND_WITHIN_S)
        if not self._leads:
            return "standing by"
        self.statuses.beat()
        return "told"

    @property
    def _leads(self) -> bool:
        """In the term that the cache belongs to."""
        return self._leadership.leader and self._term == self._leadership.term

    async def _round(self) -> tuple[bool, str]:
        with STEP.labels("read").time():
            pointed_at, self._pointed_at = self._pointed_at, set()
            self._pause.wait_for(0)
            unread, _ = await asyncio.gather(
                self.loader.keys(pointed_at), self.loader.confirm_telemetry(self.cache.steps_heard())
            )
            self._pointed_at.update(unread)
            self._pointed_at.update(await self.loader.keys(self.cache.doubtful()))
            unread = await self.loader.keys(self.cache.unknown_deliveries())
            desired_states = (
                await apply_desired_states(self.cache, self._kv) if self.cache.desired_states else 0
            )
        self.cache.forget_ended()
        looked_s = self._clock.monotonic_s()
        plan = await self._plan(set(unread) | self._pointed_at)
        until_s = looked_s + max(PLAN_AGE_S, LAG_SHARE * self.cache.lag_s)
        with STEP.labels("write").time():
            outcome = await self._carry_out.carry_out(plan, self._locks, assign_until_s=until_s)
        self.cache.took(self._clock.monotonic_s() - looked_s)
        self._pointed_at.update(outcome.reread)
        self._count(outcome)
        self.cache.take_unflyable(plan.unflyable, self._clock.monotonic_s())
        UNFLYABLE.set(len(plan.unflyable))
        self.statuses.flush()
        self._point_out(outcome)
        sentence = str(plan) + (f", desired states {desired_states}" if desired_states else "")
        if str(outcome):
            log.info("round", plan=sentence, outcome=str(outcome), term=self._term)
        wrote = bool(outcome.deliveries or outcome.drones)
        hurry = bool(
            plan.holds or plan.undos
        )  # somebody waits for what was freed; nobody: the next round is soon enough
        return plan.again and wrote and hurry, sentence

    async def _plan(self, left_out: set[str]) -> Plan:
        """A plan whose moves of deliveries rest on records: where a message alone spoke for them, the record is read first.

        What it does not bear out is planned again without it.
        """
        plan = self._plan_once(left_out)
        for _ in range(CONFIRM_MAX):
            hearsay = self.cache.hearsay_of(plan)
            if not hearsay or await self.loader.confirm_telemetry(hearsay):
                return plan
            left_out |= {drone_key(name) for name in self.cache.hearsay_of(plan)}  # could not be read
            plan = self._plan_once(left_out)
        left_out |= {drone_key(name) for name in self.cache.hearsay_of(plan)}
        return self._plan_once(left_out)

    def _plan_once(self, left_out: set[str]) -> Plan:
        world = self._world_without(left_out)
        began_s = self._clock.monotonic_s()
        plan = plan_round(world, self._clock.wall_s(), self._fleet)
        planned_s = self._clock.monotonic_s() - began_s
        STEP.labels("plan").observe(planned_s)
        self._planned_s += planned_s
        return plan

    def _world_without(self, unread: set[str]) -> World:
        """The world, without what could not be read, now or ever: nothing is decided about it."""
        world = self.cache.world(self._clock.monotonic_s())
        left_out = unread | self.cache.unreadable.keys()
        return leave_out(world, left_out) if left_out else world

    def _count(self, outcome: Outcome) -> None:
        ASSIGNED.inc(outcome.assigned)
        LOST.inc(outcome.lost)
        ROLLED_BACK.inc(outcome.rolled_back)
        UNREADABLE.set(len(self.cache.unreadable))

    def _point_out(self, outcome: Outcome) -> None:
        """Tell the drone_sims whose orders have changed: without, they find out by reading the whole fleet in turns."""
        if not outcome.drones:
            return
        event = DroneOrdersChanged(
            id=str(ULID()),
            at=stamp(self._clock.wall_s()),
            request_id=current_request_id(),
            drone_ids=tuple(dict.fromkeys(drone.id for drone in outcome.drones)),
        )
        self._bus.to_fanout(DRONE_ORDERS, encode(event), message_id=event.id)

    @property
    def term(self) -> int:
        """The term as leader that the cache belongs to."""
        return self._term

    def snapshot(self) -> World | None:
        """What the next round would decide on; None while this process does not lead."""
        if not self._leadership.leader or not self.complete:
            return None
        return self._world_without(set(self._pointed_at))

    async def publish_state(self) -> str:
        """What the gateways compute an ETA from. Raises KVError: they see its age."""
        if not self._leadership.leader or not self.complete:
            return "standing by"
        world = self.cache.world(self._clock.monotonic_s())
        state = state_of(world, at=stamp(self._clock.wall_s()), term=self._term)
        for status in DroneStatus:
            FLEET.labels(status).set(state.drones.get(status, 0))
        OPEN.labels("pending").set(state.pending)
        OPEN.labels("assigned").set(state.assigned)
        OPEN.labels("in-progress").set(state.in_progress)
        await self._kv.put(DISPATCH_STATE_KEY, encode(state))
        return "published"

    async def settled(self) -> None:
        """Until nothing of the last rounds is under way."""
        await self._locks.settled()


def leave_out(world: World, keys: set[str]) -> World:
    """Without these deliveries and drones, and without the other half of each pair that they are in."""
    drones = {key.removeprefix(DRONE_PREFIX) for key in keys if key.startswith(DRONE_PREFIX)}
    deliveries = {key.removeprefix(DELIVERY_PREFIX) for key in keys if key.startswith(DELIVERY_PREFIX)}
    out = {drone.id for drone in world.drones if drone.id in drones or drone.delivery_id in deliveries}
    return replace(
        world,
        drones=tuple(drone for drone in world.drones if drone.id not in out) if out else world.drones,
        deliveries=tuple(
            delivery
            for delivery in world.deliveries
            if delivery.id not in deliveries
            and delivery.drone_id not in out
            and delivery.drone_id not in drones
        ),
    )
