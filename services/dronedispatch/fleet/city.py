"""The city: its boundary, zones, charge points and no-fly polygons, as GeoJSON at the edges and metres inside.

A city is one FeatureCollection (RFC 7946: longitude first; fleet/geojson.py). Every feature's `properties` say its `kind`
(`boundary`: exactly one, `zone`, `charge_point`, `no_fly`) and its `id`, unique in the document; other members stay and mean
nothing. A charge point has the `capacity` of places to charge at; who finds none waits in its queue.
A hole in the boundary is outside the city, one in a no-fly area may be flown in, one in a zone is no part of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon, contains_xy, intersects_xy, prepare
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.geojson import (
    KINDS,
    CityInvalid,
    Feature,
    features_of,
    middle_of,
    polygons_of,
    position_of,
    shape_of,
)
from dronedispatch.fleet.positions import LatLon, Plane, Point, distance_m

__all__ = ["Area", "ChargePoint", "City", "CityInvalid", "default_city", "parse_city"]

BOUNDARY_CORNERS_MAX = 20_000
NO_FLY_CORNERS_MAX = 5_000
CORNERS_MAX = 60_000  # of the whole document
CAPACITY_MAX = 10_000
VERSION_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ChargePoint:
    """`capacity` drones charge at once, the others queue in order of arrival."""

    id: str
    zone: str
    pos: LatLon
    at: Point
    capacity: int


@dataclass(frozen=True)
class Area:
    """Ground in metres, of one part or several, with holes or without; what is in a hole is not in the area.

    `shape` is prepared for many questions.
    """

    id: str
    shape: Polygon | MultiPolygon
    name: str = ""

    @cached_property
    def corners(self) -> tuple[Point, ...]:
        """Of all rings, the closing positions left out."""
        rings = [
            shapely.get_coordinates(ring)[:-1] for ring in shapely.get_rings(shapely.get_parts(self.shape))
        ]
        return tuple(Point(x, y) for ring in rings for x, y in ring.tolist())

    @cached_property
    def middle(self) -> Point:
        centroid = self.shape.centroid
        return Point(float(centroid.x), float(centroid.y))

    @cached_property
    def convex(self) -> bool:
        hull = self.shape.convex_hull
        return bool(hull.area - self.shape.area < 1e-6 * hull.area)

    def holds(self, point: Point) -> bool:
        """Inside, not on the edge."""
        return bool(contains_xy(self.shape, point.x_m, point.y_m))


@dataclass(frozen=True)
class City:
    """`version`: that of the stored document, or `default`. Equal versions mean the same city."""

    version: str
    plane: Plane
    boundary: Area
    zones: tuple[Area, ...]
    charge_points: tuple[ChargePoint, ...]
    no_fly: tuple[Area, ...]
    document: Mapping[str, Any] = field(repr=False, compare=False, hash=False)

    def __hash__(self) -> int:
        """Cheap: cities are keys of caches that every round asks."""
        return hash((self.version, len(self.charge_points), len(self.no_fly)))

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        middles = np.array([zone.middle for zone in self.zones], dtype=np.float64)
        ids = [zone.id for zone in self.zones]
        ranks: dict[tuple[str, str], int] = {}
        for zone, middle in zip(ids, middles, strict=True):
            away = np.hypot(*(middles - middle).T)
            for rank, other in enumerate(np.lexsort((ids, away)).tolist()):
                ranks[zone, ids[other]] = rank
        return ranks

    @cached_property
    def _no_fly_shape(self) -> BaseGeometry:
        shape = shapely.union_all([area.shape for area in self.no_fly])
        prepare(shape)
        return shape

    @cached_property
    def charge_xy_m(self) -> npt.NDArray[np.float64]:
        """(charge points, 2), metres."""
        return np.array([point.at for point in self.charge_points], dtype=np.float64).reshape(-1, 2)

    @cached_property
    def diameter_m(self) -> float:
        """The greatest distance of two corners of the boundary, which are corners of its hull."""
        hull = shapely.get_coordinates(self.boundary.shape.convex_hull)
        return float(max(np.hypot(*(hull - corner).T).max() for corner in hull))

    def zone_of(self, point: Point) -> str:
        """The zone that holds the point, or the one with the nearest middle (on an edge, between zones)."""
        for zone in self.zones:
            if zone.holds(point):
                return zone.id
        return min(self.zones, key=lambda zone: (distance_m(zone.middle, point), zone.id)).id

    def zone_rank(self, of: str, seen_from: str) -> int:
        """0 for the zone itself, 1 for the nearest other, ...: the tie-break between drones equally far."""
        return self._ranks[seen_from, of]

    def charge_point(self, point_id: str) -> ChargePoint | None:
        return next((point for point in self.charge_points if point.id == point_id), None)

    def why_not_here(self, pos: LatLon) -> str | None:
        """Why no parcel can be fetched from or brought to `pos`; None: it can."""
        point = self.plane.to_point(pos)
        if not math.isfinite(point.x_m) or not math.isfinite(point.y_m):
            return "is no position"
        if not self.boundary.holds(point):
            return f"is outside the city {self.boundary.name or self.boundary.id}"
        if not contains_xy(self._no_fly_shape, point.x_m, point.y_m):
            return None
        names = [
            area.name or area.id for area in self.no_fly if intersects_xy(area.shape, point.x_m, point.y_m)
        ]
        return f"is inside the no-fly area {names[0]}"

    def inside(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(n, 2) -> (n,): those of which `why_not_here` says nothing."""
        x_m, y_m = points[:, 0], points[:, 1]
        city = contains_xy(self.boundary.shape, x_m, y_m) & ~contains_xy(self._no_fly_shape, x_m, y_m)
        return np.asarray(city, dtype=np.bool_)

    def for_fleet(self, drones: int) -> City:
        """With places for two fifths of `drones`: a fleet that is always at work charges for a third of its time."""
        wanted = drones * 2 // (5 * len(self.charge_points))
        if wanted <= min(point.capacity for point in self.charge_points):
            return self
        return self.with_capacity(wanted)

    def with_capacity(self, capacity: int) -> City:
        """The same city with `capacity` places at every charge point."""
        points = tuple(replace(point, capacity=capacity) for point in self.charge_points)
        document = json.loads(json.dumps(self.document))
        for feature in document["features"]:
            if feature["properties"]["kind"] == "charge_point":
                feature["properties"]["capacity"] = capacity
        return replace(self, charge_points=points, document=document)

    def open_sky(self) -> City:
        """The same city without its no-fly areas."""
        kept = [feature for feature in self.document["features"] if feature["properties"]["kind"] != "no_fly"]
        return replace(self, no_fly=(), document={**self.document, "features": kept})


