"""A city in virtual time: drones that do as they are told, demand from a seed, and the dispatcher's own round deciding.

Motion is event-driven: nothing happens between an arrival, a stop reached and a battery full, so that 900 orders take
about a second. Real consumption differs from the nominal one by a factor drawn for every leg, within the flight model's
uncertainty; the round sees measured batteries and plans with the worst case, as in production.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from loadtests.bench.dispatch_demand import Scenario, places
from loadtests.bench.dispatch_drone import Leg, Life, SimDrone

from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus, DroneType
from dronedispatch.fleet.energy import STRANDED_PCT
from dronedispatch.fleet.paths import Paths, paths_of
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version

Round = Callable[[World, float], Plan]
ROUNDS_AT_ONCE_MAX = 8


class Simulation:
    """Runs one scenario under one policy to the end of its orders."""

    def __init__(self, scenario: Scenario, plan_round: Round, tuning: Tuning) -> None:
        self.scenario = scenario
        self.flight = scenario.flight
        self.city = scenario.city
        self.paths: Paths = paths_of(scenario.city)
        self.plan_round = plan_round
        self.tuning = tuning
        self.now_s = 0.0
        rng = np.random.default_rng([scenario.seed, 7])
        kinds = list(DroneType)
        starts = places(scenario.city, rng, scenario.drones, 0)
        self.drones = {
            f"d{i:05d}": SimDrone(f"d{i:05d}", kinds[i % len(kinds)], starts[i], 100.0)
            for i in range(scenario.drones)
        }
        self.starts = {drone.id: drone.at for drone in self.drones.values()}
        self._noise = np.random.default_rng([scenario.seed, 11])
        self.open: dict[str, Life] = {}
        self.lives: list[Life] = []
        self.pending = 0
        self.plugs: dict[str, set[str]] = {point.id: set() for point in self.city.charge_points}
        self.queues: dict[str, deque[str]] = {point.id: deque() for point in self.city.charge_points}
        self.events: list[tuple[float, int, str, int]] = []
        self._count = 0
        self._next = 0
        self.flights = 0
        self.never = 0  # orders that wait for ever: no drone can fly them from where the policy lets it rest
        self.round_s: list[float] = []
        self.rounds = 0

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, *, until_delivered: int | None = None) -> Simulation:
        """Until every order (or `until_delivered` of them) is delivered, or nothing moves any more: see `never`."""
        self._let_in()
        self._rounds()
        wanted = len(self.scenario.orders) if until_delivered is None else until_delivered
        self.delivered = 0
        while self.delivered < wanted and (self.events or self._arrivals_left()):
            self._step()
            self._rounds()
        self.never = len(self.open) if self.delivered < wanted else 0
        return self

    def _arrivals_left(self) -> bool:
        return self.scenario.backlog is None and self._next < len(self.scenario.orders)

    def _step(self) -> None:
        arrival = self.scenario.orders[self._next].at_s if self._arrivals_left() else float("inf")
        if self.events and self.events[0][0] <= arrival:
            self.now_s, _, drone_id, seq = heapq.heappop(self.events)
            self._reach(self.drones[drone_id], seq)
        else:
            self.now_s = arrival
        self._let_in()

    def _let_in(self) -> None:
        orders, backlog = self.scenario.orders, self.scenario.backlog
        while self._next < len(orders):
            order = orders[self._next]
            if order.at_s > self.now_s if backlog is None else self.pending >= backlog:
                return
            self._next += 1
            life = Life(order, self.now_s if backlog is not None else order.at_s)
            self.open[order.id] = life
            self.lives.append(life)
            self.pending += 1

    def _at(self, when_s: float, drone: SimDrone) -> None:
        self._count += 1
        heapq.heappush(self.events, (when_s, self._count, drone.id, drone.orders_seq))

    # -- bodies -------------------------------------------------------------------------------------------------

    def _flown_m(self, leg: Leg) -> float:
        return min(leg.length_m, (self.now_s - leg.start_s) * self.flight.cruise_mps)

    def _now(self, drone: SimDrone) -> tuple[Point, float]:
        """(where it is now, its battery now)."""
        at, battery = drone.at, drone.battery_pct
        if drone.leg is not None:
            flown = self._flown_m(drone.leg)
            at, battery = drone.leg.at(flown), battery - flown * drone.leg.drain_pct_per_m
        if drone.plugged_s is not None:
            gained = (self.now_s - drone.plugged_s) * self.flight.charge_pct_per_min / 60.0
            battery = min(100.0, battery + gained)
        return at, battery

    def _settle(self, drone: SimDrone) -> None:
        """Bring position and battery to now."""
        drone.at, drone.battery_pct = self._now(drone)
        drone.lowest_pct = min(drone.lowest_pct, drone.battery_pct)
        if drone.leg is not None:
            if drone.leg.loaded:
                drone.loaded_m += self._flown_m(drone.leg)
            else:
                drone.empty_m += self._flown_m(drone.leg)
            drone.leg = None
        if drone.plugged_s is not None:
            drone.plugged_s = self.now_s

    def _fly(self, drone: SimDrone) -> None:
        """Start the leg to the next stop."""
        to, loaded = drone.stops[drone.done]
        length = self.paths.length_m(drone.at, to)
        noise = 1.0 + self._noise.uniform(-self.scenario.noise, self.scenario.noise)
        weight = drone.weight_kg if loaded else 0.0
        load = self.flight.load_factor(weight, PAYLOAD_MAX_KG[drone.kind])
        rate = self.flight.drain_pct_per_km / 1000.0 * load * noise
        drone.leg = Leg(self.now_s, (drone.at, *self.paths.route(drone.at, to)), length, rate, loaded)
        self.flights += 1
        self._at(drone.leg.end_s(self.flight), drone)

    def _reach(self, drone: SimDrone, seq: int) -> None:
        if seq != drone.orders_seq:
            return  # it was told otherwise meanwhile
        self._settle(drone)
        if drone.bound_for is not None:
            if drone.done == 0:
                drone.done = -1  # there, not charged
                self._plug_or_queue(drone, drone.bound_for)
            elif drone.plugged_s is not None:
                drone.battery_pct = max(drone.battery_pct, drone.until_pct)
                drone.done = 1
            return
        drone.done += 1
        if drone.done < len(drone.stops):
            self._fly(drone)

    def _plug_or_queue(self, drone: SimDrone, point_id: str) -> None:
        point = self.city.charge_point(point_id)
        assert point is not None
        if len(self.plugs[point_id]) < point.capacity:
            self.plugs[point_id].add(drone.id)
            drone.plugged_s, drone.queued = self.now_s, False
            self._at(self.now_s + self.flight.charge_s(drone.battery_pct, drone.until_pct), drone)
        else:
            drone.queued = True
            self.queues[point_id].append(drone.id)

    def _unplug(self, drone: SimDrone) -> None:
        if drone.bound_for is None:
            return
        point_id, drone.bound_for = drone.bound_for, None
        if drone.queued:
            self.queues[point_id].remove(drone.id)
            drone.queued = False
        if drone.plugged_s is not None:
            drone.plugged_s = None
            self.plugs[point_id].discard(drone.id)
            if self.queues[point_id]:
                self._plug_or_queue(self.drones[self.queues[point_id].popleft()], point_id)

    def _order(self, drone: SimDrone, status: DroneStatus, stops: list[tuple[Point, bool]]) -> None:
        self._settle(drone)
        self._unplug(drone)
        drone.status, drone.status_s, drone.n = status, self.now_s, drone.n + 1
        drone.orders_seq += 1
        drone.stops, drone.done = stops, 0
        drone.delivery_id = drone.delivery_version = None
        if stops:
            self._fly(drone)

    # -- rounds -------------------------------------------------------------------------------------------------

    def world(self) -> World:
        return World(
            tuple(map(self._view, self.drones.values())),
            tuple(map(self._delivery_view, self.open.values())),
            self.city,
            self.flight,
            self.tuning,
        )

    def _view(self, drone: SimDrone) -> DroneSnapshot:
        at, battery = self._now(drone)
        return DroneSnapshot(
            id=drone.id,
            type=drone.kind,
            status=drone.status,
            version=Version(1, drone.n),
            at=at,
            battery_pct=battery,
            status_s=drone.status_s,
            delivery_id=drone.delivery_id,
            delivery_version=drone.delivery_version,
            orders_seq=drone.orders_seq,
            stops=len(drone.stops),
            bound_for=drone.bound_for,
            until_pct=drone.until_pct,
            seen_seq=drone.orders_seq,
            stops_done=max(0, drone.done),
            station=drone.bound_for if drone.plugged_s is not None else None,
            queued_at=drone.bound_for if drone.queued else None,
        )

    def _delivery_view(self, life: Life) -> DeliverySnapshot:
        order = life.order
        return DeliverySnapshot(
            id=order.id,
            status=life.status,
            version=Version(1, life.n),
            origin=order.origin,
            destination=order.destination,
            weight_kg=order.weight_kg,
            created_s=life.created_s,
            drone_id=life.drone_id,
            orders_seq=life.orders_seq,
            assigned_s=life.assigned_s,
        )

    def _rounds(self) -> None:
        for _ in range(ROUNDS_AT_ONCE_MAX):
            world = self.world()
            began = time.perf_counter()
            plan = self.plan_round(world, self.now_s)
            self.round_s.append(time.perf_counter() - began)
            self.rounds += 1
            self.apply(plan)
            if not plan.again:
                return
        raise RuntimeError(f"rounds at {self.now_s:.0f} s do not come to rest")

    def apply(self, plan: Plan) -> None:
        """Carry out as the shell does, with the same checks of versions."""
        for advance in plan.advances:
            life = self.open[advance.delivery_id]
            assert advance.version.n == life.n
            life.status, life.n = advance.to, life.n + 1
            if advance.to is DeliveryStatus.IN_PROGRESS:
                life.picked_s = self.now_s
            else:
                life.delivered_s = self.now_s
                self.delivered += 1
                del self.open[advance.delivery_id]
        assert not plan.fails
        assert not plan.finishes
        for undo in plan.undos:
            life = self.open[undo.delivery_id]
            assert undo.version.n == life.n
            life.status, life.n, life.undone = DeliveryStatus.PENDING, life.n + 1, life.undone + 1
            life.drone_id = life.orders_seq = life.assigned_s = None
            self.pending += 1
        for free in plan.frees:
            drone = self.drones[free.drone_id]
            assert free.version.n == drone.n
            self._order(drone, DroneStatus.IDLE, [])
        for charge in plan.charges:
            drone = self.drones[charge.drone_id]
            assert charge.version.n == drone.n
            self._charge(drone, charge.charge_point, charge.until_pct)
        assert not plan.statuses
        for assign in plan.assigns:
            self._assign(assign.drone_id, assign.drone_version, assign.delivery_id, assign.delivery_version)
        self._let_in()

    def _charge(self, drone: SimDrone, point_id: str, until_pct: float) -> None:
        point = self.city.charge_point(point_id)
        assert point is not None
        if drone.bound_for == point_id:  # only the goal changes
            self._settle_goal(drone, until_pct)
            return
        self._order(drone, DroneStatus.CHARGING, [(point.at, False)])
        drone.bound_for, drone.until_pct = point_id, until_pct

    def _settle_goal(self, drone: SimDrone, until_pct: float) -> None:
        drone.n += 1
        drone.until_pct = until_pct
        if drone.plugged_s is not None:
            self._settle(drone)
            drone.orders_seq += 1
            self._at(self.now_s + self.flight.charge_s(drone.battery_pct, until_pct), drone)

    def _assign(
        self, drone_id: str, drone_version: Version, delivery_id: str, delivery_version: Version
    ) -> None:
        drone, life = self.drones[drone_id], self.open[delivery_id]
        assert drone_version.n == drone.n, f"{drone_id} was decided on an old version"
        assert delivery_version.n == life.n
        assert drone.status in (DroneStatus.IDLE, DroneStatus.CHARGING)
        assert life.status is DeliveryStatus.PENDING
        assert life.order.weight_kg <= PAYLOAD_MAX_KG[drone.kind]
        drone.weight_kg = life.order.weight_kg
        self._order(drone, DroneStatus.BUSY, [(life.order.origin, False), (life.order.destination, True)])
        drone.delivery_id, drone.delivery_version = delivery_id, str(delivery_version)
        life.status, life.n = DeliveryStatus.ASSIGNED, life.n + 1
        life.drone_id, life.orders_seq, life.assigned_s = drone_id, drone.orders_seq, self.now_s
        self.pending -= 1

    # -- measures -----------------------------------------------------------------------------------------------

    @property
    def stranded(self) -> int:
        return sum(1 for drone in self.drones.values() if drone.lowest_pct < STRANDED_PCT)

    def waits_s(self) -> npt.NDArray[np.float64]:
        """Order to delivery, of the delivered."""
        return np.array(
            [life.delivered_s - life.created_s for life in self.lives if life.delivered_s is not None]
        )

    def empty_ratio(self) -> float:
        empty = sum(drone.empty_m for drone in self.drones.values())
        return empty / (empty + sum(drone.loaded_m for drone in self.drones.values()))


def simulate(
    scenario: Scenario, plan_round: Round, tuning: Tuning, *, until_delivered: int | None = None
) -> Simulation:
    """Run it."""
    return Simulation(scenario, plan_round, tuning).run(until_delivered=until_delivered)
