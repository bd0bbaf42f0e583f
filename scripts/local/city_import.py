"""A city document from a file of quarters, as cities publish them: union as boundary, quarters as zones, chargers spread.

Pure: shapes in, document out, with what was done to them in words.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import shapely
from scripts.local.city_source import NoQuarters, ground, quarters_of
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.city import BOUNDARY_CORNERS_MAX
from dronedispatch.fleet.geojson import FEATURES_MAX, CityInvalid
from dronedispatch.fleet.positions import EARTH_RADIUS_M, LatLon, Plane, Point, near_lon

Document = dict[str, Any]
ISLAND_M2 = 250_000.0  # a part of the city that is smaller is left out
ISLANDS_MAX = 200  # each has a charge point of its own
POND_M2 = 10_000.0  # so is a hole
CHARGE_POINT_M2 = 12_000_000.0  # a charge point for so much ground, if none are given
CHARGE_POINTS = range(4, 41)
# Beyond that the plane is no map any more, and no drone comes from one end to the other.
ACROSS_MAX_M = 300_000.0
GROUND_MIN_M2 = 10_000.0  # what covers less is no city, or its numbers are no degrees
ZONE_MIN_M2 = 100.0  # a sliver between two quarters is no zone, and may vanish as its corners are rounded
GRID_MAX = 200_000  # places that are looked at when charge points are spread
DECIMALS = 7
EARTH = shapely.box(-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True, slots=True)
class Wish:
    """Metres. `charge_points`: given places with their capacity; empty: `spread` are spread (0: by the ground)."""

    tolerance_m: float = 10.0
    gap_m: float = 20.0
    spread: int = 0
    capacity: int = 8
    charge_points: Sequence[tuple[LatLon, int]] = ()
    name: str = "city"


@dataclass
class Made:
    """`said`: what was done, a line each."""

    document: Document
    said: list[str] = field(default_factory=list)


def make_city(source: object, wish: Wish) -> Made:
    """Raises NoQuarters, or CityInvalid: with a greater tolerance there may be one."""
    said: list[str] = []
    named = quarters_of(source, said)
    west, south, east, north = shapely.total_bounds([shape for _, shape in named]).tolist()
    plane = Plane(LatLon(lat=(south + north) / 2, lon=math.remainder((west + east) / 2, 360.0)))
    quarters = [(name, _in_metres(shape, plane)) for name, shape in named]
    _refuse_far_parts(quarters)
    boundary = _boundary([shape for _, shape in quarters], wish, said)
    said.append(f"its middle is at latitude {plane.middle.lat:.4f}, longitude {plane.middle.lon:.4f}")
    spots = [(plane.to_point(pos), capacity) for pos, capacity in wish.charge_points]
    if not spots:
        spots = [(spot, wish.capacity) for spot in spread(boundary, wish.spread or _byground(boundary))]
        said.append(f"{len(spots)} charge points of {wish.capacity} places, spread over the ground")
    zones = _zones(quarters, boundary, wish, FEATURES_MAX - 1 - len(spots), said)
    features = [_feature("boundary", _slug(wish.name, set()), wish.name, boundary, plane)]
    ids = {features[0]["properties"]["id"]}
    zone_ids = []
    for name, shape in zones:
        zone_ids.append(_slug(name, ids))
        features.append(_feature("zone", zone_ids[-1], name, shape, plane))
    for number, (spot, capacity) in enumerate(spots, 1):
        point = shapely.Point(spot)
        nearest = int(np.argmin(shapely.distance([shape for _, shape in zones], point)))
        pos = plane.to_latlon(spot)
        own = {"kind": "charge_point", "id": _slug(f"charger-{number}", ids), "zone": zone_ids[nearest]}
        place = {"type": "Point", "coordinates": [round(pos.lon, DECIMALS), round(pos.lat, DECIMALS)]}
        features.append({"type": "Feature", "properties": own | {"capacity": capacity}, "geometry": place})
    return Made({"type": "FeatureCollection", "name": wish.name, "features": features}, said)


def _in_metres(shape: BaseGeometry, plane: Plane) -> BaseGeometry:
    def project(lon_lat: np.ndarray) -> np.ndarray:
        """As Plane.to_point, for all at once."""
        east = np.remainder(lon_lat[:, 0] - plane.middle.lon + 180.0, 360.0) - 180.0
        north = lon_lat[:, 1] - plane.middle.lat
        metres = np.stack([east * math.cos(math.radians(plane.middle.lat)), north], axis=1)
        return np.asarray(metres * math.radians(1.0) * EARTH_RADIUS_M, dtype=np.float64)

    return shapely.transform(shape, project)


def _refuse_far_parts(quarters: Sequence[tuple[str, BaseGeometry]]) -> None:
    boxes = shapely.bounds([shape for _, shape in quarters])
    across_m = float(np.hypot(*(boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0))))
    if not across_m <= ACROSS_MAX_M:
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        away_m = np.hypot(*(middles - np.median(middles, axis=0)).T)
        raise NoQuarters(
            f"its quarters are spread over {across_m / 1000:,.0f} km, and a city may be {ACROSS_MAX_M / 1000:g} km across: "
            f"leave out what is far away, such as {quarters[int(away_m.argmax())][0]!r}"
        )


def _boundary(quarters: Sequence[BaseGeometry], wish: Wish, said: list[str]) -> Polygon | MultiPolygon:
    """Their union, gaps closed, without specks, simplified. Raises NoQuarters, CityInvalid."""
    whole = shapely.union_all(quarters)
    if whole.area < GROUND_MIN_M2:
        raise NoQuarters(
            f"its quarters cover {whole.area:.2g} m², and {GROUND_MIN_M2:,.0f} m² are the least: are its numbers degrees?"
        )
    # Half of the tolerance first: what closes gaps costs the square of the corners on a rough coast.
    smooth = whole.simplify(wish.tolerance_m / 2)
    rough = shapely.get_num_coordinates(smooth)
    if rough > BOUNDARY_CORNERS_MAX:
        raise CityInvalid(
            "features", f"have a coast of {rough:,} corners, and {BOUNDARY_CORNERS_MAX:,} are the most"
        )
    closed = (
        smooth.buffer(wish.gap_m, join_style="mitre").buffer(-wish.gap_m, join_style="mitre")
        if wish.gap_m
        else smooth
    )
    parts = [part for part in shapely.get_parts(closed) if isinstance(part, Polygon)]
    kept = [part for part in parts if part.area >= ISLAND_M2] or [max(parts, key=lambda part: part.area)]
    kept = [
        Polygon(p.exterior, [ring for ring in p.interiors if Polygon(ring).area >= POND_M2]) for p in kept
    ]
    if len(kept) > ISLANDS_MAX:
        raise NoQuarters(
            f"it has {len(kept):,} islands with no way between them, each of which needs a charge point, and "
            f"{ISLANDS_MAX} are the most: leave some out, or close the gaps between them with --gap"
        )
    joined = shapely.union_all(kept)
    simple = ground(joined.simplify(wish.tolerance_m / 2))
    moved_m = _moved_m(joined, simple)
    before, after = (shapely.get_num_coordinates(shape) for shape in (whole, simple))
    said.append(
        f"boundary: union of the quarters, gaps up to {2 * wish.gap_m:g} m closed, {before:,} corners simplified to "
        f"{after:,} within {wish.tolerance_m:g} m (moved by {moved_m:.1f} m at most)"
    )
    if len(parts) > len(kept):
        said.append(f"{len(parts) - len(kept)} islands below {ISLAND_M2 / 1e6:g} km² left out")
    if len(kept) > 1:
        said.append(f"{len(kept)} parts with no way between them: each needs a charge point of its own")
    assert isinstance(simple, (Polygon, MultiPolygon))
    return simple


def _moved_m(before: BaseGeometry, after: BaseGeometry) -> float:
    """The farthest that a corner of `before` lies from the edge of `after`."""
    edge = after.boundary
    shapely.prepare(edge)
    return float(shapely.distance(edge, shapely.points(shapely.get_coordinates(before))).max())


def _zones(
    quarters: Sequence[tuple[str, BaseGeometry]],
    boundary: BaseGeometry,
    wish: Wish,
    room: int,
    said: list[str],
) -> list[tuple[str, BaseGeometry]]:
    largest = sorted(range(len(quarters)), key=lambda i: -quarters[i][1].area)[:room]
    zones = []
    for i in sorted(largest):
        name, shape = quarters[i]
        simple = ground(shapely.make_valid(shape.simplify(wish.tolerance_m)))
        if simple.area >= ZONE_MIN_M2 and simple.intersects(boundary):
            zones.append((name, simple))
    zones = zones or [(wish.name, boundary)]
    said.append(f"{len(zones)} zones, simplified within {wish.tolerance_m:g} m")
    if len(quarters) > len(zones):
        said.append(
            f"{len(quarters) - len(zones)} quarters are no zones of their own: the nearest zone has their orders"
        )
    return zones


def _byground(boundary: BaseGeometry) -> int:
    wanted = round(float(boundary.area) / CHARGE_POINT_M2)
    return max(CHARGE_POINTS[0], min(CHARGE_POINTS[-1], wanted))


def spread(boundary: BaseGeometry, count: int) -> list[Point]:
    """Places that divide the ground evenly (Lloyd, 1982), the same for the same boundary; each part of it has one."""
    room = boundary.simplify(30.0).buffer(-60.0)  # a rough coast costs a buffer the square of its corners
    narrow = [part for part in shapely.get_parts(boundary) if not part.intersects(room)]
    free = ground(shapely.geometrycollections([room, *narrow]))
    west, south, east, north = free.bounds
    box = (east - west) * (north - south)
    step = max(np.sqrt(free.area / 4_000.0), np.sqrt(box / GRID_MAX), 1.0)
    xs, ys = np.meshgrid(np.arange(west, east, step), np.arange(south, north, step))
    grid = np.stack([xs.ravel(), ys.ravel()], axis=1)
    shapely.prepare(free)
    grid = grid[shapely.contains_xy(free, grid[:, 0], grid[:, 1])]
    parts = [part.representative_point() for part in shapely.get_parts(free)]
    parts.sort(key=lambda point: (point.x, point.y))
    grid = np.concatenate([grid, [(point.x, point.y) for point in parts]])
    chosen = np.array([(point.x, point.y) for point in parts], dtype=np.float64)
    while len(chosen) < count:
        away = np.hypot(*(grid[:, None] - chosen[None]).transpose(2, 0, 1)).min(axis=1)
        chosen = np.concatenate([chosen, grid[[int(away.argmax())]]])
    fixed = np.arange(len(chosen)) < (len(parts) if len(parts) > 1 else 0)
    for _ in range(20):
        nearest = np.hypot(*(grid[:, None] - chosen[None]).transpose(2, 0, 1)).argmin(axis=1)
        mine = [grid[nearest == k] for k in range(len(chosen))]
        means = np.array(
            [some.mean(axis=0) if len(some) else at for some, at in zip(mine, chosen, strict=True)]
        )
        inside = grid[np.hypot(*(grid[:, None] - means[None]).transpose(2, 0, 1)).argmin(axis=0)]
        chosen = np.where(fixed[:, None], chosen, inside)
    return [Point(float(x), float(y)) for x, y in chosen]


def _slug(name: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:56] or "place"
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    taken.add(slug)
    return slug


def _feature(kind: str, feature_id: str, name: str, shape: BaseGeometry, plane: Plane) -> Document:
    def degrees(xy: np.ndarray) -> np.ndarray:
        spots = [plane.to_latlon(Point(float(x), float(y))) for x, y in xy]
        return np.round([(near_lon(spot.lon, plane.middle.lon), spot.lat) for spot in spots], DECIMALS)

    geometry = shapely.transform(shape, degrees)
    if not geometry.is_valid:  # rounding, or a neck that the simplification has closed to a point
        geometry = _sound(geometry)
    geometry = shapely.orient_polygons(_cut(geometry))
    return {
        "type": "Feature",
        "properties": {"kind": kind, "id": feature_id, "name": name},
        "geometry": json.loads(shapely.to_geojson(geometry)),
    }


def _cut(shape: BaseGeometry) -> BaseGeometry:
    """At 180 degrees, if it lies across (RFC 7946, 3.1.9): read as they stand, both halves are on the earth."""
    west, _, east, _ = shape.bounds
    if west >= -180.0 and east <= 180.0:
        return shape
    halves = []
    for turn in ((-360.0, 0.0), (0.0, 0.0), (360.0, 0.0)):
        half = shapely.transform(shape, partial(np.add, turn)).intersection(EARTH)
        halves.append(_sound(ground(half)))
    return ground(shapely.geometrycollections(halves))


def _sound(shape: BaseGeometry) -> BaseGeometry:
    """On the grid of what is written, where nothing crosses itself; each part by itself, since one may be a line by now."""
    parts = [part if part.is_valid else shapely.make_valid(part) for part in shapely.get_parts(shape)]
    kept = shapely.set_precision(shapely.union_all([ground(part) for part in parts]), 10.0**-DECIMALS)
    return ground(shapely.transform(kept, partial(np.round, decimals=DECIMALS)))
