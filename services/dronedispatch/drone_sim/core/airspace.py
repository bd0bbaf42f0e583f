"""The stored city and the flight model, as a pilot sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dronedispatch.fleet.city import City
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.paths import Paths, paths_of, xy_of
from dronedispatch.fleet.positions import LatLon, Plane, Point

EXPECTED_MAX = 20_000  # legs; some are never flown, because orders change


class CityAirspace:
    """One version of a city, flown with `flight` (already sped up: all seconds are real ones)."""

    def __init__(self, city: City, flight: FlightModel) -> None:
        self.city = city
        self._flight = flight
        self._paths: Paths = paths_of(city)
        self._straight: set[tuple[Point, Point]] = set()  # legs that are expected to be flown
        self.capacity = {point.id: point.capacity for point in city.charge_points}

    @property
    def revision(self) -> str:
        return self.city.version

    @property
    def plane(self) -> Plane:
        return self.city.plane

    def serves(self, pos: LatLon) -> bool:
        """Whether a drone may stand there and leave again."""
        point = self.plane.to_point(pos)
        return self.city.why_not_here(pos) is None and self._paths.why_not_reached(point) is None

    def expect(self, legs: Sequence[tuple[Point, Point]]) -> None:
        """They will be asked for, in this tick or a later one: of most of them a line is all that there is to find."""
        if not legs:
            return
        if len(self._straight) + len(legs) > EXPECTED_MAX:
            self._straight.clear()
        starts, ends = xy_of([start for start, _ in legs]), xy_of([end for _, end in legs])
        straight = self._paths.are_straight(starts, ends) & self.city.inside(ends)
        self._straight.update(leg for leg, is_so in zip(legs, straight.tolist(), strict=True) if is_so)

    def path(self, start: Point, end: Point) -> tuple[Point, ...]:
        """None to a place outside the city or in an area: who is there may leave, and nobody flies there."""
        if (start, end) in self._straight:
            self._straight.discard((start, end))
            return (end,)
        return self._paths.route(start, end) if self.city.inside(np.array([end]))[0] else ()

    def speed_mps(self, kind: DroneType) -> float:
        return self._flight.cruise_mps

    def drain_pct_per_m(self, kind: DroneType, load_kg: float) -> float:
        return self._flight.drain_pct(1.0, load_kg, PAYLOAD_MAX_KG[kind])

    def charge_pct_per_s(self, kind: DroneType) -> float:
        return self._flight.charge_pct_per_min / 60.0
