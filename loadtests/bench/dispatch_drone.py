"""One simulated drone of the benchmark, its flight from stop to stop, and the life of one order."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtests.bench.dispatch_demand import Order

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.positions import Point, distance_m


@dataclass
class Leg:
    """A way being flown: from `start_s` at `route[0]`; `drain_pct_per_m` is the real one."""

    start_s: float
    route: tuple[Point, ...]
    length_m: float
    drain_pct_per_m: float
    loaded: bool

    def end_s(self, flight: FlightModel) -> float:
        return self.start_s + self.length_m / flight.cruise_mps

    def at(self, flown_m: float) -> Point:
        for a, b in zip(self.route, self.route[1:], strict=False):
            step = distance_m(a, b)
            if flown_m < step:
                share = flown_m / step
                return Point(a.x_m + (b.x_m - a.x_m) * share, a.y_m + (b.y_m - a.y_m) * share)
            flown_m -= step
        return self.route[-1]


@dataclass
class SimDrone:
    """Record and body of one drone."""

    id: str
    kind: DroneType
    at: Point
    battery_pct: float
    status: DroneStatus = DroneStatus.IDLE
    status_s: float = 0.0
    n: int = 1
    delivery_id: str | None = None
    delivery_version: str | None = None
    orders_seq: int = 0
    stops: list[tuple[Point, bool]] = field(default_factory=list)  # (where, whether the leg there is loaded)
    bound_for: str | None = None
    until_pct: float = 100.0
    done: int = 0
    leg: Leg | None = None
    plugged_s: float | None = None
    queued: bool = False
    weight_kg: float = 0.0
    empty_m: float = 0.0
    loaded_m: float = 0.0
    lowest_pct: float = 100.0


@dataclass
class Life:
    """What became of an order, in seconds of virtual time."""

    order: Order
    created_s: float
    status: DeliveryStatus = DeliveryStatus.PENDING
    n: int = 1
    drone_id: str | None = None
    orders_seq: int | None = None
    assigned_s: float | None = None
    picked_s: float | None = None
    delivered_s: float | None = None
    undone: int = 0
