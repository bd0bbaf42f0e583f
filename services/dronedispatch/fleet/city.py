"""The city: its boundary, zones, charge points and no-fly polygons, as GeoJSON at the edges and metres inside.

A city is one FeatureCollection (RFC 7946: longitude first). Every feature's `properties` say its `kind`
(`boundary`: exactly one, `zone`, `charge_point`, `no_fly`) and its `id`, unique in the document. A charge point has
the `capacity` of places to charge at; who finds none waits in its queue.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from shapely import Polygon, contains_xy, prepare

from dronedispatch.fleet.positions import LatLon, Plane, Point, distance_m

FEATURES_MAX = 500
VERTICES_MAX = 2_000
CAPACITY_MAX = 10_000
VERSION_DEFAULT = "default"
_KINDS = ("boundary", "zone", "charge_point", "no_fly")
_PROPERTIES = frozenset({"kind", "id", "name", "zone", "capacity"})


class CityInvalid(Exception):
    """The document is no city; `field` is the path of what is wrong, such as `features[3].geometry`."""

    def __init__(self, field_path: str, reason: str) -> None:
        super().__init__(f"{field_path}: {reason}")
        self.field = field_path
        self.reason = reason


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
    """A polygon without holes: the corners in metres, and the same for shapely."""

    id: str
    corners: tuple[Point, ...]
    name: str = ""

    @cached_property
    def shape(self) -> Polygon:
        shape = Polygon(self.corners)
        prepare(shape)
        return shape

    @cached_property
    def middle(self) -> Point:
        centroid = self.shape.centroid
        return Point(float(centroid.x), float(centroid.y))

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
        ranks: dict[tuple[str, str], int] = {}
        for zone in self.zones:
            by_distance = sorted(
                self.zones, key=lambda other: (distance_m(zone.middle, other.middle), other.id)
            )
            ranks.update({(zone.id, other.id): rank for rank, other in enumerate(by_distance)})
        return ranks

    @cached_property
    def charge_xy_m(self) -> npt.NDArray[np.float64]:
        """(charge points, 2), metres."""
        return np.array([point.at for point in self.charge_points], dtype=np.float64).reshape(-1, 2)

    @cached_property
    def diameter_m(self) -> float:
        """The greatest distance of two corners of the boundary."""
        corners = self.boundary.corners
        return max(distance_m(a, b) for a in corners for b in corners)

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
        for area in self.no_fly:
            if area.holds(point):
                return f"is inside the no-fly area {area.name or area.id}"
        return None

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


def _corners(geometry: Mapping[str, Any], path: str) -> list[LatLon]:
    if geometry.get("type") != "Polygon":
        raise CityInvalid(f"{path}.geometry.type", "must be Polygon")
    rings = geometry.get("coordinates")
    if not isinstance(rings, list) or len(rings) != 1:
        raise CityInvalid(f"{path}.geometry.coordinates", "must be one ring, without holes")
    ring = [_pos(pair, f"{path}.geometry.coordinates[0][{i}]") for i, pair in enumerate(rings[0])]
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise CityInvalid(f"{path}.geometry.coordinates[0]", "must be a closed ring of 4 positions or more")
    return ring[:-1]


def _pos(pair: object, path: str) -> LatLon:
    if not isinstance(pair, list) or len(pair) != 2:
        raise CityInvalid(path, "must be [longitude, latitude]")
    lon, lat = pair
    for number in (lon, lat):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise CityInvalid(path, "must be two finite numbers")
    if not (-180 <= lon <= 180 and -85 <= lat <= 85):
        raise CityInvalid(path, "must be a longitude in -180..180 and a latitude in -85..85")
    return LatLon(lat=float(lat), lon=float(lon))


@dataclass(frozen=True, slots=True)
class _Feature:
    path: str
    kind: str
    id: str
    properties: Mapping[str, Any]
    geometry: Mapping[str, Any]


def _feature(raw: object, path: str) -> _Feature:
    if not isinstance(raw, dict) or raw.get("type") != "Feature":
        raise CityInvalid(path, "must be a GeoJSON Feature")
    properties, geometry = raw.get("properties"), raw.get("geometry")
    if not isinstance(properties, dict):
        raise CityInvalid(f"{path}.properties", "must be an object")
    if not isinstance(geometry, dict):
        raise CityInvalid(f"{path}.geometry", "must be an object")
    unknown = sorted(set(properties) - _PROPERTIES)
    if unknown:
        raise CityInvalid(
            f"{path}.properties.{unknown[0]}", f"unknown; known are {', '.join(sorted(_PROPERTIES))}"
        )
    kind, feature_id = properties.get("kind"), properties.get("id")
    if kind not in _KINDS:
        raise CityInvalid(f"{path}.properties.kind", f"must be one of {', '.join(_KINDS)}")
    if not isinstance(feature_id, str) or not 1 <= len(feature_id) <= 64:
        raise CityInvalid(f"{path}.properties.id", "must be a text of 1 to 64 characters")
    return _Feature(path, kind, feature_id, properties, geometry)


def _area(feature: _Feature, plane: Plane) -> Area:
    corners = tuple(plane.to_point(pos) for pos in _corners(feature.geometry, feature.path))
    area = Area(feature.id, corners, str(feature.properties.get("name", "")))
    if not area.shape.is_valid or area.shape.area <= 0:
        raise CityInvalid(f"{feature.path}.geometry", "must be a polygon that does not cross itself")
    return area


def _charge_point(feature: _Feature, plane: Plane, zones: Sequence[Area]) -> ChargePoint:
    if feature.geometry.get("type") != "Point":
        raise CityInvalid(f"{feature.path}.geometry.type", "must be Point")
    pos = _pos(feature.geometry.get("coordinates"), f"{feature.path}.geometry.coordinates")
    capacity, zone = feature.properties.get("capacity"), feature.properties.get("zone")
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= CAPACITY_MAX:
        raise CityInvalid(
            f"{feature.path}.properties.capacity", f"must be a whole number of 1 to {CAPACITY_MAX}"
        )
    if zone not in {area.id for area in zones}:
        raise CityInvalid(f"{feature.path}.properties.zone", "must be the id of a zone")
    return ChargePoint(feature.id, zone, pos, plane.to_point(pos), capacity)


def _features(document: object) -> list[_Feature]:
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise CityInvalid("type", "must be FeatureCollection")
    raw = document.get("features")
    if not isinstance(raw, list) or not 1 <= len(raw) <= FEATURES_MAX:
        raise CityInvalid("features", f"must be a list of 1 to {FEATURES_MAX} features")
    features = [_feature(item, f"features[{i}]") for i, item in enumerate(raw)]
    seen: set[str] = set()
    for feature in features:
        if feature.id in seen:
            raise CityInvalid(f"{feature.path}.properties.id", f"{feature.id!r} is there twice")
        seen.add(feature.id)
    return features


def parse_city(document: object, version: str) -> City:
    """A decoded GeoJSON document -> City. Raises CityInvalid, which names the field.

    Refused besides malformed ones: a city without a charge point, a charge point that lies outside the boundary or
    in a no-fly area, a no-fly area that reaches over the boundary (a drone could not fly around it inside the city).
    """
    features = _features(document)
    assert isinstance(document, dict)
    boundaries = [feature for feature in features if feature.kind == "boundary"]
    if len(boundaries) != 1:
        raise CityInvalid("features", f"must hold exactly one boundary, not {len(boundaries)}")
    rim = _corners(boundaries[0].geometry, boundaries[0].path)
    lats, lons = [pos.lat for pos in rim], [pos.lon for pos in rim]
    plane = Plane(LatLon(lat=(min(lats) + max(lats)) / 2, lon=(min(lons) + max(lons)) / 2))
    boundary = _area(boundaries[0], plane)
    zones = tuple(_area(feature, plane) for feature in features if feature.kind == "zone")
    if not zones:
        raise CityInvalid("features", "must hold a zone")
    no_fly = tuple(_area(feature, plane) for feature in features if feature.kind == "no_fly")
    if sum(len(area.corners) for area in no_fly) > VERTICES_MAX:
        raise CityInvalid("features", f"must not hold more than {VERTICES_MAX} corners of no-fly areas")
    for feature in features:
        if feature.kind == "no_fly" and not boundary.shape.contains_properly(_area(feature, plane).shape):
            raise CityInvalid(f"{feature.path}.geometry", "must lie inside the boundary")
    points = tuple(
        _charge_point(feature, plane, zones) for feature in features if feature.kind == "charge_point"
    )
    if not points:
        raise CityInvalid("features", "must hold a charge point")
    city = City(version, plane, boundary, zones, points, no_fly, document)
    for point in points:
        reason = city.why_not_here(point.pos)
        if reason is not None:
            raise CityInvalid("features", f"the charge point {point.id} {reason}")
    return city


@cache
def default_city() -> City:
    """Rome, 41.80 to 41.98 N, 12.37 to 12.60 E: four zones with a charge point each, three no-fly areas."""
    text = resources.files("dronedispatch.fleet").joinpath("data/rome.geojson").read_text(encoding="utf-8")
    return parse_city(json.loads(text), VERSION_DEFAULT)