def _area(feature: Feature, plane: Plane) -> Area:
    shape = shape_of(feature, polygons_of(feature), plane)
    prepare(shape)
    return Area(feature.id, shape, feature.name)


def _charge_point(feature: Feature, plane: Plane, zones: Set[str]) -> ChargePoint:
    pos = position_of(feature)
    capacity, zone = feature.properties.get("capacity"), feature.properties.get("zone")
    if isinstance(capacity, float) and capacity.is_integer():  # JSON does not tell 8.0 from 8
        capacity = int(capacity)
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= CAPACITY_MAX:
        raise CityInvalid(
            f"{feature.path}.properties.capacity", f"must be a whole number of 1 to {CAPACITY_MAX}"
        )
    if not isinstance(zone, str) or zone not in zones:
        raise CityInvalid(f"{feature.path}.properties.zone", "must be the id of a zone")
    return ChargePoint(feature.id, zone, pos, plane.to_point(pos), capacity)


def _refuse_too_many(areas: Sequence[Area], most: int, what: str) -> None:
    count = sum(len(area.corners) for area in areas)
    if count > most:
        raise CityInvalid(
            "features", f"hold {count:,} corners of {what}, and {most:,} are the most: simplify them"
        )


def parse_city(document: object, version: str) -> City:
    """A decoded GeoJSON document -> City. Raises CityInvalid, which names the field.

    Refused besides malformed ones: a city without a charge point, a charge point that lies outside the boundary or
    in a no-fly area, a no-fly area that reaches over the boundary (a drone could not fly around it inside the city).
    """
    features = features_of(document)
    assert isinstance(document, dict)
    of_kind = {kind: [feature for feature in features if feature.kind == kind] for kind in KINDS}
    if len(of_kind["boundary"]) != 1:
        raise CityInvalid("features", f"must hold exactly one boundary, not {len(of_kind['boundary'])}")
    rim = of_kind["boundary"][0]
    plane = Plane(middle_of([pos for rings in polygons_of(rim) for ring in rings for pos in ring]))
    boundary = _area(rim, plane)
    _refuse_too_many([boundary], BOUNDARY_CORNERS_MAX, "the boundary")
    zones = tuple(_area(feature, plane) for feature in of_kind["zone"])
    if not zones:
        raise CityInvalid("features", "must hold a zone")
    no_fly = tuple(_area(feature, plane) for feature in of_kind["no_fly"])
    _refuse_too_many(no_fly, NO_FLY_CORNERS_MAX, "no-fly areas")
    _refuse_too_many([boundary, *zones, *no_fly], CORNERS_MAX, "all areas")
    for feature, area in zip(of_kind["no_fly"], no_fly, strict=True):
        if not boundary.shape.contains_properly(area.shape):
            raise CityInvalid(f"{feature.path}.geometry", "must lie inside the boundary")
    zone_ids = {zone.id for zone in zones}
    points = tuple(_charge_point(feature, plane, zone_ids) for feature in of_kind["charge_point"])
    if not points:
        raise CityInvalid("features", "must hold a charge point")
    city = City(version, plane, boundary, zones, points, no_fly, document)
    for feature, point in zip(of_kind["charge_point"], points, strict=True):
        reason = city.why_not_here(point.pos)
        if reason is not None:
            raise CityInvalid(f"{feature.path}.geometry", f"the charge point {point.id} {reason}")
    return city


@cache
def default_city() -> City:
    """Rome, 41.80 to 41.98 N, 12.37 to 12.60 E: four zones with a charge point each, three no-fly areas."""
    text = resources.files("dronedispatch.fleet").joinpath("data/rome.geojson").read_text(encoding="utf-8")
    return parse_city(json.loads(text), VERSION_DEFAULT)
