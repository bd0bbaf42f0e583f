"""A round that keeps the fleet's arrays from the last one decides the same as a round that keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from loadtests.bench.dispatch_scale import quiet_worlds

from dronedispatch.dispatcher.core import pickup_ways
from dronedispatch.dispatcher.core.candidates import ALL_PAIRS_MAX
from dronedispatch.dispatcher.core.fleet_cache import Array, FleetCache
from dronedispatch.dispatcher.core.pickup_ways import PickupWays
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS, DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.paths import Paths, paths_of, xy_of
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version
from dronedispatch.testing.views import CALM, drone_at, order, plan

BEGIN_S = 10_000.0
ROUNDS = 12
FLIGHT = FlightModel(cruise_mps=300.0)
CITY = default_city()


@dataclass
class History:
    """A city at work, by chance: what the plans ask for is mostly done, and drones, orders and the city change besides."""

    rng: Random
    drones: dict[str, DroneSnapshot]
    city: City = field(default_factory=default_city)
    deliveries: dict[str, DeliverySnapshot] = field(default_factory=dict)
    now_s: float = BEGIN_S
    seq: int = 1

    @classmethod
    def of(cls, seed: int, drones: int) -> History:
        history = cls(Random(seed), {})
        for number in range(drones):
            history.add_drone(f"drone-{number:05d}")
        return history

    def version(self) -> Version:
        self.seq += 1
        return Version(1, self.seq)

    def place(self) -> Point:
        x0, y0, x1, y1 = self.city.boundary.shape.bounds
        return Point(self.rng.uniform(x0, x1), self.rng.uniform(y0, y1))

    def add_drone(self, name: str) -> None:
        kind = self.rng.choice(list(DroneType))
        status = self.rng.choice([*[DroneStatus.IDLE] * 8, *DroneStatus])
        battery_pct = self.rng.choice([100.0, self.rng.uniform(5, 100)])
        self.drones[name] = DroneSnapshot(name, kind, status, self.version(), self.place(), battery_pct)

    def order(self) -> None:
        name, kg = f"order-{self.seq:06d}", self.rng.uniform(0.2, 11.0)
        self.deliveries[name] = DeliverySnapshot(
            name, DeliveryStatus.PENDING, self.version(), self.place(), self.place(), kg, self.now_s
        )

    def seen(self, name: str, **changes: Any) -> None:
        self.drones[name] = replace(self.drones[name], **changes)

    def drone(self, name: str, **changes: Any) -> None:
        seq = self.drones[name].orders_seq + 1
        self.seen(name, version=self.version(), orders_seq=seq, station=None, **changes)

    def delivery(self, name: str, **changes: Any) -> None:
        self.deliveries[name] = replace(self.deliveries[name], version=self.version(), **changes)

    def carry_out(self, plan: Plan) -> None:
        """Most intents become records."""
        for assign in plan.assigns:
            if self.rng.random() < 0.1:
                continue  # cut short, or lost
            name, order = assign.drone_id, self.deliveries[assign.delivery_id]
            held = {"delivery_id": order.id, "delivery_version": str(order.version), "stops": 2}
            self.drone(name, status=DroneStatus.BUSY, bound_for=None, **held)
            if self.rng.random() < 0.9:
                seq = self.drones[name].orders_seq
                self.delivery(order.id, status=DeliveryStatus.ASSIGNED, drone_id=name, orders_seq=seq)
        for advance in plan.advances:
            self.delivery(advance.delivery_id, status=advance.to)
        for undo in plan.undos:
            undone = self.deliveries[undo.delivery_id].undone + 1
            self.delivery(undo.delivery_id, status=DeliveryStatus.PENDING, drone_id=None, undone=undone)
        for free in plan.frees:
            self.still(free.drone_id, DroneStatus.IDLE)
        for status in plan.statuses:
            self.still(status.drone_id, status.to, status.charge_point)
        for charge in plan.charges:
            self.still(charge.drone_id, DroneStatus.CHARGING, charge.charge_point)

    def still(self, name: str, status: DroneStatus, point: str | None = None) -> None:
        stops = 0 if point is None else 1
        self.drone(name, status=status, status_s=self.now_s, delivery_id=None, stops=stops, bound_for=point)

    def pass_time(self) -> None:
        """Drones fly, arrive, charge, fall silent, are taken out, come and go; orders come; the city changes."""
        rng, self.now_s = self.rng, self.now_s + self.rng.choice([0.2, 1.0, 400.0])
        for name, drone in list(self.drones.items()):
            chance = rng.random()
            if drone.status is DroneStatus.BUSY and chance < 0.7:
                done, left_pct = min(drone.stops, drone.stops_done + rng.randrange(2)), drone.battery_pct - 1
                told = {"stops_done": done, "seen_seq": drone.orders_seq, "battery_pct": left_pct}
                self.seen(name, at=self.place(), **told)
            elif drone.bound_for is not None and chance < 0.6:
                point = self.city.charge_point(drone.bound_for)
                station = None if point is None or chance < 0.2 else point.id
                at = self.place() if point is None or station is None else point.at
                self.seen(name, at=at, station=station, seen_seq=drone.orders_seq, battery_pct=80.0)
            elif chance < 0.02:
                self.seen(name, ticks_missed=rng.choice([1, 3, UNFLOWN_TICKS]))
            elif chance < 0.03:
                self.seen(name, decommissioned=not drone.decommissioned, version=self.version())
        for _ in range(rng.randrange(5)):
            self.order()
        if rng.random() < 0.1:
            del self.drones[rng.choice(list(self.drones))]
        if rng.random() < 0.1:
            self.add_drone(f"drone-{self.seq:05d}")
        if rng.random() < 0.1:
            self.city = self.city.with_capacity(rng.randrange(1, 9))

    def world(self, tuning: Tuning) -> World:
        """Now and then without some drone, as when a record could not be read; in any order."""
        drones, deliveries = list(self.drones.values()), list(self.deliveries.values())
        if self.rng.random() < 0.1:
            drones = [drone for drone in drones if self.rng.random() < 0.9]
        if self.rng.random() < 0.1:
            self.rng.shuffle(drones)
            self.rng.shuffle(deliveries)
        return World(tuple(drones), tuple(deliveries), self.city, FLIGHT, tuning)

    def worlds(self, tuning: Tuning) -> Iterator[tuple[World, Plan]]:
        """Each world with the plan of a round that keeps nothing."""
        for _ in range(ROUNDS):
            self.pass_time()
            world = self.world(tuning)
            plan = plan_round(world, self.now_s)
            yield world, plan
            self.carry_out(plan)


def assert_decides_as_afresh(history: History, tuning: Tuning) -> None:
    cached = FleetCache()
    plans = [(plan_round(world, history.now_s, cached), afresh) for world, afresh in history.worlds(tuning)]
    assert all(kept == afresh for kept, afresh in plans)
    assert sum(len(plan.assigns) for plan, _ in plans) > 0


@pytest.mark.parametrize("policy", [Policy.LOOKAHEAD, Policy.NEAREST])
@pytest.mark.parametrize("seed", range(4))
def test_a_round_that_keeps_arrays_decides_as_one_that_does_not(seed: int, policy: Policy) -> None:
    tuning = Tuning(policy=policy, autoscale=bool(seed % 2), retire_after_s=300.0)
    assert_decides_as_afresh(History.of(seed, drones=60), tuning)


@pytest.mark.parametrize("seed", range(2))
def test_so_it_does_in_a_fleet_that_is_too_large_for_all_pairs(seed: int) -> None:
    assert_decides_as_afresh(History.of(seed, drones=2_500), CALM)


def look_at(cached: FleetCache, *drones: DroneSnapshot) -> None:
    cached.look(World(drones, (), CITY, FLIGHT))


def length_m(a: Point, b: Point) -> float:
    return paths_of(CITY).length_m(a, b)


HERE, THERE, GOAL = Point(-2_000.0, 1_000.0), Point(3_000.0, -500.0), Point(500.0, 4_000.0)


def test_the_kept_way_to_a_charge_point_is_measured_anew_for_a_drone_that_has_moved_or_goes_elsewhere() -> (
    None
):
    cached, (first, second) = FleetCache(), CITY.charge_points[:2]
    for at, point in ((HERE, first), (HERE, first), (THERE, first), (THERE, second)):
        bound = {"status": DroneStatus.CHARGING, "bound_for": point.id, "bound_at": point.pos, "stops": 1}
        look_at(cached, drone_at("d", at, **bound))
        assert cached.bound_way_m(np.array([0])).tolist() == [length_m(at, point.at)]


def test_the_kept_way_to_the_next_stop_is_measured_anew_from_another_place_and_to_another_stop() -> None:
    cached = FleetCache()
    for at, goals in ((HERE, (Point(0.0, 0.0), GOAL)), (THERE, (GOAL, GOAL, HERE))):
        look_at(cached, drone_at("d", at))
        for goal in goals:
            assert cached.way_m([0], [goal]).tolist() == [length_m(at, goal)]


def test_a_drone_that_comes_in_another_ones_row_has_its_own_ways() -> None:
    cached = FleetCache()
    look_at(cached, drone_at("d", HERE))
    cached.way_m([0], [GOAL])
    cached.charge_ways_m(np.array([0]))
    look_at(cached, drone_at("c", THERE), drone_at("d", HERE))
    assert cached.way_m([0, 1], [GOAL, GOAL]).tolist() == [length_m(THERE, GOAL), length_m(HERE, GOAL)]
    to_charge = [[length_m(at, point.at) for point in CITY.charge_points] for at in (THERE, HERE)]
    assert cached.charge_ways_m(np.array([0, 1])).tolist() == to_charge


def test_the_kept_ways_to_pick_ups_are_those_of_the_two_places_whatever_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pickup_ways, "ORIGINS_MAX", 5)
    rng, paths = np.random.default_rng(5), paths_of(CITY)
    ways, from_m, count = PickupWays(paths), rng.uniform(-5_000.0, 5_000.0, (12, 2)), 12
    places = [Point(*spot) for spot in rng.uniform(-5_000.0, 5_000.0, (30, 2)).tolist()]
    for turn in range(40):
        if turn == 20:  # one drone more, in the first row
            from_m, count = np.concatenate([from_m[:1] + 5.0, from_m]), 13
        from_m[rng.integers(0, count, 3)] += 40.0
        rows = np.sort(rng.choice(count, 7, replace=False))
        to = [places[k] for k in rng.integers(0, 30, 2 + turn % 6)]
        pairs = np.divmod(np.arange(7 * len(to)), len(to))
        found = ways.of(count, rows, from_m[rows], to, pairs)
        assert found.tolist() == paths.lengths_m(from_m[rows][pairs[0]], xy_of(to)[pairs[1]]).tolist()


def test_what_is_kept_of_ways_to_pick_ups_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = paths_of(CITY)
    ways, measured = PickupWays(paths), list[int]()
    lengths_m = paths.lengths_m

    def counted(a: Array, b: Array) -> Array:
        measured.append(len(a))
        return lengths_m(a, b)

    monkeypatch.setattr(paths, "lengths_m", counted)
    from_m, to, pairs = xy_of([HERE, THERE]), [GOAL, Point(0.0, 0.0)], np.divmod(np.arange(4), 2)
    for _ in range(2):
        ways.of(2, np.arange(2), from_m, to, pairs)
    from_m[1] += 10.0
    ways.of(2, np.arange(2), from_m, [*to, HERE], np.divmod(np.arange(6), 3))
    assert measured == [4, 1 + 3]


def test_a_round_looks_ways_up_twice_those_of_new_orders_and_then_all_that_pairs_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up, cached = list[int](), FleetCache()
    lengths_m = Paths.lengths_m

    def counted(paths: Paths, a: Array, b: Array) -> Array:
        looked_up.append(len(a))
        return lengths_m(paths, a, b)

    monkeypatch.setattr(Paths, "lengths_m", counted)
    for world in quiet_worlds(600, 6, seed=2):
        looked_up.clear()
        assert plan_round(world, BEGIN_S, cached).assigns
        assert len(looked_up) == 2


def test_orders_that_no_drone_of_a_large_fleet_can_lift_wait() -> None:
    fleet = [drone_at(f"d{i}", HERE, type=DroneType.LIGHT) for i in range(ALL_PAIRS_MAX)]
    heavy = [order(f"o{i}", GOAL, THERE, weight_kg=9.0) for i in range(2)]
    made = plan(*fleet, *heavy)
    assert (len(made.holds), made.assigns) == (2, ())
