"""How long one round takes, by the number of drones and of pending orders.

CPU time of the thread, not wall time: the figure is the round's own, whatever else the machine does meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dronedispatch.dispatcher.core.fleet_cache import FleetCache
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version
from dronedispatch.runtime import garbage


@dataclass(frozen=True)
class Timing:
    """Milliseconds of CPU."""

    drones: int
    pending: int
    rounds: int
    p50_ms: float
    p99_ms: float


def busy_world(drones: int, pending: int, seed: int, city: City | None = None) -> World:
    """A city at work: a third of the drones flies to a pick-up, a third with a parcel, a sixth charges, the rest idles."""
    city = default_city().with_capacity(max(4, drones // 10)) if city is None else city
    rng = np.random.default_rng(seed)
    x0, y0, x1, y1 = city.boundary.shape.bounds
    spots = rng.uniform((x0, y0), (x1, y1), (drones + 2 * (drones + pending), 2)).tolist()
    kinds, version = list(DroneType), Version(1, 1)
    fleet: list[DroneSnapshot] = []
    deliveries: list[DeliverySnapshot] = []

    def order(
        number: int, status: DeliveryStatus, drone_id: str | None, weight_kg: float
    ) -> DeliverySnapshot:
        origin, destination = (Point(*spots[drones + 2 * number + k]) for k in range(2))
        if status is DeliveryStatus.ASSIGNED:  # its drone was well chosen: it is on its last 1.5 km or so
            x, y = spots[number]
            dx, dy = rng.normal(0.0, 1000.0, 2)
            origin = Point(min(max(x + dx, x0), x1), min(max(y + dy, y0), y1))
        created_s = 1000.0 - float(rng.exponential(600.0))
        return DeliverySnapshot(
            f"o{number:06d}", status, version, origin, destination, weight_kg, created_s, drone_id=drone_id
        )

    for i in range(drones):
        share, drone_id, battery = i % 6, f"d{i:05d}", float(rng.uniform(25, 100))
        at, kind = Point(*spots[i]), kinds[i // 6 % 3]
        if share < 4:
            status = DeliveryStatus.ASSIGNED if share < 2 else DeliveryStatus.IN_PROGRESS
            deliveries.append(order(i, status, drone_id, float(rng.uniform(0.2, 3.0))))
            held = DroneSnapshot(
                drone_id, kind, DroneStatus.BUSY, version, at, battery, delivery_id=f"o{i:06d}", stops=2
            )
            fleet.append(held if share < 2 else _with_parcel(held))
        elif share == 4:
            point = city.charge_points[i // 6 % len(city.charge_points)]
            plugged = DroneSnapshot(drone_id, kind, DroneStatus.CHARGING, version, point.at, battery, stops=1)
            fleet.append(_plugged(plugged, point.id))
        else:
            fleet.append(DroneSnapshot(drone_id, kind, DroneStatus.IDLE, version, at, battery))
    deliveries += [
        order(drones + j, DeliveryStatus.PENDING, None, float(rng.uniform(0.2, 10.0))) for j in range(pending)
    ]
    return World(tuple(fleet), tuple(deliveries), city, tuning=Tuning(autoscale=False))


def _with_parcel(drone: DroneSnapshot) -> DroneSnapshot:
    return replace(drone, stops=2, stops_done=1)


def _plugged(drone: DroneSnapshot, point_id: str) -> DroneSnapshot:
    return replace(drone, stops=1, bound_for=point_id, station=point_id)


def time_rounds(drones: int, pending: int, rounds: int, seed: int = 1) -> Timing:
    """Rounds over different worlds of this size; the first is not counted: it makes the city's paths.

    The collector of cycles is set as in the dispatcher.
    """
    garbage.search_rarely()
    spent: list[float] = []
    for number in range(rounds + 1):
        world = busy_world(drones, pending, seed + number)
        began = time.thread_time()
        plan_round(world, 1000.0)
        spent.append((time.thread_time() - began) * 1000.0)
    p50, p99 = np.percentile(spent[1:], (50, 99))
    return Timing(drones, pending, rounds, float(p50), float(p99))


def quiet_worlds(drones: int, rounds: int, seed: int) -> Iterator[World]:
    """A fleet of which a twentieth flies with parcels and a fifteenth charges: each round four orders are new, and the
    places of a sixth of the flying drones and of four others are."""
    rng = np.random.default_rng(seed)
    city = default_city().with_capacity(max(4, drones // 10))
    x0, y0, x1, y1 = city.boundary.shape.bounds
    kinds, version, flying = list(DroneType), Version(1, 1), drones // 20
    fleet: list[DroneSnapshot] = []
    carried: list[DeliverySnapshot] = []

    def spot() -> Point:
        return Point(*rng.uniform((x0, y0), (x1, y1)).tolist())

    def order(name: str, status: DeliveryStatus, drone_id: str | None, kg: float) -> DeliverySnapshot:
        return DeliverySnapshot(name, status, version, spot(), spot(), kg, 999.0, drone_id=drone_id)

    for i in range(drones):
        drone = DroneSnapshot(f"d{i:05d}", kinds[i % 3], DroneStatus.IDLE, version, spot(), 100.0)
        if i < flying:
            carried.append(order(f"o{i:05d}", DeliveryStatus.IN_PROGRESS, drone.id, 2.0))
            drone = _with_parcel(replace(drone, status=DroneStatus.BUSY, delivery_id=f"o{i:05d}"))
        elif i < flying + drones // 15:
            point = city.charge_points[i % len(city.charge_points)]
            drone = _plugged(
                replace(drone, status=DroneStatus.CHARGING, at=point.at, battery_pct=60.0), point.id
            )
        fleet.append(drone)
    for number in range(rounds):
        moved = [*range(number % 6, flying, 6), *rng.integers(drones // 2, drones, 4).tolist()]
        for i in moved:
            fleet[i] = replace(fleet[i], at=spot())
        new = [
            order(f"p{number}-{j}", DeliveryStatus.PENDING, None, float(rng.uniform(0.2, 10.0)))
            for j in range(4)
        ]
        yield World(tuple(fleet), (*carried, *new), city, tuning=Tuning(autoscale=False))


def time_kept(drones: int, rounds: int, seed: int = 1) -> tuple[float, float]:
    """Medians of a round that keeps nothing and of one that keeps the fleet's arrays, of the same worlds in turn; ms."""
    garbage.search_rarely()
    cached = FleetCache()
    spent: tuple[list[float], list[float]] = ([], [])
    for world in quiet_worlds(drones, rounds + 1, seed):
        for kept, times in zip((None, cached), spent, strict=True):
            began = time.thread_time()
            plan_round(world, 1000.0, kept)
            times.append((time.thread_time() - began) * 1000.0)
    afresh_ms, kept_ms = (float(np.median(times[1:])) for times in spent)
    return afresh_ms, kept_ms


def growth_exponent(timings: Sequence[Timing]) -> float:
    """b of time = a n^b, between the smallest and the largest fleet (medians)."""
    first, last = timings[0], timings[-1]
    return math.log(last.p50_ms / first.p50_ms) / math.log(last.drones / first.drones)
