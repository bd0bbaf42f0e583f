"""Random places that the city of a running system serves, found from its own GET /zones."""

from __future__ import annotations

import random
from typing import Any

from dronedispatch.fleet.city import City, parse_city
from dronedispatch.fleet.positions import LatLon, Point


def city_of(zones: Any) -> City:
    """Raises CityInvalid."""
    return parse_city(zones, "shown")


def place(city: City, rng: random.Random) -> LatLon:
    """Uniform over the boundary's box, the no-fly areas and what lies outside left out."""
    corners = city.boundary.corners
    low = Point(min(c.x_m for c in corners), min(c.y_m for c in corners))
    high = Point(max(c.x_m for c in corners), max(c.y_m for c in corners))
    while True:
        found = city.plane.to_latlon(Point(rng.uniform(low.x_m, high.x_m), rng.uniform(low.y_m, high.y_m)))
        if city.why_not_here(found) is None:
            return found


def order(city: City, rng: random.Random, weight_max_kg: float) -> dict[str, Any]:
    """The body of one POST /deliveries."""
    origin, destination = place(city, rng), place(city, rng)
    return {
        "origin": {"lat": origin.lat, "lon": origin.lon},
        "destination": {"lat": destination.lat, "lon": destination.lon},
        "weight": round(rng.uniform(0.2, weight_max_kg), 1),
    }
