"""A sky for tests of motion: round figures, and straight paths unless a detour is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dronedispatch.fleet.drones import DroneType
from dronedispatch.fleet.positions import LatLon, Plane, Point


@dataclass(slots=True)
class OpenSky:
    """10 m/s, 0.001 % a metre (and as much again for each kg), 0.1 % a second at a station."""

    revision: str = "1"
    plane: Plane = field(default_factory=lambda: Plane(LatLon(lat=41.89, lon=12.485)))
    detours: Mapping[Point, Point] = field(default_factory=dict)  # goal -> way point before it

    def expect(self, legs: Sequence[tuple[Point, Point]]) -> None:
        """A path costs nothing here."""

    def path(self, start: Point, end: Point) -> tuple[Point, ...]:
        return (self.detours[end], end) if end in self.detours else (end,)

    def speed_mps(self, kind: DroneType) -> float:
        return 10.0

    def drain_pct_per_m(self, kind: DroneType, load_kg: float) -> float:
        return 0.001 * (1.0 + load_kg)

    def charge_pct_per_s(self, kind: DroneType) -> float:
        return 0.1
