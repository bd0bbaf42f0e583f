"""What the benchmark asks of the dispatcher: a city, a flight model, and orders drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dronedispatch.fleet.city import City
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.positions import Point


@dataclass(frozen=True)
class Order:
    """`at_s`: arrival; -inf .. for a closed backlog it is set when the order is let in."""

    id: str
    at_s: float
    origin: Point
    destination: Point
    weight_kg: float


@dataclass(frozen=True)
class Scenario:
    """`backlog` not None: saturation, so many orders always wait, and arrival times mean nothing."""

    city: City
    flight: FlightModel
    drones: int
    orders: tuple[Order, ...]
    seed: int
    noise: float = 0.15
    backlog: int | None = None


def demand(
    city: City, rng: np.random.Generator, count: int, per_hour: float, *, clustered: bool
) -> tuple[Order, ...]:
    """Poisson arrivals; parcels of 0.2 to 10 kg; ends uniform, or about five restaurants' quarters and eight homes'."""
    times = np.cumsum(rng.exponential(3600.0 / per_hour, count))
    weights = rng.uniform(0.2, 10.0, count)
    origins, destinations = (
        places(city, rng, count, 5 if clustered else 0),
        places(city, rng, count, 8 if clustered else 0),
    )
    return tuple(
        Order(f"o{i:06d}", float(times[i]), origins[i], destinations[i], float(weights[i]))
        for i in range(count)
    )


def places(city: City, rng: np.random.Generator, count: int, clusters: int) -> list[Point]:
    """`count` points where parcels may be, uniform or about `clusters` middles."""
    x0, y0, x1, y1 = city.boundary.shape.bounds
    middles = rng.uniform((x0 * 0.8, y0 * 0.8), (x1 * 0.8, y1 * 0.8), (max(clusters, 1), 2))
    found: list[Point] = []
    while len(found) < count:
        if clusters:
            x, y = rng.normal(middles[rng.integers(clusters)], 1200.0)
        else:
            x, y = rng.uniform((x0, y0), (x1, y1))
        point = Point(float(x), float(y))
        if city.boundary.holds(point) and not any(area.holds(point) for area in city.no_fly):
            found.append(point)
    return found


def benchmark_flight() -> FlightModel:
    """docs/dispatch.md's: 60 km/h, 2 % a km whatever the load, 5 % a minute, 5 % margin, 15 % uncertainty."""
    return FlightModel(payload_share=0.0)
