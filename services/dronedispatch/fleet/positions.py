"""Positions: WGS84 at the edges, metres on a local plane inside.

The plane is the equirectangular projection about the city's middle: within 20 km its error is below 0.1 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG
METRES_A_DEGREE = math.radians(1.0) * EARTH_RADIUS_M


class LatLon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """WGS84 degrees. A document with a place that is not on the earth cannot be read."""

    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]


class Point(NamedTuple):
    """Metres east (`x_m`) and north (`y_m`) of the plane's middle."""

    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True)
class Plane:
    """The local plane about `middle`."""

    middle: LatLon

    def to_point(self, pos: LatLon) -> Point:
        return Point(
            (near_lon(pos.lon, self.middle.lon) - self.middle.lon)
            * METRES_A_DEGREE
            * math.cos(math.radians(self.middle.lat)),
            (pos.lat - self.middle.lat) * METRES_A_DEGREE,
        )

    def to_latlon(self, point: Point) -> LatLon:
        return LatLon(
            lat=self.middle.lat + point.y_m / METRES_A_DEGREE,
            lon=near_lon(
                self.middle.lon + point.x_m / (METRES_A_DEGREE * math.cos(math.radians(self.middle.lat))), 0.0
            ),
        )


def near_lon(lon: float, middle: float) -> float:
    """The same longitude within 180 degrees of `middle`: a city may lie across the antimeridian.

    Turned before anything is subtracted: 180 and -180 are one meridian to the last bit, and no slit is left along it.
    """
    if lon - middle > 180.0:
        return lon - 360.0
    return lon + 360.0 if lon - middle < -180.0 else lon


def distance_m(a: Point, b: Point) -> float:
    """The straight line, in metres."""
    return math.hypot(a.x_m - b.x_m, a.y_m - b.y_m)
