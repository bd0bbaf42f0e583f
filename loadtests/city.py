"""Random places that a city serves, and orders between them."""

from __future__ import annotations

import random
from typing import Any

from dronedispatch.fleet.city import City, parse_city
from dronedispatch.fleet.positions import LatLon, Point


def city_of(zones: Any) -> City:
    """That of a running system, from its own GET /zones. Raises CityInvalid."""
    return parse_city(zones, "shown")


def place(city: City, rng: random.Random) -> LatLon:
    """Uniform over the boundary's box, the no-fly areas and what lies outside left out."""
    corners = city.boundary.corners
    low = Point(min(c.x_m for c in corners), min(c.y_m for c in corners))
    high = Point(max(c.x_m for c in corners), max(c.y_m for c in corners))
    while True:
        found = city.plane.to_latlon(Point(rng.uniform(low.x_m, high.x_m), rng.uniform(low.y_m, high.y_m)))
        rounded = LatLon(lat=round(found.lat, 6), lon=round(found.lon, 6))
        if city.why_not_here(rounded) is None:
            return rounded


def order(city: City, rng: random.Random, weight_kg: float) -> dict[str, Any]:
    """The body of one POST /deliveries."""
    origin, destination = place(city, rng), place(city, rng)
    return {
        "origin": {"lat": origin.lat, "lon": origin.lon},
        "destination": {"lat": destination.lat, "lon": destination.lon},
        "weight": round(weight_kg, 2),
    }
